/**
 * The call of a request that asks to leave HTTP (RFC 9110 section 7.8): one instance, a connection of its own, and either
 * that connection, switched, or the answer with which the service refused. Beside the call and not in it: what undici has
 * for upgrades loses status and body of a refusal.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { GatewayError } from '../policies/errors.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { AcceptsVersion, CallOptions } from './call.ts';
import type { InstanceState } from './instance-state.ts';
import type { ServiceUpstream } from './service-upstream.ts';
import { type AttemptOutcome, UpgradeAttempt } from './upgrade-attempt.ts';

export interface UpgradeRequest {
  readonly service: string;
  readonly method: string;
  /** Target in origin form, byte by byte as it goes on the wire. */
  readonly path: string;
  /** Name, value, name, value ... : end-to-end fields only. */
  readonly headers: readonly string[];
  /** The one protocol that the service is offered, in lower case. */
  readonly protocol: string;
  /** Which instances understand the request, by their version. */
  readonly accepts?: AcceptsVersion | undefined;
  /** Instances of this zone come first, instead of those of the gateway's. */
  readonly zone?: string | undefined;
  /** Time for one attempt until the head of the answer; default: the service's. */
  readonly timeoutMs?: number | undefined;
  /** Whether the head of a 101 answers this very request. */
  isAnsweredBy(head: IncomingMessage): boolean;
}

export type UpgradeAnswer =
  /** The connection is the caller's, who must listen for its errors. `head`: what came behind the answer. */
  | {
      readonly kind: 'switched';
      readonly rawHeaders: readonly string[];
      readonly socket: Socket;
      readonly head: Buffer;
    }
  /** The answer of the service, with its body unread. Its connection ends with it. */
  | { readonly kind: 'refused'; readonly rawHeaders: readonly string[]; readonly response: IncomingMessage };

/** Rejects with a GatewayError, as calls do. */
export type OpenUpgrade = (request: UpgradeRequest, context: RequestContext) => Promise<UpgradeAnswer>;

/** The function over the services that `find` knows. */
export function createUpgradeCall(
  find: (service: string) => ServiceUpstream | undefined,
  options: Pick<CallOptions, 'observer' | 'now' | 'bodyIdleTimeoutMs'>,
): OpenUpgrade {
  return async (request, context) => {
    const upstream = find(request.service);
    if (upstream === undefined) {
      throw new GatewayError('SERVICE_UNAVAILABLE', undefined, { service: request.service, retryAfterSeconds: 1 });
    }
    const { bulkhead } = upstream;
    const { viewer } = context;
    // The handshake is a call; what follows is none, or a few hundred idle sockets would shut a service.
    bulkhead.enter(viewer);
    try {
      return await openAnywhere(upstream, request, context, options);
    } finally {
      bulkhead.leave(viewer);
    }
  };
}

/** One instance after the other, as long as nothing was sent to any: free of the retry budget, as in the call. */
async function openAnywhere(
  upstream: ServiceUpstream,
  request: UpgradeRequest,
  context: RequestContext,
  options: Pick<CallOptions, 'observer' | 'now' | 'bodyIdleTimeoutMs'>,
): Promise<UpgradeAnswer> {
  const tried: InstanceState[] = [];
  const timeoutMs = request.timeoutMs ?? upstream.settings.timeoutMs;
  const holder = upstream.sessions?.find(context);
  let last: Error | null = null;
  for (;;) {
    const nowMs = options.now();
    if (nowMs >= context.deadlineAtMs) {
      throw last ?? new GatewayError('GATEWAY_TIMEOUT', undefined, { service: request.service });
    }
    const instance = upstream.pick(nowMs, tried, context, holder, request.accepts, request.zone);
    if (instance === undefined) throw last ?? upstream.refusal(nowMs, request.accepts);
    tried.push(instance);
    const attempt = new UpgradeAttempt(instance, request, context, { ...options, timeoutMs });
    const outcome: AttemptOutcome = await attempt.start();
    if (outcome.kind !== 'failed') return withSession(outcome, upstream.sessions?.cookieFor(instance, context) ?? null);
    const { error, sent, final } = outcome.failure;
    last = error;
    if (sent || final || context.departure.happened) throw error;
  }
}

function withSession(answer: UpgradeAnswer, cookie: string | null): UpgradeAnswer {
  return cookie === null ? answer : { ...answer, rawHeaders: [...answer.rawHeaders, 'set-cookie', cookie] };
}
