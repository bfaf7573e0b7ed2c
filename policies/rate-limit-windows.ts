/** Fixed and sliding windows over plain values. The scripts of the Redis store decide alike, step by step. */
import { type CountResult, type WindowRule, windowParts } from './rate-limit-count.ts';

/** The count of one key. */
export interface WindowCount {
  /** Until when it says anything. */
  endsAtMs: number;
  /** All that is counted, in the order in which it will be forgotten. */
  readonly parts: WindowPart[];
}

interface WindowPart {
  readonly part: number;
  count: number;
}

/** Decides, and counts in place; what is charged, whether there is room or not. A fresh count is `{ endsAtMs: 0, parts: [] }`. */
export function takeFromWindow(
  window: WindowCount,
  rule: WindowRule,
  cost: number,
  nowMs: number,
  isCharge = false,
): CountResult {
  return rule.algorithm === 'fixed-window'
    ? takeFixed(window, rule, cost, nowMs, isCharge)
    : takeSliding(window, rule, cost, nowMs, isCharge);
}

/** The window begins with the first request of a key: those of all keys do not end at the same moment. */
function takeFixed(
  window: WindowCount,
  { limit, windowMs }: WindowRule,
  cost: number,
  nowMs: number,
  isCharge: boolean,
): CountResult {
  const { parts } = window;
  if (window.endsAtMs <= nowMs) parts.length = 0;
  const used = parts[0]?.count ?? 0;
  const allowed = isCharge || used + cost <= limit;
  if (allowed) {
    if (parts[0] === undefined) {
      window.endsAtMs = nowMs + windowMs;
      parts.push({ part: 0, count: cost });
    } else parts[0].count += cost;
  }
  const remaining = Math.max(0, limit - used - (allowed ? cost : 0));
  const resetMs = parts.length === 0 ? 0 : Math.ceil(window.endsAtMs - nowMs);
  return { allowed, remaining, resetMs, retryAfterMs: allowed && remaining > 0 ? 0 : resetMs };
}

/**
 * Never more than the limit in any span of the window's length: a part is forgotten when all of it has been outside for
 * sure. The usual interpolation between two windows forgets too early whoever came in a lump.
 */
function takeSliding(
  window: WindowCount,
  { limit, windowMs }: WindowRule,
  cost: number,
  nowMs: number,
  isCharge: boolean,
): CountResult {
  const partMs = windowMs / windowParts;
  const now = Math.floor(nowMs / partMs);
  const { parts } = window;
  while (parts[0] !== undefined && parts[0].part < now - windowParts) parts.shift();
  let used = 0;
  for (const { count } of parts) used += count;
  const allowed = isCharge || used + cost <= limit;
  if (allowed) {
    const last = parts.at(-1);
    if (last?.part === now) last.count += cost;
    else parts.push({ part: now, count: cost });
    used += cost;
    window.endsAtMs = (now + windowParts + 1) * partMs;
  }
  const forgottenAt = (part: number): number => Math.ceil((part + windowParts + 1) * partMs - nowMs);
  const last = parts.at(-1);
  return {
    allowed,
    remaining: Math.max(0, limit - used),
    resetMs: last === undefined ? 0 : forgottenAt(last.part),
    retryAfterMs: untilFree(used + (allowed ? 1 : cost) - limit),
  };

  /** When the oldest parts that hold as many will be forgotten. */
  function untilFree(excess: number): number {
    if (excess <= 0) return 0;
    let freed = 0;
    for (const { part, count } of parts) {
      freed += count;
      if (freed >= excess) return forgottenAt(part);
    }
    return last === undefined ? Math.ceil(windowMs) : forgottenAt(last.part);
  }
}
