/** One attempt to leave HTTP with one instance: connect, ask, and take the answer as far as its head. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { GatewayError } from '../policies/errors.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { CallOptions } from './call.ts';
import { type CallFailure, classifyFailure, departureFailure, lateFailure } from './call-failure.ts';
import { gatewayHeaders } from './forwarding.ts';
import type { InstanceState } from './instance-state.ts';
import type { UpgradeAnswer, UpgradeRequest } from './upgrade-call.ts';

export type AttemptOutcome = UpgradeAnswer | { readonly kind: 'failed'; readonly failure: CallFailure };

export interface UpgradeAttemptOptions extends Pick<CallOptions, 'observer' | 'now' | 'bodyIdleTimeoutMs'> {
  readonly timeoutMs: number;
}

/** Node's timers take 31 bits. */
const longestTimerMs = 2_147_483_647;

export class UpgradeAttempt {
  readonly #instance: InstanceState;
  readonly #request: UpgradeRequest;
  readonly #context: RequestContext;
  readonly #options: UpgradeAttemptOptions;
  readonly #outcome = Promise.withResolvers<AttemptOutcome>();
  readonly #startedAtMs: number;
  #permit = 0;
  #sent = false;
  #over = false;
  #sending: ClientRequest | null = null;

  constructor(
    instance: InstanceState,
    request: UpgradeRequest,
    context: RequestContext,
    options: UpgradeAttemptOptions,
  ) {
    this.#instance = instance;
    this.#request = request;
    this.#context = context;
    this.#options = options;
    this.#startedAtMs = options.now();
  }

  /** The promise never rejects. */
  start(): Promise<AttemptOutcome> {
    const { service } = this.#request;
    const leftMs = this.#context.deadlineAtMs - this.#startedAtMs;
    this.#permit = this.#instance.breaker.begin(this.#startedAtMs);
    this.#instance.inFlight++;
    const hadItsTime = this.#context.isHurried !== true || this.#options.timeoutMs <= leftMs;
    const timer = setTimeout(
      () => this.#fail(lateFailure(service, this.#sent, this.#sent && hadItsTime)),
      Math.min(this.#options.timeoutMs, leftMs, longestTimerMs),
    );
    const unsubscribe = this.#context.departure.subscribe(() => this.#fail(departureFailure(service, this.#sent)));
    void this.#outcome.promise.then(() => {
      clearTimeout(timer);
      unsubscribe();
    });
    this.#instance.connect().then(
      (socket) => this.#send(socket),
      (error) => this.#fail(classifyFailure(error, service, false)),
    );
    return this.#outcome.promise;
  }

  #send(socket: Socket): void {
    if (this.#over) {
      socket.destroy();
      return;
    }
    const { service, method, path } = this.#request;
    try {
      const sending = httpRequest({
        createConnection: () => socket,
        method,
        path,
        setHost: false,
        headers: this.#buildHeaders(),
      });
      this.#sending = sending;
      this.#sent = true;
      sending.once('upgrade', (head, connection, rest) => this.#take(head, connection as Socket, rest));
      sending.once('response', (response) => this.#refuse(response, socket));
      // Stays: Node may tell of a connection that breaks more than once.
      sending.on('error', (error) => this.#fail(classifyFailure(error, service, true)));
      sending.end();
    } catch (thrown) {
      socket.destroy();
      const error = new GatewayError('BAD_REQUEST', 'The request cannot be forwarded', { service, cause: thrown });
      this.#fail(classifyFailure(error, service, false));
    }
  }

  #buildHeaders(): string[] {
    const { headers, protocol, method } = this.#request;
    // No time is told: the deadline is that of the handshake, and what follows has none.
    const all = [...headers, ...gatewayHeaders(this.#context, Number.POSITIVE_INFINITY)];
    if (!hasField(headers, 'host')) all.push('host', new URL(this.#instance.url).host);
    // Node would announce a chunked body.
    if (method !== 'GET' && !hasField(headers, 'content-length')) all.push('content-length', '0');
    all.push('connection', 'Upgrade', 'upgrade', protocol);
    return all;
  }

  #take(head: IncomingMessage, socket: Socket, rest: Buffer): void {
    // Whoever gets the socket listens for its end a moment later.
    socket.on('error', () => {});
    if (!this.#request.isAnsweredBy(head)) {
      socket.destroy();
      this.#failWrong();
      return;
    }
    if (!this.#conclude(101)) {
      socket.destroy();
      return;
    }
    const instance = this.#instance;
    instance.inFlight--;
    instance.upgrades++;
    socket.once('close', () => {
      instance.upgrades--;
    });
    this.#outcome.resolve({ kind: 'switched', rawHeaders: head.rawHeaders, socket, head: rest });
  }

  #failWrong(): void {
    const wrong = new Error('the answer with status 101 is not one to this request');
    this.#fail(classifyFailure(wrong, this.#request.service, true));
  }

  #refuse(response: IncomingMessage, socket: Socket): void {
    // A 101 that does not say to what.
    if ((response.statusCode ?? 0) < 200) {
      this.#failWrong();
      return;
    }
    if (!this.#conclude(response.statusCode ?? 502)) {
      response.destroy();
      return;
    }
    const instance = this.#instance;
    socket.setTimeout(this.#options.bodyIdleTimeoutMs, () => response.destroy(new Error('no byte in time')));
    response.once('close', () => {
      instance.inFlight--;
    });
    this.#outcome.resolve({ kind: 'refused', rawHeaders: response.rawHeaders, response });
  }

  /** The head of an answer is there. False when that is too late. */
  #conclude(status: number): boolean {
    if (this.#over) return false;
    this.#over = true;
    const { breaker, health, latency } = this.#instance;
    const nowMs = this.#options.now();
    const tookMs = nowMs - this.#startedAtMs;
    if (status >= 500) {
      breaker.fail(this.#permit, nowMs);
      latency.observeFailure(tookMs, this.#options.timeoutMs, nowMs);
    } else {
      breaker.succeed(this.#permit);
      latency.observe(tookMs, nowMs);
    }
    health.noteStatus(status, tookMs);
    this.#record(status);
    return true;
  }

  #fail(failure: CallFailure): void {
    if (this.#over) return;
    this.#over = true;
    const { breaker, health, latency } = this.#instance;
    const nowMs = this.#options.now();
    this.#instance.inFlight--;
    this.#instance.noteFailure(failure);
    if (failure.countsAgainstInstance) {
      breaker.fail(this.#permit, nowMs);
      latency.observeFailure(nowMs - this.#startedAtMs, this.#options.timeoutMs, nowMs);
      health.noteBreak(false);
    } else breaker.release(this.#permit);
    this.#record(failure.error instanceof GatewayError ? failure.error.code : 'ABORTED');
    this.#outcome.resolve({ kind: 'failed', failure });
    this.#sending?.destroy();
  }

  #record(outcome: number | string): void {
    const { service } = this.#request;
    const durationMs = this.#options.now() - this.#startedAtMs;
    const attempt = { service, instance: this.#instance.id, outcome, durationMs };
    this.#context.attempts.push(attempt);
    this.#options.observer?.onAttempt(attempt, this.#context);
  }
}

function hasField(headers: readonly string[], name: string): boolean {
  return headers.some((field, index) => index % 2 === 0 && field.toLowerCase() === name);
}
