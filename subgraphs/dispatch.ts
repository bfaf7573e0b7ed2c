/** One attempt of a call: from the chosen instance to the end of its answer, or to what kept it from answering. */
import { GatewayError } from '../policies/errors.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { AttemptAccount } from './attempt-account.ts';
import type { CallOptions, CallRequest, Flow } from './call.ts';
import {
  type CallFailure,
  classifyFailure,
  departureFailure,
  isRefusedStream,
  lateFailure,
  outrunFailure,
  refusalFailure,
  refusedStreamFailure,
  statusFailure,
  toError,
} from './call-failure.ts';
import { type CallLimits, deadlineOf, isEventStream, timeToHead, timeToNextByte } from './call-time.ts';
import type { ExchangeControl, ExchangeHandler, ExchangeRequest } from './exchange.ts';
import { gatewayHeaders } from './forwarding.ts';
import type { InstanceState } from './instance-state.ts';
import { findHeader, readRetryAfterMs } from './raw-headers.ts';
import { withTrailers } from './request-trailers.ts';

/** The call that an attempt belongs to. */
export interface CallScope extends CallLimits {
  readonly request: CallRequest;
  readonly context: RequestContext;
  readonly options: CallOptions;
  /** Whether an answer with a status that invites another try is set aside for that try. */
  setsAside(retryAfterMs: number | undefined): boolean;
  /** This attempt has the answer: any other one is over. `waitedMs`: how long it took. */
  claim(dispatch: Dispatch, waitedMs: number, status: number): void;
  /** The cookie with which an answer of this instance goes out; null for none. */
  sessionCookie(instance: InstanceState): string | null;
}

/** What became of an attempt. */
export type Outcome =
  | { readonly kind: 'answered' }
  /** The instance answered 502, 503 or 504, and the call goes on with another attempt. */
  | { readonly kind: 'set aside'; readonly failure: CallFailure }
  | { readonly kind: 'failed'; readonly failure: CallFailure };

/** How much of an answer that was set aside is read to keep its connection. Beyond it a new connection is cheaper. */
const maxDiscardedBytes = 65_536;
/** Of one attempt. An endless row of them would hold a request without ever answering it. */
const maxInterims = 20;
/** Node's timers take 31 bits, and fire at once beyond. */
const longestTimerMs = 2_147_483_647;
const answered: Outcome = { kind: 'answered' };

export class Dispatch implements ExchangeHandler, Flow {
  readonly #scope: CallScope;
  readonly #instance: InstanceState;
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #account: AttemptAccount;
  /** Waiting for the head; handing the answer over; reading an answer set aside; over. */
  #state: 'waiting' | 'streaming' | 'discarding' | 'over' = 'waiting';
  #sent = false;
  #status = 0;
  #discardedBytes = 0;
  /** Of the body, by its `Content-Length`; NaN without one. */
  #leftBytes = Number.NaN;
  #interims = 0;
  #control: ExchangeControl | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** When the body of the answer last flowed; infinity while it is the client who has to read. */
  #movedAtMs = 0;
  #rawHeaders: readonly string[] = [];

  constructor(scope: CallScope, instance: InstanceState) {
    this.#scope = scope;
    this.#instance = instance;
    this.#account = new AttemptAccount(scope, instance, scope.options.now());
  }

