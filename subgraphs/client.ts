/**
 * The client library: a service registers itself with one call. It is published as `selvage/client` and runs inside other
 * people's services, so it needs nothing but Node (20 or later), never throws, and keeps no process alive.
 */
import { randomUUID } from 'node:crypto';
import type { ClientEvent } from './client-events.ts';
import { warnAboutNoGateway, warnAboutTrouble } from './client-events.ts';
import { createGatewayLink, type GatewayLink, type LinkPlan, type LinkState } from './client-link.ts';
import type { TokenSource } from './client-request.ts';
import { drainOnSignals } from './client-signals.ts';
import type { InstanceRegistration, ServiceDefinition } from './service-definition.ts';

export type { ClientEvent } from './client-events.ts';
export type { LinkState } from './client-link.ts';
export type { TokenSource } from './client-request.ts';
export type { InstanceRegistration, ServiceDefinition } from './service-definition.ts';

/** Who is registered: where it is, and what the gateway should know about it. */
export interface ClientInstance extends Omit<InstanceRegistration, 'leaseSeconds'> {
  /** Unique among the instances of the service. @default host and port of `url` */
  readonly id?: string;
}

/** Waiting, as the client needs it. */
export interface ClientTimers {
  /** Calls back once. Only with `keepsAlive` may the timer keep the process running. */
  setTimer(callback: () => void, delayMs: number, keepsAlive?: boolean): { cancel(): void };
}

export interface RegisterOptions {
  /** Name of the service. */
  readonly service: string;
  /**
   * Base URL of the admin port. Several gateways, as a list or separated by commas: the service registers at each, and
   * each has its own state. None, as on a laptop without a gateway: a warning, and nothing else happens.
   */
  readonly admin: string | readonly string[] | undefined;
  /** Bearer token for the admin port, or a function that gives it, for tokens that are renewed while the service runs. */
  readonly token?: TokenSource | undefined;
  readonly instance: ClientInstance;
  /**
   * What the service offers: the same object that `PUT /services/{name}` takes. Without it only the instance registers:
   * the service is defined elsewhere, e.g. in the configuration of the gateway.
   */
  readonly definition?: ServiceDefinition | undefined;
  /** The gateway forgets an instance that it has not heard of for so long. Renewed three times as often. @default 15 */
  readonly leaseSeconds?: number;
  /** Longest wait between two tries. @default 5000 while a gateway is away or ill, 30000 while it refuses */
  readonly maxRetryMs?: number;
  /** Whether SIGTERM and SIGINT drain and deregister before they end the process. @default true */
  readonly drainOnSigterm?: boolean;
  /** Time between draining and deregistering, for calls in flight. @default 0 */
  readonly drainMs?: number;
  /**
   * Called when a signal has led to draining and deregistering: the place to close the server. The process then ends when
   * nothing is left to do. Without it, and without other listeners for the signal, the signal takes its usual effect.
   */
  readonly onDrained?: () => void | Promise<void>;
  /** Hears what happens. @default a process warning for the first failure in a row */
  readonly onEvent?: (event: ClientEvent) => void;
  /** @default globalThis.fetch */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Between 0 and 1. @default Math.random */
  readonly random?: () => number;
  readonly timers?: ClientTimers;
}

/** What {@link Registration.update} changes; what it does not name stays. */
export interface RegistrationChange {
  /** Replaces the definition. */
  readonly definition?: ServiceDefinition;
  readonly instance?: Partial<Omit<ClientInstance, 'id'>>;
}

export interface Registration extends AsyncDisposable {
  /** The id under which the instance is registered. */
  readonly id: string;
  /** `registered` as soon as one gateway knows the instance. */
  readonly state: 'registering' | 'registered' | 'deregistering' | 'deregistered';
  /** How it stands with each gateway, in the order given. */
  readonly gateways: readonly { readonly admin: string; readonly state: LinkState }[];
  /** Resolves when every gateway has been asked once, whatever came of it. Never rejects. */
  readonly ready: Promise<void>;
  /**
   * Registers what has changed while the service runs: a new schema, another weight. A refusal is told by an event, and
   * the service stays registered as it was; the change is tried again. An update without changes makes the gateway look at
   * the schema again. Resolves when every gateway has been asked once. Never rejects.
   */
  update(change?: RegistrationChange): Promise<void>;
  /** Drains, waits `drainMs`, deregisters. Takes at most 5 seconds longer than `drainMs`. Never rejects. */
  deregister(): Promise<void>;
}

