/** One instance at one gateway: registers it, keeps its lease, registers again what was forgotten, and takes leave. */
import type { ClientTimers } from './client.ts';
import type { LinkEvent } from './client-events.ts';
import {
  type Answer,
  createAsk,
  isConflict,
  isGood,
  isIll,
  isUnknown,
  requestTimeoutMs,
  type TokenSource,
} from './client-request.ts';
import { buildHeartbeatDelay, buildRetryDelay, type RetryOptions } from './client-retry.ts';
import type { InstanceRegistration, ServiceDefinition } from './service-definition.ts';

/** How it stands with one gateway. */
export type LinkState =
  | { readonly status: 'registering' }
  | { readonly status: 'registered' }
  /** Refused or unreachable; `attempt` counts from 1. */
  | { readonly status: 'retrying'; readonly attempt: number }
  | { readonly status: 'draining' }
  | { readonly status: 'deregistered' };

/** What a gateway is to know. */
export interface LinkPlan {
  /** Undefined when somebody else defines the service. */
  readonly definition: ServiceDefinition | undefined;
  readonly registration: InstanceRegistration & { readonly leaseSeconds: number };
}

export interface GatewayLinkOptions {
  /** Base URL of the admin port, without a slash at the end. */
  readonly admin: string;
  readonly service: string;
  readonly id: string;
  readonly plan: LinkPlan;
  readonly token: TokenSource | undefined;
  readonly maxRetryMs: number | undefined;
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
  /** Takes another plan, and asks for it at once. Resolves after the first try. */
  update(plan: LinkPlan): Promise<void>;
  /** Drains, waits, deregisters. Gives up 5 seconds after the wait at the latest. */
  leave(drainMs: number): Promise<void>;
}

/** Between two tries to deregister at a gateway that cannot do it now. */
const leaveRetryMs = 500;

