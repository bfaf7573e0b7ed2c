/** What would happen to a request at a route that the gateway answers itself. */
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { RequestContext, Viewer } from '../policies/request-context.ts';
import { findService } from '../subgraphs/snapshot.ts';
import type { Part } from './aggregate-part.ts';
import { listOwnRouteLayers } from './explain-layers.ts';
import { explainOperation } from './explain-operation.ts';
import {
  buildPolicySources,
  createExplainedRequest,
  describeKinds,
  describeRefusal,
  describeRules,
  type ExplainedAuthentication,
  type ExplainedRefusal,
  type ExplainSources,
  type RouteQuestion,
} from './explanation.ts';
import type { BoundRoute } from './graph-route.ts';
import { readVariables } from './graph-route-variables.ts';
import { livePaths, readyPaths } from './health-paths.ts';
import { matchOwn } from './own-door.ts';
import type { OwnMatch } from './own-routes.ts';
import { listCallLayers } from './policy-layers.ts';
import { parseRequestTarget, type RequestTarget } from './request-target.ts';
import {
  buildOutcome,
  checkAccess,
  checkOrigin,
  type ExplainedOperation,
  type ExplainedPart,
  explainAccess,
  nothing,
  type RouteExplanation,
} from './route-explanation.ts';

/** What was found out of a request before its route. */
export interface ExplainedCaller {
  readonly headers: IncomingHttpHeaders;
  readonly method: string;
  readonly viewer: Viewer | null;
  readonly authentication: ExplainedAuthentication;
}

/** Null where a service is asked, or nobody. */
export async function explainOwnRoute(
  sources: ExplainSources,
  question: RouteQuestion,
  caller: ExplainedCaller,
): Promise<RouteExplanation | null> {
  const target = readTarget(question.path);
  if (target === null || target.path === sources.configured.graphql.path) return null;
  if (livePaths.has(target.path) || readyPaths.has(target.path)) return health;
  const { own, routes } = sources.dataPlane.current;
  const { method, headers } = caller;
  const request = createExplainedRequest(caller.viewer, headers, 'rest', method, target.path);
  const match = own === null ? null : matchOwn({ own, routes }, method, target, false, request);
  if (match === null) return null;
  if (match.kind === 'found') return explainMatch(sources, question, caller, target, match, request);
  // What may be asked here is answered without any policy (RFC 9110 section 9.3.7).
  if (method === 'OPTIONS') return { ...nothing, outcome: { passes: true }, route: describeRoute(match) };
  const refusal = new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${method}`);
  return { ...nothing, outcome: { passes: false, refusal: describeRefusal(refusal) } };
}

const health: RouteExplanation = {
  ...nothing,
  outcome: { passes: true },
  route: { label: 'health', kind: 'health', service: null, pathAtService: null },
};

async function explainMatch(
  sources: ExplainSources,
  question: RouteQuestion,
  { method, headers, authentication }: ExplainedCaller,
  target: RequestTarget,
  match: Extract<OwnMatch, { kind: 'found' }>,
  request: RequestContext,
): Promise<RouteExplanation> {
  const { gate, parts, bound } = match.route;
  const foreign = checkOrigin(gate, method, headers);
  const access =
    authentication.outcome === 'refused'
      ? authentication
      : explainAccess(checkAccess(gate, sources.dataPlane.rights, request));
  const layers = listOwnRouteLayers(buildPolicySources(sources), gate);
  const asked = parts?.map((part) => explainPart(sources, part, { target, params: match.params, request }));
  const graph = bound && (await explainBound(sources, bound, { question, target, params: match.params, headers }));
  const ofParts = asked?.find(({ optional, access: { granted } }) => !optional && !granted)?.access.refusal;
  return {
    door: 'rest',
    outcome: buildOutcome(foreign ?? ('refusal' in access ? access.refusal : undefined) ?? ofParts ?? graph?.refusal),
    route: describeRoute(match),
    authentication,
    access: 'granted' in access ? access : { granted: false, refusal: access.refusal },
    rateLimits: describeRules(layers),
    cost: gate.cost,
    policies: describeKinds(layers),
    calls: [],
    ...(asked !== undefined && { parts: asked }),
    ...(graph !== undefined && { operation: graph.operation }),
  };
}

function describeRoute({ route: { gate } }: OwnMatch): NonNullable<RouteExplanation['route']> {
  return { label: gate.label, kind: gate.kind, service: null, pathAtService: null };
}

interface Place {
  readonly target: RequestTarget;
  readonly params: Readonly<Record<string, string>>;
}

function explainPart(
  sources: ExplainSources,
  part: Part,
  { target, params, request }: Place & { readonly request: RequestContext },
): ExplainedPart {
  const { name, service, template, isOptional: optional } = part;
  const definition = findService(sources.snapshot, service)?.definition ?? {};
  const values = { params, query: new URLSearchParams(target.query), parts: new Map() };
  return {
    name,
    service,
    path: part.needs.length > 0 ? template : (attempt(() => part.renderPath(values)) ?? template),
    optional,
    access: explainAccess(refusalOf(() => part.assertAllowed(request))),
    calls: describeKinds(listCallLayers(buildPolicySources(sources), service, definition)),
  };
}

interface ExplainedGraph {
  /** Null where the graph cannot be asked. */
  readonly operation: ExplainedOperation | null;
  readonly refusal?: ExplainedRefusal;
}

/** The operation with the variables of the request. Of bodies nothing is known: what they must hold is left out. */
async function explainBound(
  sources: ExplainSources,
  bound: BoundRoute,
  {
    question,
    target,
    params,
    headers,
  }: Place & { readonly question: RouteQuestion; readonly headers: IncomingHttpHeaders },
): Promise<ExplainedGraph> {
  const { operation, options, misfits } = bound;
  if (misfits.length > 0) return { operation: null, refusal: describeRefusal(new GatewayError('ROUTE_DOES_NOT_FIT')) };
  const { schema } = sources.dataPlane.current.generation.graph;
  const known = bound.sources.filter(({ from }) => from !== 'body');
  const query = new URLSearchParams(target.query);
  let variables: Record<string, unknown>;
  try {
    variables = readVariables(schema, operation, known, { params, query, headers, body: undefined });
  } catch (thrown) {
    return { operation: null, refusal: describeRefusal(toGatewayError(thrown)) };
  }
  const {
    outcome,
    door: _,
    authentication: __,
    policies: ___,
    ...told
  } = await explainOperation(sources, {
    query: options.document,
    variables,
    ...(operation.name !== undefined && { operationName: operation.name.value }),
    headers: question.headers,
  });
  return { operation: told, ...(!outcome.passes && { refusal: outcome.refusal }) };
}

function readTarget(text: string): RequestTarget | null {
  return attempt(() => parseRequestTarget(text));
}

function attempt<Value>(run: () => Value): Value | null {
  try {
    return run();
  } catch {
    return null;
  }
}

function refusalOf(run: () => void): GatewayError | null {
  try {
    run();
    return null;
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}
