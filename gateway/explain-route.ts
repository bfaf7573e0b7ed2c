/** What would happen to a request at the REST door. */
import type { IncomingHttpHeaders } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { Viewer } from '../policies/request-context.ts';
import { findService } from '../subgraphs/snapshot.ts';
import { listRouteLayersInFull } from './explain-layers.ts';
import { explainOwnRoute } from './explain-own-route.ts';
import {
  buildPolicySources,
  createExplainedRequest,
  describeKinds,
  describeRefusal,
  describeRules,
  type ExplainSources,
  explainAuthentication,
  type RouteQuestion,
  readHeaders,
} from './explanation.ts';
import { listCallLayers } from './policy-layers.ts';
import { parseRequestTarget } from './request-target.ts';
import { refuseUnmatched } from './route-choice.ts';
import {
  buildOutcome,
  checkAccess,
  checkOrigin,
  explainAccess,
  nothing,
  type RouteExplanation,
} from './route-explanation.ts';
import type { RouteTarget } from './route-table.ts';

/** Says what would become of it: by the gateway's own routes, then by those of services, as requests are answered. */
export async function explainRoute(sources: ExplainSources, question: RouteQuestion): Promise<RouteExplanation> {
  const { dataPlane, snapshot } = sources;
  const headers = readHeaders(question.headers);
  const method = question.method.toUpperCase();
  const { viewer, authentication } = await explainAuthentication(dataPlane.authenticator, headers, method);
  const own = await explainOwnRoute(sources, question, { headers, method, viewer, authentication });
  if (own !== null) return own;
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
    route: { label: target.label, kind: 'service', service: target.service, pathAtService },
    authentication,
    access: 'granted' in access ? access : { granted: false, refusal: access.refusal },
    rateLimits: describeRules(layers),
    cost: target.cost,
    policies: describeKinds(layers),
    calls: describeKinds(listCallLayers(policies, target.service, definition)),
  };
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
    return { target: match.target, pathAtService: match.target.rewrite(path) + query };
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}
