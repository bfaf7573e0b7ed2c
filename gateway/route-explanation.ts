/** Answers of `POST /explain` about routes, and what those of services and of the gateway's own have in common. */
import type { IncomingHttpHeaders } from 'node:http';
import { checkRequirement } from '../policies/authorize.ts';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { Rights } from '../policies/rights.ts';
import type { OperationExplanation } from './explain-operation.ts';
import {
  describeRefusal,
  type ExplainedAuthentication,
  type ExplainedKind,
  type ExplainedRefusal,
  type ExplainedRule,
} from './explanation.ts';
import type { OwnKind } from './own-routes.ts';
import type { RouteGate } from './route-gate.ts';
import type { RouteTarget } from './route-table.ts';

export interface RouteExplanation {
  readonly door: 'rest';
  /** What would become of it, as far as this can be known without limits being counted and services being asked. */
  readonly outcome: { readonly passes: true } | { readonly passes: false; readonly refusal: ExplainedRefusal };
  /** Null where no route takes the request; then nothing else is known. */
  readonly route: ExplainedRoute | null;
  readonly authentication: ExplainedAuthentication | null;
  readonly access: { readonly granted: boolean; readonly refusal?: ExplainedRefusal } | null;
  /** In the order in which they would be asked. */
  readonly rateLimits: readonly ExplainedRule[];
  /** What it takes of limits that count cost. */
  readonly cost: number | null;
  readonly policies: readonly ExplainedKind[];
  /** What holds for the calls to the service, beside what the route says. */
  readonly calls: readonly ExplainedKind[];
  /** Of an aggregate: whom it asks, and for what. */
  readonly parts?: readonly ExplainedPart[];
  /** Of REST from the graph: what it asks the graph; null where that cannot be asked. */
  readonly operation?: ExplainedOperation | null;
}

export interface ExplainedRoute {
  readonly label: string;
  /** What answers: a service, or the gateway itself. */
  readonly kind: 'service' | OwnKind | 'health';
  /** Null where the gateway answers itself. */
  readonly service: string | null;
  readonly pathAtService: string | null;
}

/** What an aggregate asks of a service. */
export interface ExplainedPart {
  readonly name: string;
  readonly service: string;
  /** As it would be asked for; as it is written where values of other parts are in it. */
  readonly path: string;
  readonly optional: boolean;
  /** By what the service says for all of its routes. */
  readonly access: NonNullable<RouteExplanation['access']>;
  readonly calls: readonly ExplainedKind[];
}

/** What is told of the operation of a route; policies of the GraphQL door do not hold there. */
export type ExplainedOperation = Omit<OperationExplanation, 'door' | 'outcome' | 'authentication' | 'policies'>;

/** Of a request that no route takes. */
export const nothing = {
  door: 'rest',
  route: null,
  authentication: null,
  access: null,
  rateLimits: [],
  cost: null,
  policies: [],
  calls: [],
} as const;

/** A request passes unless there is a refusal. */
export function buildOutcome(refusal: ExplainedRefusal | undefined): RouteExplanation['outcome'] {
  return refusal === undefined ? { passes: true } : { passes: false, refusal };
}

/** Whether the page that a browser names may cause the request. */
export function checkOrigin(
  { edge }: Pick<RouteTarget, 'edge'>,
  method: string,
  headers: IncomingHttpHeaders,
): ExplainedRefusal | undefined {
  try {
    edge.csrf?.({ method, host: headers.host ?? '', headers });
    return undefined;
  } catch (thrown) {
    return describeRefusal(toGatewayError(thrown));
  }
}

/** By what the route itself needs. */
export function checkAccess(route: RouteGate, rights: Rights, request: RequestContext): GatewayError | null {
  if (route.needsViewer && request.viewer === null) return new GatewayError('UNAUTHENTICATED');
  return route.requirement === null ? null : checkRequirement(route.requirement, request.viewer, { rights, request });
}

export function explainAccess(refusal: GatewayError | null): NonNullable<RouteExplanation['access']> {
  return refusal === null ? { granted: true } : { granted: false, refusal: describeRefusal(refusal) };
}