/** Registers an instance in the background, renews its lease, and deregisters it when the process is told to end. */
export function register(options: RegisterOptions): Registration {
  const { drainMs = 0, onEvent = warnAboutTrouble, onDrained } = options;
  const id = options.instance.id ?? buildInstanceId(options.instance.url);
  let wanted: Wanted = { definition: options.definition, instance: options.instance };
  const admins = listAdmins(options.admin);
  if (admins.length === 0) warnAboutNoGateway(options.service);
  const links = admins.map((admin) =>
    createGatewayLink({
      admin,
      service: options.service,
      id,
      plan: buildPlan(wanted, options),
      token: options.token,
      maxRetryMs: options.maxRetryMs,
      emit: (event) => emitSafely(onEvent, { ...event, service: options.service, instance: id }),
      fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
      random: options.random ?? Math.random,
      timers: options.timers ?? systemTimers,
    }),
  );
  let phase: 'on' | 'deregistering' | 'deregistered' = 'on';
  let leaving: Promise<void> | undefined;
  const leave = async (): Promise<void> => {
    phase = 'deregistering';
    await Promise.all(links.map((link) => link.leave(drainMs)));
    phase = 'deregistered';
    releaseSignals();
  };
  const deregister = (): Promise<void> => (leaving ??= leave());
  const releaseSignals = options.drainOnSigterm === false ? () => {} : drainOnSignals(deregister, onDrained);
  return {
    id,
    get state() {
      return phase === 'on' ? describeLinks(links) : phase;
    },
    get gateways() {
      return links.map(({ admin, state }) => ({ admin, state }));
    },
    ready: Promise.all(links.map((link) => link.asked)).then(() => undefined),
    async update({ definition = wanted.definition, instance = {} } = {}) {
      wanted = { definition, instance: { ...wanted.instance, ...instance } };
      const plan = buildPlan(wanted, options);
      await Promise.all(links.map((link) => link.update(plan)));
    },
    deregister,
    [Symbol.asyncDispose]: deregister,
  };
}

/** What changes while the service runs. */
type Wanted = Pick<RegisterOptions, 'definition' | 'instance'>;

function describeLinks(links: readonly GatewayLink[]): 'registering' | 'registered' {
  return links.some((link) => link.state.status === 'registered') ? 'registered' : 'registering';
}

function listAdmins(admin: string | readonly string[] = ''): readonly string[] {
  const urls = (typeof admin === 'string' ? [admin] : admin).flatMap((list) => list.split(','));
  return [...new Set(urls.map((url) => url.trim().replace(/\/+$/, '')).filter((url) => url !== ''))];
}

function buildPlan({ definition, instance }: Wanted, { leaseSeconds = 15 }: RegisterOptions): LinkPlan {
  const { url, weight, zone, version } = instance;
  const registration = {
    url,
    ...(weight !== undefined && { weight }),
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    leaseSeconds,
  };
  return { definition, registration };
}

/** Stable, so that a service that was killed and started again takes the place of its former self. */
function buildInstanceId(url: string): string {
  if (!URL.canParse(url)) return randomUUID(); // the gateway will say what is wrong with the URL
  const { hostname, port, protocol } = new URL(url);
  const id = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`.replaceAll(/[[\]]/g, '');
  return (id.startsWith(':') ? `0${id}` : id).replaceAll(/[^A-Za-z0-9._:-]/g, '-');
}

/** A listener that fails, now or later, is the service's matter, and must not stop the heartbeat. */
function emitSafely(onEvent: (event: ClientEvent) => unknown, event: ClientEvent): void {
  try {
    const result = onEvent(event);
    if (result instanceof Promise) result.catch(() => {});
  } catch {}
}

const systemTimers: ClientTimers = {
  setTimer(callback, delayMs, keepsAlive = false) {
    const timer = setTimeout(callback, delayMs);
    if (!keepsAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
