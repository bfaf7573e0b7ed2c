/** Rate limits: named rules, decided by GCRA in memory or in Redis. */
import Type from 'typebox';
import type { GatewayError } from './errors.ts';
import { type Answer, buildDecision, isRefusal } from './rate-limit-decision.ts';
import { buildKeyReader, type RateLimitSubject } from './rate-limit-key.ts';
import { createStorePause } from './rate-limit-pause.ts';
import { parseDurationMs } from './units.ts';

/** One named limit. A viewer, route or field that several rules cover must pass all of them. */
export const RateLimitRule = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9-]{0,62}$',
      description:
        'Names the rule in the RateLimit headers, metrics and logs. Rules with one name and the same numbers share one count; changed numbers start a new one.',
    }),
    limit: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'Requests allowed per window.' }),
    // Narrower than Duration: a window of nothing would be no limit at all.
    window: Type.String({
      pattern: '^(?=[\\d.]*[1-9])\\d{1,9}(\\.\\d+)?(ms|s|m|h|d)$',
      examples: ['1s', '1m', '1d'],
      description: 'The window, e.g. `1m`; at most a year.',
    }),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000_000,
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

/** A rule worked out once per snapshot: what the hot path needs. */
export interface CompiledRule extends GcraRule {
  readonly name: string;
  readonly limit: number;
  readonly onStoreError: 'local' | 'allow' | 'deny';
  /** Who is counted, as a key of bounded length that holds no secret. */
  readonly readKey: (subject: RateLimitSubject) => string;
  /** The rule's item in RateLimit-Policy. */
  readonly policy: string;
  /** The quota in words, for messages. */
  readonly quota: string;
}

/** The numbers of GCRA: a request costs one emission interval, and `burst` intervals may be owed at once. */
export interface GcraRule {
  readonly emissionUs: number;
  readonly burst: number;
}

/** What a store answers. The times are rounded up. */
export interface GcraResult {
  readonly allowed: boolean;
  /** Requests that would pass now, after this one. */
  readonly remaining: number;
  /** Milliseconds until the next request passes, or this one if it was refused; 0 when one passes now. */
  readonly retryAfterMs: number;
  /** Milliseconds until nothing is owed any more. */
  readonly resetMs: number;
}

/** Where counts live. `take` asks and counts in one step; what is refused is not counted. */
export interface RateLimitStore {
  take(key: string, rule: GcraRule, cost: number): GcraResult | Promise<GcraResult>;
  close(): void;
}

export interface RateLimiter {
  /**
   * Asks the rules in order; the first refusal ends it. The rules before it have counted the request, those after it
   * have not: put the rule that refuses most (the narrowest) first. Synchronous with a synchronous store.
   */
  check(rules: readonly CompiledRule[], subject: RateLimitSubject): RateLimitDecision | Promise<RateLimitDecision>;
}

export interface RateLimiterDependencies {
  /** Counts shared by several gateways. Without it, only `local` is asked. */
  readonly shared?: RateLimitStore | undefined;
  readonly local: RateLimitStore;
  /** Hears why `shared` failed, once per attempt to ask it again and not once per request. */
  readonly onStoreFailure?: ((error: unknown) => void) | undefined;
  /** Hears `allowed` or `refused` once for each rule asked, and `store-error` beside it when `shared` could not tell. */
  readonly onDecision?: ((rule: string, outcome: 'allowed' | 'refused' | 'store-error') => void) | undefined;
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
}

const maxWindowMs = 366 * 86_400_000;

/** Rules as the hot path wants them. Of several with one name the last counts, in the place of the first. */
export function compileRules(rules: readonly RateLimitRule[]): readonly CompiledRule[] {
  const byName = new Map<string, CompiledRule>();
  for (const rule of rules) byName.set(rule.name, compileRule(rule));
  return [...byName.values()];
}

function compileRule(rule: RateLimitRule): CompiledRule {
  const windowMs = Math.min(parseDurationMs(rule.window), maxWindowMs);
  const burst = rule.burst ?? rule.limit;
  const key = rule.key ?? 'viewer';
  return {
    name: rule.name,
    limit: rule.limit,
    burst,
    // Whole quarters of a microsecond: sums with a Unix time in microseconds stay exact in a double until 2041, so that
    // a burst of N lets exactly N pass.
    emissionUs: Math.max(0.25, Math.round((windowMs * 4_000) / rule.limit) / 4),
    onStoreError: rule.onStoreError ?? 'local',
    // The numbers are part of the key: what was owed under other numbers says nothing under these.
    readKey: buildKeyReader(`${rule.name}:${rule.limit}:${windowMs}:${burst}:${key}:`, key),
    policy: buildPolicy(rule.name, rule.limit, windowMs, burst),
    quota: `${rule.limit} requests per ${rule.window}`,
  };
}

/** Section 3.1 of the draft. `w` has no fractions of a second (3.1.3) and is left out rather than told wrong. */
function buildPolicy(name: string, limit: number, windowMs: number, burst: number): string {
  const window = windowMs % 1_000 === 0 ? `;w=${windowMs / 1_000}` : '';
  return `"${name}";q=${limit}${window}${burst === limit ? '' : `;selvage-burst=${burst}`}`;
}

const unlimited: RateLimitDecision = { allowed: true, tightest: null, headers: {}, error: null };

/** A rate limiter over one or two stores. */
export function createRateLimiter(dependencies: RateLimiterDependencies): RateLimiter {
  const { shared, local, onStoreFailure, onDecision } = dependencies;
  const pause = createStorePause(dependencies.now);

  function ask(rule: CompiledRule, subject: RateLimitSubject): Answer | Promise<Answer> {
    const key = rule.readKey(subject);
    if (shared === undefined) return hear(rule, local.take(key, rule, 1));
    if (!pause.mayAsk()) return fallBack(rule, key);
    return askShared(shared, rule, key);
  }

  async function askShared(store: RateLimitStore, rule: CompiledRule, key: string): Promise<Answer> {
    let result: GcraResult;
    try {
      result = await store.take(key, rule, 1);
    } catch (error) {
      if (pause.failed()) onStoreFailure?.(error);
      return fallBack(rule, key);
    }
    pause.succeeded();
    return hear(rule, result);
  }

  function fallBack(rule: CompiledRule, key: string): Answer | Promise<Answer> {
    onDecision?.(rule.name, 'store-error');
    return hear(rule, rule.onStoreError === 'local' ? local.take(key, rule, 1) : null);
  }

  function hear(rule: CompiledRule, result: GcraResult | Promise<GcraResult> | null): Answer | Promise<Answer> {
    if (result instanceof Promise) return result.then((settled) => hear(rule, settled));
    const answer = { rule, result };
    onDecision?.(rule.name, isRefusal(answer) ? 'refused' : 'allowed');
    return answer;
  }

  // Not an async function: with the memory store a decision costs no promise.
  function walk(
    rules: readonly CompiledRule[],
    subject: RateLimitSubject,
    answers: Answer[],
  ): RateLimitDecision | Promise<RateLimitDecision> {
    for (let rule = rules[answers.length]; rule !== undefined; rule = rules[answers.length]) {
      const answer = ask(rule, subject);
      if (answer instanceof Promise) {
        return answer.then((settled) => {
          answers.push(settled);
          return isRefusal(settled) ? buildDecision(answers) : walk(rules, subject, answers);
        });
      }
      answers.push(answer);
      if (isRefusal(answer)) break;
    }
    return buildDecision(answers);
  }

  return { check: (rules, subject) => (rules.length === 0 ? unlimited : walk(rules, subject, [])) };
}
