/** How long the client library waits before it asks a gateway again. */
import { type Answer, isIll } from './client-request.ts';

export interface RetryOptions {
  /** Longest wait. @default 5 seconds for a gateway that is away or ill, 30 seconds for one that refuses */
  readonly maxRetryMs: number | undefined;
  readonly leaseSeconds: number;
  readonly random: () => number;
}

const firstRetryMs = 100;
const longestAwayMs = 5_000;
/** A refusal heals when somebody changes something, here or elsewhere; asking more often only costs compositions. */
const longestRefusedMs = 30_000;
/** A gateway that asks for more is not believed. */
const longestAskedForMs = 10 * 60_000;

/** Time until the next try after so many failures in a row: growing, bounded, never less than the gateway asked for. */
export function buildRetryDelay(answer: Answer, failures: number, options: RetryOptions): number {
  const { random } = options;
  // The exponent is bounded, because 2 ** 1024 is infinite, and so a gateway may be away for days.
  const growingMs = firstRetryMs * 2 ** Math.min(failures - 1, 20);
  const backoffMs = Math.min(growingMs, longestWait(answer, options)) * (0.5 + 0.5 * random());
  const retryAfterMs = answer.kind === 'answered' ? answer.retryAfterMs : undefined;
  if (retryAfterMs === undefined) return backoffMs;
  // Later by chance, never earlier: all instances were told the same moment.
  return Math.max(backoffMs, Math.min(retryAfterMs, longestAskedForMs) * (1 + 0.2 * random()));
}

function longestWait(answer: Answer, { maxRetryMs, leaseSeconds }: RetryOptions): number {
  if (answer.kind === 'answered' && !isIll(answer)) return maxRetryMs ?? longestRefusedMs;
  // A gateway that comes back counts the leases from then: an instance with a short one must be among the first.
  return Math.min(maxRetryMs ?? longestAwayMs, (leaseSeconds * 1_000) / 3);
}

/** Time between two heartbeats: three in a lease, and not together with those that started at the same time. */
export function buildHeartbeatDelay({ leaseSeconds, random }: RetryOptions): number {
  return (leaseSeconds * 1_000 * (0.8 + 0.2 * random())) / 3;
}
