/** Rate limits: named rules, decided by GCRA in memory or in Redis. */
import Type from 'typebox';
import type { GatewayError } from './errors.ts';
import { Duration } from './units.ts';

/** One named limit. A viewer, route or field that several rules cover must pass all of them. */
export const RateLimitRule = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9-]{0,62}$',
      description: 'Names the rule in the RateLimit headers, metrics and logs. Rules with one name share one count.',
    }),
    limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'Requests allowed per window.' }),
    window: Type.Unsafe<string>({ ...Duration, description: 'The window, e.g. `1m`.' }),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'How many requests may come at once before the steady pace limit/window holds. Default: `limit`.',
      }),
    ),
    key: Type.Optional(
      Type.String({
        pattern: '^(viewer|ip|api-key|header:[A-Za-z0-9-]+)$',
        default: 'viewer',
        description:
          'What is counted: `viewer` (the authenticated viewer, else the ip), `ip` (IPv6 by /64), `api-key` (else the ip), or `header:NAME` (else the ip; only for headers that a trusted hop sets).',
      }),
    ),
    onStoreError: Type.Optional(
      Type.Union([Type.Literal('local'), Type.Literal('allow'), Type.Literal('deny')], {
        default: 'local',
        description:
          'What happens when Redis cannot be asked: `local` counts in this process, `allow` lets pass, `deny` answers 503.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type RateLimitRule = Type.Static<typeof RateLimitRule>;

/** What became of a request at the rules that cover it. */
export interface RateLimitDecision {
  readonly allowed: boolean;
  /** The rule that refused, or the one with the least left. Null when no rule covers the request. */
  readonly tightest: RateLimitState | null;
  /** The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers), all rules that were asked. */
  readonly headers: Readonly<Record<string, string>>;
  /** GatewayError to throw when not allowed: RATE_LIMIT_EXCEEDED, or SERVICE_UNAVAILABLE by `onStoreError: deny`. */
  readonly error: GatewayError | null;
}

/** One rule's count for one key, after the request. */
export interface RateLimitState {
  readonly rule: string;
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds until the next request passes; 0 when one passes now. */
  readonly retryAfterMs: number;
  /** Milliseconds until the whole quota is there again. */
  readonly resetMs: number;
}
