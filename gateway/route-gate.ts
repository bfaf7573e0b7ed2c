/** What a request must pass at a route, whoever answers there: a service, or the gateway itself. */
import type { Authenticator } from '../policies/authenticate.ts';
import { checkRequirement } from '../policies/authorize.ts';
import { GatewayError } from '../policies/errors.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { meterBytes } from '../policies/rate-limit-bytes.ts';
import type { CompiledRule } from '../policies/rate-limit-rule.ts';
import type { Requirement } from '../policies/requirement.ts';
import type { Rights } from '../policies/rights.ts';
import type { DescribeViewer } from '../policies/viewer-token.ts';
import type { GatewayRequest } from './context.ts';
import type { OwnRouteOptions } from './own-route-options.ts';

export interface RouteGate {
  /** Methods and pattern: the name in logs, metrics and the admin API. */
  readonly label: string;
  /** Undefined where the gateway answers itself. */
  readonly service?: string;
  readonly requirement: Requirement | null;
  readonly needsViewer: boolean;
  readonly rules: readonly CompiledRule[];
  /** What a request takes of limits that count cost. */
  readonly cost: number;
}

/** What both doors to routes ask. */
export interface GateKeepers {
  readonly authenticator: Authenticator;
  /** What services are told of a viewer. */
  readonly describeViewer: DescribeViewer;
  /** What roles give, and what policies stand for. */
  readonly rights: Rights;
  readonly limiter: RateLimiter;
  readonly shedder: LoadShedder;
}

/** Finds out who is asking, unless that is known already, and sheds load by it. A promise only where that takes time. */
export function identify(
  keepers: GateKeepers,
  priority: OwnRouteOptions['priority'],
  isAuthenticated: boolean,
  context: GatewayRequest,
): Promise<void> | undefined {
  const viewer = isAuthenticated ? context.viewer : keepers.authenticator.authenticate(context.headers, context);
  if (viewer instanceof Promise) return viewer.then((found) => take(keepers, priority, found, context));
  take(keepers, priority, viewer, context);
  return undefined;
}

function take(
  { describeViewer, shedder }: GateKeepers,
  priority: OwnRouteOptions['priority'],
  viewer: GatewayRequest['viewer'],
  context: GatewayRequest,
): void {
  context.viewer = viewer;
  shedder.checkViewer('rest', context, priority);
  if (viewer !== null) context.viewerFields = describeViewer(viewer);
}

/** A promise only where there are limits. */
export function limit(keepers: GateKeepers, gate: RouteGate, context: GatewayRequest): Promise<void> | undefined {
  return gate.rules.length === 0 ? undefined : checkLimits(keepers, gate, context);
}

async function checkLimits({ limiter }: GateKeepers, gate: RouteGate, context: GatewayRequest): Promise<void> {
  const { viewer, client, headers, departure } = context;
  const { label, service, cost } = gate;
  const subject = { viewer, address: client.address, headers, route: label, service, cost, departure };
  context.rateLimit = await limiter.check(gate.rules, subject);
  if (context.rateLimit.release !== null) context.atEnd(context.rateLimit.release);
  meterBytes(context, context.rateLimit.accounts);
  if (context.rateLimit.error !== null) throw context.rateLimit.error;
}

export function authorize({ rights }: GateKeepers, gate: RouteGate, context: GatewayRequest): void {
  if (gate.needsViewer && context.viewer === null) throw new GatewayError('UNAUTHENTICATED');
  if (gate.requirement === null) return;
  const refusal = checkRequirement(gate.requirement, context.viewer, { rights, request: context });
  if (refusal !== null) throw refusal;
}
