/**
 * How long an attempt may still take. Three clocks: the deadline and the timeout run until the head of an answer, and
 * stand still while the body of the request flows; a body, in either direction, may take as long as it does flow.
 */
import { readMediaType } from '../policies/media-type.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { Upload } from './upload.ts';

/** The limits of a call. */
export interface CallLimits {
  readonly context: Pick<RequestContext, 'deadlineAtMs' | 'isHurried'>;
  /** The body of the request when it is a stream. */
  readonly upload: Upload | null;
  /** Time for one attempt, until the head of the answer. */
  readonly timeoutMs: number;
  /** Time without a byte, in either body. */
  readonly idleTimeoutMs: number;
}

/** What is left, and whether it is the instance's fault when it is nothing. */
export interface TimeLeft {
  readonly leftMs: number;
  readonly hadItsTime: boolean;
}

/** The moment after which the head of an answer is of no use: the deadline, later by the time that the body took. */
export function deadlineOf({ context, upload }: Pick<CallLimits, 'context' | 'upload'>, nowMs: number): number {
  return upload === null ? context.deadlineAtMs : context.deadlineAtMs + upload.durationMs(nowMs);
}

/** Until the head of the answer. While it is the client who is waited for nothing is due: the door cuts one that stalls. */
export function timeToHead(limits: CallLimits, startedAtMs: number, nowMs: number): TimeLeft {
  const { context, upload, timeoutMs, idleTimeoutMs } = limits;
  const dueMs = deadlineOf(limits, nowMs) - nowMs;
  // The least that is left whenever the client should go on.
  if (upload?.waitsForClient === true) return { leftMs: Math.max(1, Math.min(timeoutMs, dueMs)), hadItsTime: false };
  const sinceMs = Math.max(startedAtMs, upload?.movedAtMs ?? 0);
  // While it still takes pieces a service may rest as long as in any body; its answer is due when it has them all.
  const takes = upload?.started === true && !upload.ended;
  const allowedMs = takes ? Math.max(timeoutMs, idleTimeoutMs) : timeoutMs;
  const leftMs = Math.min(dueMs, allowedMs - (nowMs - sinceMs));
  const hadItsTime = context.isHurried !== true || nowMs - sinceMs >= timeoutMs - 1;
  return { leftMs, hadItsTime };
}

/** Within the body of the answer: since a byte of it came, or one of the request was taken; a client's turn is not its. */
export function timeToNextByte({ upload, idleTimeoutMs }: CallLimits, movedAtMs: number, nowMs: number): number {
  if (upload?.waitsForClient === true) return idleTimeoutMs;
  return idleTimeoutMs - (nowMs - Math.max(movedAtMs, upload?.movedAtMs ?? 0));
}

/** Whether an answer may be silent for as long as it likes: events come when something happens. */
export function isEventStream(rawHeaders: readonly string[]): boolean {
  return readMediaType(rawHeaders) === 'text/event-stream';
}