  /** Sends the request. The promise never rejects. */
  start(): Promise<Outcome> {
    const { startedAtMs } = this.#account;
    const remainingMs = deadlineOf(this.#scope, startedAtMs) - startedAtMs;
    const request = this.#buildRequest(remainingMs);
    this.#account.open();
    this.#wake(Math.min(this.#scope.timeoutMs, remainingMs));
    this.#instance.connections.dispatch(request, this);
    return this.#outcome.promise;
  }

  /** The client left. */
  leave(): void {
    this.#cut(departureFailure(this.#scope.request.service, this.#sent));
  }

  /** Another attempt has the answer. Returns how long this one has waited for its own. */
  lose(): number {
    const waitedMs = this.#account.waitedMs(this.#scope.options.now());
    if (this.#state === 'waiting') this.#cut(outrunFailure(this.#scope.request.service), 'HEDGED');
    return waitedMs;
  }

  /** For the receiver: goes on after a pause. */
  resume(): void {
    this.#movedAtMs = this.#scope.options.now();
    this.#control?.resume();
  }

  /** For the receiver: gives the answer up. */
  abort(reason: Error): void {
    this.#cut(refusalFailure(reason));
  }

  onRequestStart(control: ExchangeControl): void {
    // Given up while it waited for a connection: nothing is sent of what is aborted here.
    if (this.#state === 'over') {
      control.abort(new Error('given up before it began'));
    } else {
      this.#control = control;
      this.#sent = true;
    }
  }

  onResponseStart(control: ExchangeControl, status: number, rawHeaders: string[]): void {
    if (this.#state !== 'waiting') return;
    if (status < 200) {
      this.#passInterim(control, status, rawHeaders);
      return;
    }
    this.#status = status;
    const nowMs = this.#scope.options.now();
    this.#account.noteHead(status, nowMs);
    if (status >= 502 && status <= 504 && this.#scope.setsAside(readRetryAfterMs(rawHeaders))) this.#setAside(status);
    else this.#handOver(status, rawHeaders, nowMs);
  }

  onResponseData(control: ExchangeControl, chunk: Buffer): void {
    if (this.#state === 'discarding') {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes > maxDiscardedBytes) control.abort(new Error('not worth reading on'));
    } else if (this.#state === 'streaming') {
      this.#leftBytes -= chunk.length;
      try {
        if (this.#scope.request.receiver.onData(chunk)) this.#movedAtMs = this.#scope.options.now();
        else {
          this.#movedAtMs = Number.POSITIVE_INFINITY;
          control.pause();
        }
      } catch (thrown) {
        this.abort(toError(thrown));
      }
    }
  }

  holdsNothing(): boolean {
    return this.#scope.request.receiver.holdsNothing?.() === true;
  }

  onResponseEnd(_control: ExchangeControl, rawTrailers: string[]): void {
    if (this.#state === 'discarding') this.#release();
    if (this.#state !== 'streaming') return;
    try {
      this.#scope.request.receiver.onEnd(rawTrailers);
    } catch (thrown) {
      this.abort(toError(thrown));
      return;
    }
    this.#account.noteEnd();
    this.#release();
    this.#outcome.resolve(answered);
    this.#account.record(this.#status);
  }

  onResponseError(control: ExchangeControl | null, error: Error): void {
    if (this.#state === 'discarding') this.#release();
    // Paused behind the last byte of the body, undici takes the end of the connection for that of the answer.
    if (this.#state === 'streaming' && this.#leftBytes === 0 && control !== null) this.onResponseEnd(control, []);
    if (this.#state === 'over') return;
    const { request, upload } = this.#scope;
    if (this.#state === 'waiting' && upload?.started !== true && isRefusedStream(error)) {
      this.#fail(refusedStreamFailure(error, request.service));
      return;
    }
    const broken = upload?.failure ?? null;
    // Whoever feeds the body may have broken it off with a verdict; otherwise it was the client who did.
    if (broken === null || broken instanceof GatewayError) {
      this.#fail(classifyFailure(broken ?? error, request.service, this.#sent));
    } else this.#fail(departureFailure(request.service, this.#sent, broken));
  }

  /** The timer ran out, which may have been set before an upload or a body moved on. */
  checkTime(): void {
    const nowMs = this.#scope.options.now();
    if (this.#state === 'streaming') this.#checkBodyTime(nowMs);
    else if (this.#state === 'waiting') this.#checkHeadTime(nowMs);
  }

  #checkHeadTime(nowMs: number): void {
    const { leftMs, hadItsTime } = timeToHead(this.#scope, this.#account.startedAtMs, nowMs);
    // Timers may come a little early; what is left then is not worth another one.
    if (leftMs >= 1) this.#wake(leftMs);
    else this.#cut(lateFailure(this.#scope.request.service, this.#sent, hadItsTime));
  }

  /** Asked when the time for the head is over, and then whenever the body may have been idle for too long. */
  #checkBodyTime(nowMs: number): void {
    const { context, request, timeoutMs } = this.#scope;
    const dueMs = request.bodyByDeadline === true ? context.deadlineAtMs - nowMs : Number.POSITIVE_INFINITY;
    let idleMs = timeToNextByte(this.#scope, this.#movedAtMs, nowMs);
    if (idleMs < 1 && request.idleTimeoutMs === undefined && isEventStream(this.#rawHeaders)) idleMs = longestTimerMs;
    const leftMs = Math.min(dueMs, idleMs);
    if (leftMs >= 1) this.#wake(leftMs);
    else {
      const hadItsTime = idleMs < 1 || context.isHurried !== true || nowMs - this.#account.startedAtMs >= timeoutMs - 1;
      this.#cut(lateFailure(request.service, this.#sent, hadItsTime));
    }
  }

  #buildRequest(remainingMs: number): ExchangeRequest {
    const { request, context, upload } = this.#scope;
    const headers = request.headers.concat(gatewayHeaders(context, remainingMs));
    const trailers = this.#instance.speaksHttp2 ? undefined : request.trailers;
    if (trailers !== undefined && upload !== null) headers.push('trailer', trailers.announced);
    const body = trailers === undefined || upload === null ? upload : withTrailers(upload, trailers);
    return {
      method: request.method,
      path: request.path,
      headers,
      body: body ?? (request.body as string | Buffer | null),
    };
  }

  #handOver(status: number, rawHeaders: string[], nowMs: number): void {
    this.#state = 'streaming';
    const { request, idleTimeoutMs, timeoutMs } = this.#scope;
    this.#movedAtMs = nowMs;
    this.#scope.claim(this, this.#account.waitedMs(nowMs), status);
    // Otherwise the timer that was set for the head comes early enough: most answers have ended by then.
    if (idleTimeoutMs < timeoutMs || request.bodyByDeadline === true) {
      clearTimeout(this.#timer);
      this.#checkBodyTime(nowMs);
    }
    this.#rawHeaders = rawHeaders;
    this.#leftBytes = Number.parseInt(findHeader(rawHeaders, 'content-length') ?? '', 10);
    const cookie = this.#scope.sessionCookie(this.#instance);
    if (cookie !== null) rawHeaders.push('set-cookie', cookie);
    try {
      request.receiver.onHead(status, rawHeaders, this);
    } catch (thrown) {
      this.abort(toError(thrown));
    }
  }

  /** A receiver that fails here fails at the head again, where it counts. */
  #passInterim(control: ExchangeControl, status: number, rawHeaders: readonly string[]): void {
    if (++this.#interims > maxInterims) {
      control.abort(new Error('more interim answers than make sense'));
    } else if (status === 102 || status === 103) {
      this.#scope.request.receiver.onInterim?.(status, rawHeaders);
    }
  }

  #wake(afterMs: number): void {
    this.#timer = setTimeout(checkTime, Math.min(afterMs, longestTimerMs), this);
  }

  #setAside(status: number): void {
    clearTimeout(this.#timer);
    this.#state = 'discarding';
    const failure = statusFailure(this.#scope.request.service, status);
    this.#instance.noteFailure(failure);
    this.#outcome.resolve({ kind: 'set aside', failure });
    this.#account.record(status);
  }

  #cut(failure: CallFailure, outcome?: string): void {
    if (this.#state === 'over' || this.#state === 'discarding') return;
    this.#fail(failure, outcome);
    this.#control?.abort(failure.error);
  }

  #fail(failure: CallFailure, outcome?: string): void {
    if (this.#state === 'over') return;
    const headSeen = this.#state === 'streaming';
    this.#release();
    this.#account.noteFailure(failure, this.#sent, headSeen);
    this.#outcome.resolve({ kind: 'failed', failure: headSeen ? { ...failure, final: true } : failure });
    this.#account.record(outcome ?? (failure.error instanceof GatewayError ? failure.error.code : 'ABORTED'));
  }

  #release(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#account.close();
  }
}

function checkTime(dispatch: Dispatch): void {
  dispatch.checkTime();
}
