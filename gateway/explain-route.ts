/** What would happen to a request at the REST door. */
import type { IncomingHttpHeaders } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { checkRequirement } from '../policies/authorize.ts';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { RequestContext, Viewer } from '../policies/request-context.ts';
import type { Rights } from '../policies/rights.ts';
import { findService } from '../subgraphs/snapshot.ts';
import { assertNotOwn, assertUnambiguous } from './ambiguous-path.ts';
import { listRouteLayersInFull } from './explain-layers.ts';
import {
  buildPolicySources,
  createExplainedRequest,
  describeKinds,
  describeRefusal,
  describeRules,
  type ExplainedAuthentication,
  type ExplainedKind,
  type ExplainedRefusal,
  type ExplainedRule,
  type ExplainSources,
  explainAuthentication,
  type RouteQuestion,
  readHeaders,
} from './explanation.ts';
import { listCallLayers } from './policy-layers.ts';
import { parseRequestTarget } from './request-target.ts';
import { refuseUnmatched } from './route-choice.ts';
import type { RouteTarget } from './route-table.ts';

export interface RouteExplanation {
  readonly door: 'rest';
  /** What would become of it, as far as this can be known without limits being counted and services being asked. */
  readonly outcome: { readonly passes: true } | { readonly passes: false; readonly refusal: ExplainedRefusal };
  /** Null where no route takes the request; then nothing else is known. */
  readonly route: { readonly label: string; readonly service: string; readonly pathAtService: string } | null;
  readonly authentication: ExplainedAuthentication | null;
  readonly access: { readonly granted: boolean; readonly refusal?: ExplainedRefusal } | null;
  /** In the order in which they would be asked. */
  readonly rateLimits: readonly ExplainedRule[];
  /** What it takes of limits that count cost. */
  readonly cost: number | null;
  readonly policies: readonly ExplainedKind[];
  /** What holds for the calls to the service, beside what the route says. */
  readonly calls: readonly ExplainedKind[];
}

export async function explainRoute(sources: ExplainSources, question: RouteQuestion): Promise<RouteExplanation> {
  const { dataPlane, snapshot } = sources;
  const headers = readHeaders(question.headers);
  const method = question.method.toUpperCase();
  const { viewer, authentication } = await explainAuthentication(dataPlane.authenticator, headers, method);
  const found = findTarget(sources, method, question.path, headers, viewer);
  if (found instanceof GatewayError) return { ...nothing, outcome: { passes: false, refusal: describeRefusal(found) } };
  const { target, pathAtService } = found;
  const foreign = checkOrigin(target, method, headers);
  const request = createExplainedRequest(viewer, headers, 'rest', method, question.path.split('?', 1)[0]);
  const access =
    authentication.outcome === 'refused'
      ? authentication
      : explainAccess(checkAccess(target, dataPlane.rights, request));
  // The route as it is written: what is bound to it is looked for again, with its origin.
  const definition = findService(snapshot, target.service)?.definition ?? {};
  const written = definition.routes?.find(({ match }) => isDeepStrictEqual(match, target.route.match)) ?? target.route;
  const policies = buildPolicySources(sources);
  const layers = listRouteLayersInFull(policies, target.service, definition, written);
  return {
    door: 'rest',
    outcome: buildOutcome(foreign ?? ('refusal' in access ? access.refusal : undefined)),
    route: { label: target.label, service: target.service, pathAtService },
    authentication,
    access: 'granted' in access ? access : { granted: false, refusal: access.refusal },
    rateLimits: describeRules(layers),
    cost: target.cost,
    policies: describeKinds(layers),
    calls: describeKinds(listCallLayers(policies, target.service, definition)),
  };
}

const nothing = {
  door: 'rest',
  route: null,
  authentication: null,
  access: null,
  rateLimits: [],
  cost: null,
  policies: [],
  calls: [],
} as const;

function buildOutcome(refusal: ExplainedRefusal | undefined): RouteExplanation['outcome'] {
  return refusal === undefined ? { passes: true } : { passes: false, refusal };
}

/** Whether the page that a browser names may cause the request. */
function checkOrigin(
  { edge }: RouteTarget,
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

function findTarget(
  { dataPlane, configured }: ExplainSources,
  method: string,
  text: string,
  headers: IncomingHttpHeaders,
  viewer: Viewer | null,
): { readonly target: RouteTarget; readonly pathAtService: string } | GatewayError {
  try {
    const { path, query } = parseRequestTarget(text);
    if (path === configured.graphql.path)
      return new GatewayError('BAD_REQUEST', 'This path is the GraphQL door: ask with `query`');
    // Of the client's address nobody said anything.
    const facts = { headers, query, address: '', viewer };
    const match = dataPlane.current.routes.find(method, path, headers.host ?? '', facts);
    if (match.kind !== 'found') return refuseUnmatched(match, method);
    assertNotOwn(path, method, configured.graphql.path, dataPlane.current.own);
    assertUnambiguous(dataPlane.current.routes, { method, path, host: headers.host ?? '' }, facts, match.target);
    return { target: match.target, pathAtService: match.target.rewrite(path) + query };
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}

function checkAccess(route: RouteTarget, rights: Rights, request: RequestContext): GatewayError | null {
  if (route.needsViewer && request.viewer === null) return new GatewayError('UNAUTHENTICATED');
  return route.requirement === null ? null : checkRequirement(route.requirement, request.viewer, { rights, request });
}

function explainAccess(refusal: GatewayError | null): NonNullable<RouteExplanation['access']> {
  return refusal === null ? { granted: true } : { granted: false, refusal: describeRefusal(refusal) };
}
