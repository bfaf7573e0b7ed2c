/**
 * What several rules' answers come to: one decision, with the header fields of
 * draft-ietf-httpapi-ratelimit-headers-11 and the error of a refusal.
 */
import { GatewayError } from './errors.ts';
import type { CompiledRule, GcraResult, RateLimitDecision, RateLimitState } from './rate-limit.ts';

/** What one rule said. Without a result the store failed and the rule says `allow` or `deny`. */
export interface Answer {
  readonly rule: CompiledRule;
  readonly result: GcraResult | null;
}

/** Whether the rule turns the request away. */
export function isRefusal({ rule, result }: Answer): boolean {
  return result === null ? rule.onStoreError === 'deny' : !result.allowed;
}

/** The decision with its headers and its error. Only the last answer can be a refusal. */
export function buildDecision(answers: readonly Answer[]): RateLimitDecision {
  const last = answers.at(-1);
  const refusal = last !== undefined && isRefusal(last) ? last : undefined;
  const headers: Record<string, string> = {};
  headers['ratelimit-policy'] = answers.map(({ rule }) => rule.policy).join(', ');
  let limits = '';
  let waitSeconds = 1;
  let tightest: Answer | undefined = refusal;
  for (const answer of answers) {
    const { rule, result } = answer;
    if (result === null) continue;
    const seconds = secondsUntilMore(rule, result);
    limits += `${limits === '' ? '' : ', '}"${rule.name}";r=${result.remaining};t=${seconds}`;
    // Section 6: Retry-After is not before the end of the effective window. Every exhausted rule counts, also one that
    // let this very request pass: it would refuse the next.
    if (result.remaining === 0) waitSeconds = Math.max(waitSeconds, seconds);
    if (refusal === undefined && result.remaining < (tightest?.result?.remaining ?? Infinity)) tightest = answer;
  }
  if (limits !== '') headers['ratelimit'] = limits;
  return {
    allowed: refusal === undefined,
    tightest: tightest === undefined ? null : toState(tightest),
    headers,
    error: refusal === undefined ? null : toError(refusal, waitSeconds),
  };
}

/**
 * `t` of section 4.1.2: for how long no more than `r` requests pass. With GCRA that ends when the next interval is paid
 * off, long before the whole quota is back.
 */
function secondsUntilMore(rule: CompiledRule, result: GcraResult): number {
  if (result.remaining === 0) return Math.max(1, Math.ceil(result.retryAfterMs / 1_000));
  const intervals = rule.burst - result.remaining - 1;
  return Math.max(1, Math.ceil((result.resetMs - (intervals * rule.emissionUs) / 1_000) / 1_000));
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
