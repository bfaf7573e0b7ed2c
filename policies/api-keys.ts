/** API keys: from the value of `x-api-key` to a viewer. */
import { hash } from 'node:crypto';
import Type from 'typebox';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

export const ApiKey = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description: 'Name of the key; becomes the viewer id where there is no `client`.',
    }),
    client: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'Who holds the key, when that is more than one: becomes the viewer id of all of them.',
      }),
    ),
    expires: Type.Optional(
      Type.String({
        pattern: '^\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d))?$',
        description: 'When the key stops working: a date (its beginning, UTC) or a time (RFC 3339). Default: never.',
        examples: ['2027-01-31', '2027-01-31T12:00:00Z'],
      }),
    ),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the key, in lower-case hex.' }),
    scopes: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Scopes that the key grants.' }),
    ),
    roles: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Roles that the key grants.' }),
    ),
  },
  { additionalProperties: false },
);
export type ApiKey = Type.Static<typeof ApiKey>;

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