/** Starts at once. */
export function createGatewayLink(options: GatewayLinkOptions): GatewayLink {
  const { admin, emit, timers } = options;
  const servicePath = `/services/${encodeURIComponent(options.service)}`;
  const instancePath = `${servicePath}/instances/${encodeURIComponent(options.id)}`;
  const ask = createAsk(options);
  let state: LinkState = { status: 'registering' };
  let { plan } = options;
  /** Whether the gateway has a definition of the service, be it an older one. */
  let isServiceKnown = plan.definition === undefined;
  /** Whether it has the definition of the plan. */
  let isDefinitionTaken = isServiceKnown;
  let isUpdating = false;
  let failures = 0;
  /** A change of the definition that was refused while the instance stays registered, and the time until it is tried. */
  let change = { failures: 0, waitMs: 0 };
  let isLeaving = false;
  let onAsked: (() => void)[] = [];
  let wake = (): void => {};

  async function run(): Promise<void> {
    while (!isLeaving) {
      const asked = plan;
      const told = onAsked;
      onAsked = [];
      const { answer, refusedChange } = await enroll();
      const delayMs = isLeaving ? 0 : Math.min(judge(answer), judgeChange(refusedChange));
      for (const tell of told) tell();
      if (isLeaving || plan !== asked) continue;
      await pause(delayMs);
      change.waitMs -= delayMs;
    }
    for (const tell of onAsked) tell();
  }

  interface Outcome {
    readonly answer: Answer;
    /** The instance is registered, but under the definition before. */
    readonly refusedChange?: Answer;
  }

  /** The heartbeat, and before it whatever the gateway does not know yet. */
  async function enroll(): Promise<Outcome> {
    let conflict: Answer | undefined;
    for (let isSecondRound = false; ; isSecondRound = true) {
      let refusedChange: Answer | undefined;
      if (!isDefinitionTaken && (!isServiceKnown || change.waitMs <= 0)) {
        const answer = await define();
        if (isConflict(answer)) conflict = answer;
        else if (!isGood(answer) && !isServiceKnown) return { answer };
        else if (!isGood(answer)) refusedChange = answer;
      }
      const answer = await ask('PUT', instancePath, plan.registration);
      if (!isUnknown(answer)) return refusedChange === undefined ? { answer } : { answer, refusedChange };
      if (plan.definition === undefined) return { answer };
      isServiceKnown = false;
      isDefinitionTaken = false;
      // A conflict says that the configuration file defines the service, which is fine, or else that it cannot be.
      if (conflict !== undefined) return { answer: conflict };
      if (isSecondRound) return { answer };
      state = { status: 'registering' };
      emit({ type: 'forgotten', admin });
    }
  }

  async function define(): Promise<Answer> {
    const asked = plan;
    const answer = await ask('PUT', servicePath, asked.definition);
    if (isGood(answer) || isConflict(answer)) {
      isServiceKnown = true;
      isDefinitionTaken = plan === asked; // or else it was changed meanwhile
      change = { failures: 0, waitMs: 0 };
    }
    return answer;
  }

  /** Takes an answer into the state. Gives the time until the next request. */
  function judge(answer: Answer): number {
    if (isGood(answer)) {
      failures = 0;
      const isNews = state.status !== 'registered';
      state = { status: 'registered' };
      if (isNews) emit({ type: 'registered', admin });
      if (isUpdating && isDefinitionTaken) {
        isUpdating = false;
        if (!isNews) emit({ type: 'updated', admin });
      }
      return buildHeartbeatDelay(retryOptions());
    }
    failures++;
    state = { status: 'retrying', attempt: failures };
    return tellTrouble(answer, failures);
  }

  /** The same for a change that was refused: the service goes on as it was. */
  function judgeChange(answer: Answer | undefined): number {
    if (isDefinitionTaken) return Number.POSITIVE_INFINITY;
    if (answer !== undefined) {
      const attempt = change.failures + 1;
      change = { failures: attempt, waitMs: tellTrouble(answer, attempt) };
    }
    return isServiceKnown ? Math.max(0, change.waitMs) : Number.POSITIVE_INFINITY;
  }

  function tellTrouble(answer: Answer, attempt: number): number {
    const retryInMs = buildRetryDelay(answer, attempt, retryOptions());
    if (answer.kind === 'failed') {
      emit({ type: 'unreachable', admin, cause: answer.cause, attempt, retryInMs });
    } else {
      const { status, message, reasons } = answer;
      emit({ type: 'refused', admin, status, message, reasons, attempt, retryInMs });
    }
    return retryInMs;
  }

  function retryOptions(): RetryOptions {
    const { maxRetryMs, random } = options;
    return { maxRetryMs, random, leaseSeconds: plan.registration.leaseSeconds };
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

  function update(next: LinkPlan): Promise<void> {
    if (isLeaving) return Promise.resolve();
    // Also when it is equal: the schema behind it may be another one, and the gateway only asks for it when told to.
    isDefinitionTaken = next.definition === undefined;
    isServiceKnown ||= isDefinitionTaken;
    plan = { ...next };
    isUpdating = true;
    failures = 0;
    change = { failures: 0, waitMs: 0 };
    const tried = new Promise<void>((resolve) => onAsked.push(resolve));
    wake();
    return tried;
  }

  async function leave(drainMs: number): Promise<void> {
    const endsAtMs = performance.now() + drainMs + requestTimeoutMs;
    const leftMs = () => Math.max(1, Math.min(requestTimeoutMs, Math.ceil(endsAtMs - performance.now())));
    const rest = (ms: number) => new Promise<void>((resolve) => timers.setTimer(resolve, ms, true));
    isLeaving = true;
    wake();
    // A registration that is on its way must not arrive after the deregistration.
    await running;
    state = { status: 'draining' };
    emit({ type: 'draining', admin });
    const drained = await ask('POST', `${instancePath}/drain`, undefined, leftMs());
    if (isGood(drained) && drainMs > 0) await rest(drainMs);
    let confirmed = isUnknown(drained);
    if (drained.kind === 'answered' && !confirmed) {
      let removed = await ask('DELETE', instancePath, undefined, leftMs());
      // Its store may be back in a moment, and without this the instance stays until its lease runs out.
      while (isIll(removed) && performance.now() + leaveRetryMs < endsAtMs) {
        await rest(leaveRetryMs);
        removed = await ask('DELETE', instancePath, undefined, leftMs());
      }
      confirmed = isGood(removed) || isUnknown(removed);
    }
    state = { status: 'deregistered' };
    emit({ type: 'deregistered', admin, confirmed });
  }

  const asked = new Promise<void>((resolve) => onAsked.push(resolve));
  const running = run();
  return {
    admin,
    get state() {
      return state;
    },
    asked,
    update,
    leave,
  };
}
