/** Which requests may go on in another protocol (RFC 9110 section 7.8), above all WebSocket, and for how long. */
import Type from 'typebox';
import type { Mistake } from './schema-mistakes.ts';
import { Duration, parseDurationMs } from './units.ts';

/** `upgrade` of the gateway, a service or a route. */
export const UpgradeOptions = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: '`false` switches off what the level above says.' }),
    ),
    protocols: Type.Optional(
      Type.Array(Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~/-]+$", maxLength: 64 }), {
        minItems: 1,
        maxItems: 20,
        default: ['websocket'],
        description: 'Protocols that a client may ask for with `Upgrade`.',
      }),
    ),
    idleTimeout: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '5m',
        description:
          'Time without a byte in either direction, after which the connection ends. A WebSocket that pings more often lives on.',
      }),
    ),
    maxLifetime: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'Longest time that a connection lasts; up to a tenth less, so that many do not end together. Default: no end.',
      }),
    ),
    anyOrigin: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether pages of any origin may open a WebSocket with cookies. No CORS protects WebSockets: without this, one with a cookie must come from a page of the same origin, or of one that `csrf` or `cors` trusts with credentials.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Lets requests leave HTTP: WebSocket, or other protocols by name. All policies of the route hold for the request that asks; what follows passes as bytes.',
  },
);
export type UpgradeOptions = Type.Static<typeof UpgradeOptions>;

/** `limits.maxUpgrades`. */
export const MaxUpgrades = Type.Integer({
  minimum: 0,
  maximum: 1_000_000,
  default: 20_000,
  description:
    'Connections that have left HTTP (`upgrade`) at once, in all workers together. Each takes two sockets: mind `ulimit -n`.',
});

/** The same, compiled. */
export interface UpgradeRule {
  /** In lower case. */
  readonly protocols: ReadonlySet<string>;
  readonly idleTimeoutMs: number;
  /** Undefined: no end. */
  readonly maxLifetimeMs: number | undefined;
  readonly anyOrigin: boolean;
}

/** Null where nothing may leave HTTP. */
export function compileUpgrade(options: UpgradeOptions | undefined): UpgradeRule | null {
  if (options === undefined || options.enabled === false) return null;
  const { protocols = ['websocket'], idleTimeout = '5m', maxLifetime, anyOrigin = false } = options;
  return {
    protocols: new Set(protocols.map((protocol) => protocol.toLowerCase())),
    idleTimeoutMs: parseDurationMs(idleTimeout),
    maxLifetimeMs: maxLifetime === undefined ? undefined : parseDurationMs(maxLifetime),
    anyOrigin,
  };
}

/**
 * Whether a protocol is HTTP again, or TLS. Behind such a one would come requests that no policy sees: it is never
 * forwarded, and whoever asks is answered in HTTP/1.1, as RFC 9110 section 7.8 allows.
 */
export function isTransport(protocol: string): boolean {
  return /^(?:h2c?|h3|(?:http|tls)(?:\/.*)?)$/i.test(protocol);
}

/** What options must not say, by paths below them. */
export function findUpgradeMistakes(options: UpgradeOptions | undefined): Mistake[] {
  return (options?.protocols ?? []).flatMap((protocol, index) =>
    isTransport(protocol)
      ? [
          {
            path: ['protocols', index],
            message: `expected a protocol other than HTTP and TLS, e.g. websocket, got ${JSON.stringify(protocol)}: requests inside of it would pass all policies by`,
          },
        ]
      : [],
  );
}
