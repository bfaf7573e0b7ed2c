/** A part of a request that has a deadline, or a departure, of its own: a field with a timeout, a flight that is shared. */
import type { IncomingHttpHeaders } from 'node:http';
import type { AnswerLifetime } from './answer-lifetime.ts';
import type { ErrorCode } from './errors.ts';
import type { RateLimitDecision } from './rate-limit-decision.ts';
import type { Attempt, Client, Departure, RequestContext, Viewer } from './request-context.ts';

/** What differs from the request that it is part of. */
export interface Difference {
  /** Never later than that of the request: an earlier one is somebody's wish, and says nothing about instances. */
  readonly deadlineAtMs?: number;
  readonly departure?: Departure;
  readonly lifetime?: AnswerLifetime;
}

/** The request with a difference. Attempts are told to the request itself; what else changes here stays here. */
export class DerivedContext implements RequestContext {
  readonly id: string;
  readonly door: 'graphql' | 'rest';
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly client: Client;
  viewer: Viewer | null;
  viewerFields: readonly string[] | undefined;
  deadlineAtMs: number;
  readonly isHurried: boolean;
  readonly departure: Departure;
  rateLimit: RateLimitDecision | null;
  name: string | null;
  errorCode: ErrorCode | null;
  lifetime: AnswerLifetime | undefined;
  readonly attempts: Attempt[];
  readonly atEnd: (listener: () => void) => void;

  constructor(base: RequestContext, difference: Difference) {
    const { deadlineAtMs = base.deadlineAtMs, departure = base.departure, lifetime = base.lifetime } = difference;
    this.id = base.id;
    this.door = base.door;
    this.method = base.method;
    this.headers = base.headers;
    this.client = base.client;
    this.viewer = base.viewer;
    this.viewerFields = base.viewerFields;
    this.deadlineAtMs = Math.min(deadlineAtMs, base.deadlineAtMs);
    this.isHurried = base.isHurried === true || deadlineAtMs < base.deadlineAtMs;
    this.departure = departure;
    this.rateLimit = base.rateLimit;
    this.name = base.name;
    this.errorCode = base.errorCode;
    this.lifetime = lifetime;
    this.attempts = base.attempts;
    this.atEnd = (listener) => base.atEnd(listener);
  }
}
