/** A part of a request that has a deadline, or a departure, of its own: a field with a timeout, a flight that is shared. */
import type { IncomingHttpHeaders } from 'node:http';
import type { AnswerLifetime } from './answer-lifetime.ts';
import type { Degradation } from './degradation.ts';
import type { ErrorCode } from './errors.ts';
import type { RateLimitDecision } from './rate-limit-decision.ts';
import type { Attempt, ChangeCall, Client, Departure, RequestContext, Viewer } from './request-context.ts';
import type { ServiceHeaders } from './service-headers.ts';

/** What differs from the request that it is part of. */
export interface Difference {
  /** Never later than that of the request: an earlier one is somebody's wish, and says nothing about instances. */
  readonly deadlineAtMs?: number;
  readonly departure?: Departure;
  /** Where what services say of their answers is for others as well. */
  readonly lifetime?: AnswerLifetime;
  /** Where it is not the request itself that the client waits for. */
  readonly serviceHeaders?: ServiceHeaders | undefined;
  /** Whether the request goes on without it: what happens here is told to nobody. @default false */
  readonly detached?: boolean;
}

const neverDeparts: Departure = { happened: false, subscribe: () => () => {} };

/** The request with a difference. Attempts and substitutes are told to the request itself; what else changes here stays here. */
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
  readonly changeCall: ChangeCall | undefined;
  rateLimit: RateLimitDecision | null;
  name: string | null;
  errorCode: ErrorCode | null;
  lifetime: AnswerLifetime | undefined;
  readonly serviceHeaders: ServiceHeaders | undefined;
  readonly attempts: Attempt[];
  readonly degraded: Degradation[] | undefined;
  readonly atEnd: (listener: () => void) => void;

  constructor(base: RequestContext, difference: Difference) {
    const { detached = false, deadlineAtMs = base.deadlineAtMs } = difference;
    const { departure = detached ? neverDeparts : base.departure } = difference;
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
    this.changeCall = base.changeCall;
    this.rateLimit = detached ? null : base.rateLimit;
    this.name = base.name;
    this.errorCode = detached ? null : base.errorCode;
    this.lifetime = difference.lifetime ?? (detached ? undefined : base.lifetime);
    this.serviceHeaders = difference.serviceHeaders ?? (detached ? undefined : base.serviceHeaders);
    this.attempts = detached ? [] : base.attempts;
    this.degraded = detached ? [] : base.degraded;
    // Of what is detached the request itself is over.
    this.atEnd = (listener) => (detached ? listener() : base.atEnd(listener));
  }
}
