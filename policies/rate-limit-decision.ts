/**
 * What several rules' answers come to: one decision, with the header fields of
 * draft-ietf-httpapi-ratelimit-headers-11 and the error of a refusal.
 */
import { GatewayError } from './errors.ts';
import type { ByteAccount } from './rate-limit-bytes.ts';
import type { CountResult } from './rate-limit-count.ts';
import type { CompiledRule } from './rate-limit-rule.ts';

/** What one rule said. Without a result the store failed and the rule says `allow` or `deny`. */
export interface Answer {
  readonly rule: CompiledRule;
  readonly result: CountResult | null;
  /** Where the rule counts bytes: whom they are charged to. */
  readonly account?: ByteAccount | undefined;
}

/** What became of a request at the rules that cover it. */
export interface RateLimitDecision {
  readonly allowed: boolean;
  /** The rule that refused, or the one with the least left of its limit. Null when no rule covers the request. */
  readonly tightest: RateLimitState | null;
  /** The header fields for the answer, of all rules that were asked. */
  readonly headers: Readonly<Record<string, string>>;
  /** GatewayError to throw when not allowed: RATE_LIMIT_EXCEEDED, or SERVICE_UNAVAILABLE by `onStoreError: deny`. */
  readonly error: GatewayError | null;
  /** To be called at the end of the request, where it holds slots of concurrency limits. */
  readonly release: (() => void) | null;
  /** Whom the bytes of the request are to be charged to, as they pass. Empty when it is refused. */
  readonly accounts: readonly ByteAccount[];
  readonly answers: readonly Answer[];
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

/**
 * `standard`: `RateLimit` and `RateLimit-Policy`. `legacy`: `X-RateLimit-Limit`, `-Remaining` and `-Reset` (in seconds
 * from now) of the tightest rule.
 */
export type RateLimitHeaders = 'standard' | 'legacy' | 'both' | 'none';

/** The decision where no rule covers a request. */
export const unlimited: RateLimitDecision = {
  allowed: true,
  tightest: null,
  headers: {},
  error: null,
  release: null,
  accounts: [],
  answers: [],
};

/** Whether the rule turns the request away. */
export function isRefusal({ rule, result }: Answer): boolean {
  return result === null ? rule.onStoreError === 'deny' : !result.allowed;
}

/** The decision with its headers and its error. A refused request holds no slots: they are given back here. */
export function buildDecision(answers: readonly Answer[], style: RateLimitHeaders = 'standard'): RateLimitDecision {
  const refusal = answers.find(isRefusal);
  let release = collectReleases(answers);
  if (refusal !== undefined) {
    release?.();
    release = null;
  }
  let waitSeconds = 1;
  let tightest: Answer | undefined = refusal;
  for (const answer of answers) {
    const { rule, result } = answer;
    if (result === null) continue;
    // Section 6: Retry-After is not before the end of the effective window. Every exhausted rule counts, also one that
    // let this very request pass: it would refuse the next.
    if (result.remaining === 0 || answer === refusal) {
      waitSeconds = Math.max(waitSeconds, Math.ceil(result.retryAfterMs / 1_000));
    }
    if (refusal === undefined && shareLeft(rule, result) < shareLeft(tightest?.rule, tightest?.result)) {
      tightest = answer;
    }
  }
  const state = tightest === undefined ? null : toState(tightest);
  return {
    allowed: refusal === undefined,
    tightest: state,
    headers: buildHeaders(answers, state, style),
    error: refusal === undefined ? null : toError(refusal, waitSeconds),
    release,
    accounts: refusal === undefined ? collectAccounts(answers) : none,
    answers,
  };
}

/** Decisions about one request that were made at different times, as one. Of a rule that was asked twice the later counts. */
export function mergeDecisions(
  before: RateLimitDecision | null,
  after: RateLimitDecision,
  style: RateLimitHeaders = 'standard',
): RateLimitDecision {
  if (before === null || before.answers.length === 0) return after;
  const byName = new Map(before.answers.map((answer) => [answer.rule.name, answer]));
  for (const answer of after.answers) {
    const known = byName.get(answer.rule.name);
    // Of several fields or operations that one rule covers, the one that has the least.
    if (known === undefined || isTighter(answer, known)) byName.set(answer.rule.name, answer);
  }
  // Whoever decided has given its slots to be released, and its accounts to be charged, already.
  const answers = [...byName.values()].map(({ rule, result }) => ({
    rule,
    result: result === null ? null : { ...result, release: undefined },
  }));
  return buildDecision(answers, style);
}

function isTighter(a: Answer, b: Answer): boolean {
  if (isRefusal(a) !== isRefusal(b)) return isRefusal(a);
  return (a.result?.remaining ?? Infinity) <= (b.result?.remaining ?? Infinity);
}

const none: readonly ByteAccount[] = [];

function collectAccounts(answers: readonly Answer[]): readonly ByteAccount[] {
  let found: ByteAccount[] | undefined;
  for (const { account } of answers) {
    if (account === undefined) continue;
    found ??= [];
    found.push(account);
  }
  return found ?? none;
}

function collectReleases(answers: readonly Answer[]): (() => void) | null {
  let found: (() => void)[] | undefined;
  for (const { result } of answers) {
    if (result?.release === undefined) continue;
    found ??= [];
    found.push(result.release);
  }
  if (found === undefined) return null;
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  const all = found;
  return () => {
    for (const release of all) release();
  };
}

/** Rules count different things, so the least is what is least of its own limit. */
function shareLeft(rule: CompiledRule | undefined, result: CountResult | null | undefined): number {
  return rule === undefined || result === null || result === undefined ? Infinity : result.remaining / rule.limit;
}

function buildHeaders(answers: readonly Answer[], tightest: RateLimitState | null, style: RateLimitHeaders) {
  const headers: Record<string, string> = {};
  if (style === 'standard' || style === 'both') {
    let policies = '';
    let limits = '';
    for (const { rule, result } of answers) {
      policies += policies === '' ? rule.policy : `, ${rule.policy}`;
      if (result === null) continue;
      limits += `${limits === '' ? '' : ', '}"${rule.name}";r=${result.remaining}${buildTime(rule, result)}`;
    }
    headers['ratelimit-policy'] = policies;
    if (limits !== '') headers['ratelimit'] = limits;
  }
  if (tightest !== null && (style === 'legacy' || style === 'both')) {
    headers['x-ratelimit-limit'] = String(tightest.limit);
    headers['x-ratelimit-remaining'] = String(tightest.remaining);
    headers['x-ratelimit-reset'] = String(Math.ceil(tightest.resetMs / 1_000));
  }
  return headers;
}

/** When a slot becomes free nobody knows, so nothing is said. */
function buildTime(rule: CompiledRule, result: CountResult): string {
  return rule.counting.algorithm === 'concurrency' ? '' : `;t=${secondsUntilMore(rule, result)}`;
}

/**
 * `t` of section 4.1.2: for how long no more than `r` requests pass. With GCRA that ends when the next interval is paid
 * off, long before the whole quota is back.
 */
function secondsUntilMore({ counting }: CompiledRule, result: CountResult): number {
  if (result.remaining === 0) return Math.max(1, Math.ceil(result.retryAfterMs / 1_000));
  if (!('burst' in counting)) return Math.max(1, Math.ceil(result.resetMs / 1_000));
  const intervals = counting.burst - result.remaining - 1;
  return Math.max(1, Math.ceil((result.resetMs - (intervals * counting.emissionUs) / 1_000) / 1_000));
}

function toState({ rule, result }: Answer): RateLimitState | null {
  if (result === null) return null;
  const { remaining, retryAfterMs, resetMs } = result;
  return { rule: rule.name, limit: rule.limit, remaining, retryAfterMs, resetMs };
}

function toError({ rule, result }: Answer, retryAfterSeconds: number): GatewayError {
  return result === null
    ? new GatewayError('SERVICE_UNAVAILABLE', `Rate limit "${rule.name}" cannot be checked`, { retryAfterSeconds })
    : new GatewayError('RATE_LIMIT_EXCEEDED', `Rate limit "${rule.name}" exceeded: ${rule.quota}`, {
        retryAfterSeconds,
      });
}
