/** API keys: from the value of `x-api-key` to a viewer. */
import { hash } from 'node:crypto';
import type { ApiKey } from './authenticate.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

interface Holder {
  /** Name of the key. */
  readonly id: string;
  readonly viewer: Viewer;
  readonly untilMs: number;
}

export interface ApiKeys {
  /** Whether somebody holds the key, or held it until it expired. */
  knows(key: string): boolean;
  /** The viewer that holds the key. Throws UNAUTHENTICATED for a key that nobody holds. */
  identify(key: string): Viewer;
}

/**
 * Builds the table of keys, by digest. A look-up by digest is not constant in time, and need not be: what its time could
 * tell is about SHA-256 of the guess, and nobody can steer that towards a stored digest. For the same reason one plain
 * round of SHA-256 is enough for the random keys this is meant for; it would not be for passwords.
 */
export function createApiKeys(keys: readonly ApiKey[], now: () => number = Date.now): ApiKeys {
  const viewers = new Map<string, Holder>();
  for (const key of keys) {
    const other = viewers.get(key.sha256);
    if (other !== undefined) throw new TypeError(`API keys ${other.id} and ${key.name} have the same sha256`);
    const untilMs = key.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(key.expires);
    viewers.set(key.sha256, { id: key.name, viewer: buildViewer(key), untilMs });
  }
  return {
    knows: (key) => viewers.has(hash('sha256', key, 'hex')),
    identify(key) {
      const holder = viewers.get(hash('sha256', key, 'hex'));
      if (holder === undefined) throw new GatewayError('UNAUTHENTICATED', 'The API key is not valid');
      // Also for an expiry that is no date: then this is not true, and the key not valid.
      if (now() < holder.untilMs) return holder.viewer;
      throw new GatewayError('UNAUTHENTICATED', 'The API key has expired');
    },
  };
}

function buildViewer(key: ApiKey): Viewer {
  return Object.freeze({
    id: key.client ?? key.name,
    kind: 'api-key',
    issuer: undefined,
    scopes: new Set(key.scopes),
    roles: Object.freeze([...(key.roles ?? [])]),
    claims: Object.freeze({}),
  });
}
