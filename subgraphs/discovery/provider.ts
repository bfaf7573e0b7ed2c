/**
 * What a discovery provider is: a function that looks for the instances of one service until it fails or is stopped.
 * Waiting after a failure, remembering the last answer and telling about it are none of its business.
 */

/** In the order in which their answers are laid together where a service names several. */
export const providerNames = ['kubernetes', 'consul', 'etcd', 'eureka', 'docker', 'dns'] as const;
export type ProviderName = (typeof providerNames)[number];

/** An instance as a provider tells of it. It comes from outside: nothing about it has been checked yet. */
export interface DiscoveredInstance {
  readonly id: string;
  readonly url: string;
  readonly weight?: number | undefined;
  readonly zone?: string | undefined;
  readonly version?: string | undefined;
}

export interface WatchSession {
  /** Aborted when nobody wants to know any more. */
  readonly signal: AbortSignal;
  /**
   * All instances there are. An empty list is believed, so it is told only when the provider really answered. Throws a
   * {@link DiscoveryError} when the list cannot be used.
   */
  report(instances: readonly DiscoveredInstance[]): void;
  /** Waits; rejects when the session is stopped. */
  sleep(delayMs: number): Promise<void>;
}

/** Looks, reports whole lists, and goes on until something fails (it rejects) or the signal is aborted. */
export type Watch = (session: WatchSession) => Promise<void>;

/** What is wrong with a provider or its answer, in words that an operator and a team may read: no secret, no address. */
export class DiscoveryError extends Error {
  override readonly name = 'DiscoveryError';
}

/** Instances that one service may have of one provider. */
export const maxDiscoveredInstances = 2_000;

/** An id in the letters that ids may have, out of whatever name a provider has for an instance. */
export function buildInstanceId(...parts: readonly (string | number)[]): string {
  const id = parts.join(':').replaceAll(/[^A-Za-z0-9._:-]/g, '-');
  return (/^[A-Za-z0-9]/.test(id) ? id : `0${id}`).slice(0, 128);
}

/** The origin of an instance. An IPv6 address gets its brackets (RFC 3986 section 3.2.2). */
export function buildInstanceUrl(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A weight as instances have them; undefined where it is none. */
export function parseWeight(value: unknown): number | undefined {
  const weight = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof weight === 'number' && Number.isFinite(weight)
    ? Math.min(1_000, Math.max(1, Math.round(weight)))
    : undefined;
}
