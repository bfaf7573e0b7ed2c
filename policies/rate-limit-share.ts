/**
 * Local shares of counts that others keep: of a key that is asked for often, a process takes several units at once and
 * spends them by itself. Never more than the limit passes, because what is taken is counted at once; what is taken and
 * not spent in time is lost.
 */
import type { CountResult, CountRule, LocalShare, RateLimitStore } from './rate-limit-count.ts';

interface Held {
  /** Units to spend, and until when. */
  left: number;
  keptUntilMs: number;
  /** What the store said last. */
  remaining: number;
  resetMs: number;
  /** Until when the store would refuse whatever costs as much: counts of others only grow. */
  refusedUntilMs: number;
  refusedCost: number;
  askedAtMs: number;
  pending: Promise<unknown> | undefined;
}

/** A key is asked for often when it was asked for within this time. */
const oftenMs = 1_000;
const maxKeys = 10_000;

/** Takes the place of a store for rules with a local share; the others go through. */
export function createLocalShares(store: RateLimitStore, now: () => number = () => performance.now()): RateLimitStore {
  const heldByKey = new Map<string, Held>();

  function heldOf(key: string): Held {
    const known = heldByKey.get(key);
    if (known !== undefined) return known;
    // What is forgotten here is only lost: it was counted.
    if (heldByKey.size >= maxKeys) heldByKey.clear();
    const held: Held = {
      left: 0,
      keptUntilMs: 0,
      remaining: 0,
      resetMs: 0,
      refusedUntilMs: 0,
      refusedCost: 0,
      askedAtMs: Number.NEGATIVE_INFINITY,
      pending: undefined,
    };
    heldByKey.set(key, held);
    return held;
  }

  function spend(held: Held, cost: number): CountResult | undefined {
    const nowMs = now();
    if (held.refusedUntilMs > nowMs && cost >= held.refusedCost) {
      const retryAfterMs = Math.ceil(held.refusedUntilMs - nowMs);
      return { allowed: false, remaining: held.remaining, retryAfterMs, resetMs: Math.max(held.resetMs, retryAfterMs) };
    }
    if (held.left < cost || held.keptUntilMs <= nowMs) return undefined;
    held.left -= cost;
    const remaining = held.remaining + held.left;
    return { allowed: true, remaining, retryAfterMs: 0, resetMs: held.resetMs };
  }

  async function ask(key: string, rule: CountRule, cost: number, share: LocalShare, held: Held): Promise<CountResult> {
    const nowMs = now();
    const isOften = nowMs - held.askedAtMs < oftenMs;
    held.askedAtMs = nowMs;
    if (isOften && share.units > cost) {
      const many = await store.take(key, rule, share.units);
      if (many.allowed) {
        held.left = share.units - cost;
        held.keptUntilMs = now() + share.keepMs;
        held.remaining = many.remaining;
        held.resetMs = many.resetMs;
        return { ...many, remaining: many.remaining + held.left, retryAfterMs: 0 };
      }
    }
    // There are not so many any more: from here on each one is counted exactly.
    const one = await store.take(key, rule, cost);
    held.remaining = one.remaining;
    held.resetMs = one.resetMs;
    if (!one.allowed) {
      held.refusedUntilMs = now() + one.retryAfterMs;
      held.refusedCost = cost;
    }
    return one;
  }

  async function takeInTurn(
    key: string,
    rule: CountRule,
    cost: number,
    share: LocalShare,
    held: Held,
  ): Promise<CountResult> {
    // Those who come while one asks may find enough when it has asked.
    while (held.pending !== undefined) {
      await held.pending;
      const spent = spend(held, cost);
      if (spent !== undefined) return spent;
    }
    const asked = ask(key, rule, cost, share, held);
    held.pending = asked;
    try {
      return await asked;
    } finally {
      held.pending = undefined;
    }
  }

  return {
    take(key, rule, cost) {
      const share = rule.algorithm === 'concurrency' ? undefined : rule.share;
      if (share === undefined) return store.take(key, rule, cost);
      const held = heldOf(key);
      return spend(held, cost) ?? takeInTurn(key, rule, cost, share, held);
    },
    charge(key, rule, cost) {
      const share = rule.algorithm === 'concurrency' ? undefined : rule.share;
      if (share === undefined) return store.charge(key, rule, cost);
      const held = heldOf(key);
      const own = held.keptUntilMs > now() ? Math.min(held.left, cost) : 0;
      held.left -= own;
      if (own < cost) return store.charge(key, rule, cost - own);
      return { allowed: true, remaining: held.remaining + held.left, retryAfterMs: 0, resetMs: held.resetMs };
    },
    close: () => store.close(),
  };
}
