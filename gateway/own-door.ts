/**
 * The door to what the gateway answers itself: match -> shed load -> authenticate -> rate limit -> authorize -> answer, as
 * at the routes of services.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isPreflight } from '../policies/cors.ts';
import { GatewayError } from '../policies/errors.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders } from './edge-headers.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import { answerOptions } from './local-answers.ts';
import type { OwnExchange } from './own-answer.ts';
import type { OwnGate, OwnMatch, OwnOutcome, OwnRoute, OwnRoutes } from './own-routes.ts';
import type { RequestTarget } from './request-target.ts';
import { authorize, type GateKeepers, identify, limit } from './route-gate.ts';
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

export interface OwnDoorOptions extends GateKeepers {
  readonly onAnswer: OwnAnswerListener;
}

/** A request passed the policies of its route, and this became of it. */
export type OwnAnswerListener = (gate: OwnGate, outcome: OwnOutcome) => void;

/** Creates the door. It throws GatewayErrors; the server answers them. */
export function createOwnDoor(options: OwnDoorOptions): OwnDoor {
  return async (state, target, request, response, context) => {
    const isAsked = isPreflight(context.method, request.headers);
    const method = isAsked ? String(request.headers['access-control-request-method']) : context.method;
    const match = matchOwn(state, method, target, isAsked, context);
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
    await pass(gate, options, context);
    if (context.plugins !== undefined && (await context.plugins.atRoute(null, gate.label, gate.kind))) return true;
    await answer(match.route, options.onAnswer, {
      target,
      params: match.params,
      request,
      response,
      context,
      generation: state.generation,
      compression: gate.edge.compression,
    });
    return true;
  };
}

async function answer(route: OwnRoute, onAnswer: OwnAnswerListener, exchange: OwnExchange): Promise<void> {
  let outcome: OwnOutcome = 'failed';
  try {
    outcome = await route.answer(exchange);
  } finally {
    onAnswer(route.gate, outcome);
  }
}

/** As with routes of services: of a preflight nothing is known that its request will say of itself. */
export function matchOwn(
  { own, routes }: Pick<OwnDoorState, 'own' | 'routes'>,
  method: string,
  { path, query }: RequestTarget,
  isAsked: boolean,
  { client, headers }: Pick<GatewayRequest, 'client' | 'headers'>,
): OwnMatch | null {
  const exact = own.find(method, path);
  // Of a path that both have, each takes the methods that it says.
  if (exact?.kind === 'found') return exact;
  const match = exact ?? own.findFolder(method, path);
  if (match === null) return null;
  // Whoever asks: a route that may take the request, depending on claims, is there.
  const facts = { headers: isAsked ? {} : headers, query, address: client.address, viewer: undefined };
  return routes.find(method, path, client.host, facts).kind === 'none' ? match : null;
}

/** The policies of the route, in the order of the REST door. */
async function pass(gate: OwnGate, options: OwnDoorOptions, context: GatewayRequest): Promise<void> {
  const { method, headers, client } = context;
  options.shedder.check('rest', gate.priority);
  chooseProtocol(null, context.upgrade);
  gate.edge.csrf?.({ method, host: client.host, headers });
  await identify(options, gate.priority, false, context);
  await limit(options, gate, context);
  authorize(options, gate, context);
}
