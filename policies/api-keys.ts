/** API keys: from the value of `x-api-key` to a viewer. */
import { hash } from 'node:crypto';
import type { ApiKey } from './authenticate.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

export interface ApiKeys {
  /** The viewer that holds the key. Throws UNAUTHENTICATED for a key that nobody holds. */
  identify(key: string): Viewer;
}

/**
 * Builds the table of keys, by digest. A look-up by digest is not constant in time, and need not be: what its time could
 * tell is about SHA-256 of the guess, and nobody can steer that towards a stored digest. For the same reason one plain
 * round of SHA-256 is enough for the random keys this is meant for; it would not be for passwords.
 */
export function createApiKeys(keys: readonly ApiKey[]): ApiKeys {
  const viewers = new Map<string, Viewer>();
  for (const key of keys) {
    const other = viewers.get(key.sha256);
    if (other !== undefined) throw new TypeError(`API keys ${other.id} and ${key.name} have the same sha256`);
    viewers.set(key.sha256, buildViewer(key));
  }
  return {
    identify(key) {
      const viewer = viewers.get(hash('sha256', key, 'hex'));
      if (viewer === undefined) throw new GatewayError('UNAUTHENTICATED', 'The API key is not valid');
      return viewer;
    },
  };
}

function buildViewer(key: ApiKey): Viewer {
  return Object.freeze({
    id: key.name,
    kind: 'api-key',
    issuer: undefined,
    scopes: new Set(key.scopes),
    roles: Object.freeze([...(key.roles ?? [])]),
    claims: Object.freeze({}),
  });
}
