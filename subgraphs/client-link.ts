/** One instance at one gateway: registers it, keeps its lease, registers again what was forgotten, and takes leave. */
import type { ErrorReason } from '../policies/errors.ts';
import type { ClientTimers } from './client.ts';
import type { LinkEvent } from './client-events.ts';
import type { InstanceRegistration, ServiceDefinition } from './service-definition.ts';

/** How it stands with one gateway. */
export type LinkState =
  | { readonly status: 'registering' }
  | { readonly status: 'registered' }
  /** Refused or unreachable; `attempt` counts from 1. */
  | { readonly status: 'retrying'; readonly attempt: number }
  | { readonly status: 'draining' }
  | { readonly status: 'deregistered' };

export interface GatewayLinkOptions {
  /** Base URL of the admin port, without a slash at the end. */
  readonly admin: string;
  readonly service: string;
  readonly id: string;
  readonly definition: ServiceDefinition;
  readonly registration: InstanceRegistration & { readonly leaseSeconds: number };
  readonly token: string | undefined;
  readonly maxRetryMs: number;
  readonly emit: (event: LinkEvent) => void;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly random: () => number;
  readonly timers: ClientTimers;
}

export interface GatewayLink {
  readonly admin: string;
  readonly state: LinkState;
  /** Resolves after the first try. */
  readonly asked: Promise<void>;
  /** Drains, waits, deregisters. Gives up 5 seconds after the wait at the latest. */
  leave(drainMs: number): Promise<void>;
}

/** What came of a request. */
type Answer =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly message: string;
      readonly reasons: readonly ErrorReason[];
    }
  | { readonly kind: 'failed'; readonly cause: unknown };

const requestTimeoutMs = 5_000;
const firstRetryMs = 100;

/** Starts at once. */
export function createGatewayLink(options: GatewayLinkOptions): GatewayLink {
  const { admin, emit, random, timers } = options;
  const servicePath = `/services/${encodeURIComponent(options.service)}`;
  const instancePath = `${servicePath}/instances/${encodeURIComponent(options.id)}`;
  let state: LinkState = { status: 'registering' };
  let isServiceKnown = false;
  let failures = 0;
  let isLeaving = false;
  let wake = (): void => {};

  async function run(onAsked: () => void): Promise<void> {
    while (!isLeaving) {
      const answer = await enroll();
      const delayMs = isLeaving ? 0 : judge(answer);
      onAsked();
      if (!isLeaving) await pause(delayMs);
    }
  }

  /** The heartbeat, and before it whatever the gateway does not know yet. */
  async function enroll(): Promise<Answer> {
    let conflict: Answer | undefined;
    for (let isSecondRound = false; ; isSecondRound = true) {
      if (!isServiceKnown) {
        const answer = await ask('PUT', servicePath, options.definition);
        if (isConflict(answer)) conflict = answer;
        else if (!isGood(answer)) return answer;
        isServiceKnown = true;
      }
      const answer = await ask('PUT', instancePath, options.registration);
      if (!isNotFound(answer)) return answer;
      isServiceKnown = false;
      // A conflict says that the configuration file defines the service, which is fine, or else that it cannot be.
      if (conflict !== undefined) return conflict;
      if (isSecondRound) return answer;
      state = { status: 'registering' };
      emit({ type: 'forgotten', admin });
    }
  }

  /** Takes an answer into the state. Gives the time until the next request. */
  function judge(answer: Answer): number {
    if (isGood(answer)) {
      failures = 0;
      if (state.status !== 'registered') {
        state = { status: 'registered' };
        emit({ type: 'registered', admin });
      }
      // Instances that start together must not report together for ever.
      return (options.registration.leaseSeconds * 1_000 * (0.8 + 0.2 * random())) / 3;
    }
    failures++;
    state = { status: 'retrying', attempt: failures };
    // The exponent is bounded, because 2 ** 1024 is infinite, and so a gateway may be away for days.
    const backoffMs = Math.min(options.maxRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 20));
    const retryInMs = backoffMs * (0.5 + 0.5 * random());
    if (answer.kind === 'failed') {
      emit({ type: 'unreachable', admin, cause: answer.cause, attempt: failures, retryInMs });
    } else {
      const { status, message, reasons } = answer;
      emit({ type: 'refused', admin, status, message, reasons, attempt: failures, retryInMs });
    }
    return retryInMs;
  }

  function pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = timers.setTimer(resolve, delayMs);
      wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  async function leave(drainMs: number): Promise<void> {
    const endsAtMs = performance.now() + drainMs + requestTimeoutMs;
    const leftMs = () => Math.max(1, Math.min(requestTimeoutMs, Math.ceil(endsAtMs - performance.now())));
    isLeaving = true;
    wake();
    // A registration that is on its way must not arrive after the deregistration.
    await running;
    state = { status: 'draining' };
    emit({ type: 'draining', admin });
    const drained = await ask('POST', `${instancePath}/drain`, undefined, leftMs());
    if (isGood(drained) && drainMs > 0) {
      await new Promise<void>((resolve) => timers.setTimer(resolve, drainMs, true));
    }
    let confirmed = isNotFound(drained);
    if (drained.kind === 'answered' && !confirmed) {
      const removed = await ask('DELETE', instancePath, undefined, leftMs());
      confirmed = isGood(removed) || isNotFound(removed);
    }
    state = { status: 'deregistered' };
    emit({ type: 'deregistered', admin, confirmed });
  }

  async function ask(method: string, path: string, body?: unknown, timeoutMs = requestTimeoutMs): Promise<Answer> {
    try {
      const response = await options.fetch(admin + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        redirect: 'manual', // the token is for this address only
        signal: AbortSignal.timeout(timeoutMs),
      });
      return readAnswer(response.status, await response.text());
    } catch (cause) {
      return { kind: 'failed', cause };
    }
  }

  let running: Promise<void> = Promise.resolve();
  const asked = new Promise<void>((resolve) => {
    running = run(resolve);
  });
  return {
    admin,
    get state() {
      return state;
    },
    asked,
    leave,
  };
}

function isGood(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status >= 200 && answer.status < 300;
}

function isNotFound(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status === 404;
}

function isConflict(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status === 409;
}

/** The answer, with what a problem document (RFC 9457) says in it. Anything may stand at the other end. */
function readAnswer(status: number, text: string): Answer {
  const problem = parseObject(text);
  const message = problem['detail'] ?? problem['title'];
  const reasons = Array.isArray(problem['reasons']) ? problem['reasons'].filter(isReason) : [];
  return { kind: 'answered', status, message: typeof message === 'string' ? message : `status ${status}`, reasons };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function isReason(value: unknown): value is ErrorReason {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}
