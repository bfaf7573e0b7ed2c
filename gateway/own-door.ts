/**
 * The door to what the gateway answers itself: match -> shed load -> authenticate -> rate limit -> authorize -> answer, as
 * at the routes of services.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { checkRequirement } from '../policies/authorize.ts';
import { isPreflight } from '../policies/cors.ts';
import { GatewayError } from '../policies/errors.ts';
import { meterBytes } from '../policies/rate-limit-bytes.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders } from './edge-headers.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import { answerOptions } from './local-answers.ts';
import type { OwnGate, OwnMatch, OwnRoutes } from './own-routes.ts';
import type { RequestTarget } from './request-target.ts';
import type { RestDoorOptions } from './rest-door.ts';
import type { RouteTable } from './route-table.ts';
import { chooseProtocol } from './upgrade-request.ts';

/** What is current when a request begins. */
export interface OwnDoorState {
  readonly own: OwnRoutes;
  readonly routes: RouteTable;
  readonly generation: GraphqlGeneration;
}

/** Whether it has answered; otherwise the request is for another door. */
export type OwnDoor = (
  state: OwnDoorState,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
) => Promise<boolean>;

export type OwnDoorOptions = Pick<
  RestDoorOptions,
  'authenticator' | 'describeViewer' | 'rights' | 'limiter' | 'shedder'
>;

/** Creates the door. It throws GatewayErrors; the server answers them. */
export function createOwnDoor(options: OwnDoorOptions): OwnDoor {
  return async (state, target, request, response, context) => {
    const isAsked = isPreflight(context.method, request.headers);
    const method = isAsked ? String(request.headers['access-control-request-method']) : context.method;
    const match = matchOwn(state, method, target.path, context.client.host);
    if (match === null) return false;
    const { gate } = match.route;
    context.name = gate.label;
    context.shapeAnswer = gate.edge.answer;
    if (isAsked && match.kind === 'found' && gate.edge.cors !== null) {
      response.writeHead(204, [...edgeHeaders(context), ...gate.edge.cors.answerPreflight(request.headers)]);
      response.end();
      return true;
    }
    if (context.method === 'OPTIONS') {
      answerOptions(match.kind === 'found' ? match.route.methods : match.allow, response, context);
      return true;
    }
    if (match.kind === 'wrong-method') {
      throw new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${method}`, { allow: match.allow });
    }
    await pass(gate, options, request, context);
    if (context.plugins !== undefined && (await context.plugins.atRoute('', gate.label))) return true;
    await match.route.answer({
      target,
      params: match.params,
      request,
      response,
      context,
      generation: state.generation,
    });
    return true;
  };
}

function matchOwn({ own, routes }: OwnDoorState, method: string, path: string, host: string): OwnMatch | null {
  const exact = own.find(method, path);
  // Of a path that both have, each takes the methods that it says.
  if (exact?.kind === 'found') return exact;
  if (exact !== null) return routes.find(method, path, host).kind === 'none' ? exact : null;
  const folder = own.findFolder(method, path);
  return folder !== null && routes.find(method, path, host).kind === 'none' ? folder : null;
}

/** The policies of the route, in the order of the REST door. */
async function pass(
  gate: OwnGate,
  { authenticator, describeViewer, rights, limiter, shedder }: OwnDoorOptions,
  { headers }: IncomingMessage,
  context: GatewayRequest,
): Promise<void> {
  shedder.check('rest', gate.priority);
  chooseProtocol(null, context.upgrade);
  gate.edge.csrf?.({ method: context.method, host: context.client.host, headers });
  context.viewer = await authenticator.authenticate(headers, context);
  shedder.checkViewer('rest', context, gate.priority);
  if (context.viewer !== null) context.viewerFields = describeViewer(context.viewer);
  if (gate.rules.length > 0) {
    const { viewer, client, departure } = context;
    const subject = { viewer, address: client.address, headers, route: gate.label, cost: gate.cost, departure };
    context.rateLimit = await limiter.check(gate.rules, subject);
    if (context.rateLimit.release !== null) context.atEnd(context.rateLimit.release);
    meterBytes(context, context.rateLimit.accounts);
    if (context.rateLimit.error !== null) throw context.rateLimit.error;
  }
  if (gate.needsViewer && context.viewer === null) throw new GatewayError('UNAUTHENTICATED');
  if (gate.requirement === null) return;
  const refusal = checkRequirement(gate.requirement, context.viewer, { rights, request: context });
  if (refusal !== null) throw refusal;
}
