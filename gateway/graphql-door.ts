/** The GraphQL door: shed load -> authenticate -> (Yoga's pipeline of the current generation) -> answer. POST and GET. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../policies/authenticate.ts';
import { decodeWhole, encodeWhole } from '../policies/content-codings.ts';
import { isPreflight } from '../policies/cors.ts';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import type { PersistedOperations } from '../policies/persisted-operations.ts';
import { ServiceHeaders } from '../policies/service-headers.ts';
import type { DescribeViewer } from '../policies/viewer-token.ts';
import { withFreshness } from './answer-freshness.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import type { GraphqlEdge } from './edge-policies.ts';
import { createGraphiqlPage } from './graphiql-page.ts';
import type { ErrorContract } from './graphql-errors.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import { parsePlainOperation, runPlainOperation } from './plain-operation.ts';
import { readBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';

export interface GraphqlDoorOptions {
  /** What holds for the heads of messages. */
  readonly edge: GraphqlEdge;
  readonly authenticator: Authenticator;
  /** What services are told of a viewer. */
  readonly describeViewer: DescribeViewer;
  readonly maxBodyBytes: number;
  readonly graphiql: boolean;
  /** Whether answers say how long they may be kept. */
  readonly tellsFreshness: boolean;
  readonly shedder: LoadShedder;
  readonly contract: ErrorContract;
  /** Operations by an id in place of their text. */
  readonly persisted: Pick<PersistedOperations, 'peek'>;
}

export type GraphqlDoor = (
  generation: GraphqlGeneration,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
) => Promise<void>;

/** Creates the door. It throws GatewayErrors for what ends before Yoga; the server answers them. */
export function createGraphqlDoor(options: GraphqlDoorOptions): GraphqlDoor {
  const { edge, authenticator, describeViewer, maxBodyBytes, graphiql, shedder, contract, persisted } = options;
  const loadPage = createGraphiqlPage();
  return async (generation, target, request, response, context) => {
    shedder.check('graphql');
    if (request.method === 'GET' && graphiql && wantsPage(request)) return sendGraphiql(loadPage, response, context);
    if (edge.cors !== null && isPreflight(context.method, request.headers)) {
      response.writeHead(204, [...edgeHeaders(context), ...edge.cors.answerPreflight(request.headers)]);
      response.end();
      return;
    }
    assertCarrier(request);
    edge.csrf?.({ method: context.method, host: context.client.host, headers: request.headers });
    if (edge.serviceHeaders !== null) context.serviceHeaders = new ServiceHeaders(edge.serviceHeaders);
    context.viewer = await authenticator.authenticate(request.headers, context);
    shedder.checkViewer('graphql', context);
    if (context.viewer !== null) context.viewerFields = describeViewer(context.viewer);
    const body = request.method === 'POST' ? await readText(request, maxBodyBytes, context) : null;
    const { yoga, needsRequests } = generation;
    const plain =
      body === null || target.query !== '' || needsRequests
        ? null
        : parsePlainOperation(request.headers, body, (params) => persisted.peek(params, context));
    if (plain !== null) {
      const short = await runPlainOperation(yoga, plain, context, contract);
      if (short !== null)
        await send(options, short.status, Object.entries(short.headers), short.body, response, context);
      return;
    }
    const carried = new yoga.fetchAPI.Request(`http://gateway${target.path}${target.query}`, {
      method: context.method,
      headers: needsRequests ? allHeaders(request) : plainHeaders(request),
      ...(body !== null && { body }),
    });
    const answer = await yoga.handleRequest(carried, { gateway: context, waitUntil: ignore });
    await send(options, answer.status, answer.headers, await answer.text(), response, context);
  };
}

async function readText(request: IncomingMessage, maxBytes: number, context: GatewayRequest): Promise<string> {
  const body = await readBody(request, maxBytes, context);
  context.requestBytes = body.length;
  const coding = request.headers['content-encoding'];
  return (coding === undefined ? body : await decodeWhole(body, coding, maxBytes)).toString('utf8');
}

type LoadPage = ReturnType<typeof createGraphiqlPage>;

/** Yoga offers to wait for work after the answer; nothing here has any. */
const ignore = (): void => {};

function wantsPage(request: IncomingMessage): boolean {
  return request.headers.accept?.includes('text/html') === true;
}

/** Only what a browser cannot send without asking first: a form or plain text could be posted by any page (CSRF). */
function assertCarrier(request: IncomingMessage): void {
  if (request.method === 'GET') return;
  if (request.method !== 'POST') {
    throw new GatewayError('METHOD_NOT_ALLOWED', 'GraphQL takes GET and POST', { allow: ['GET', 'POST'] });
  }
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json' && type !== 'application/graphql+json') {
    throw new GatewayError(
      'UNSUPPORTED_MEDIA_TYPE',
      'A GraphQL request by POST must have content-type application/json',
    );
  }
}

/** Yoga reads these few headers; the others stay with the context. */
function plainHeaders(request: IncomingMessage): Record<string, string> {
  const { accept, 'content-type': contentType } = request.headers;
  return { ...(accept !== undefined && { accept }), ...(contentType !== undefined && { 'content-type': contentType }) };
}

/** As a client sends them to a server of Yoga's own. The length is that of a body that was decoded since. */
function allHeaders({ rawHeaders }: IncomingMessage): [string, string][] {
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (
      !/^(connection|content-encoding|content-length|expect|keep-alive|te|trailer|transfer-encoding|upgrade)$/i.test(
        name,
      )
    ) {
      headers.push([name, rawHeaders[i + 1] ?? '']);
    }
  }
  return headers;
}

async function send(
  { edge, tellsFreshness }: GraphqlDoorOptions,
  status: number,
  fields: Iterable<readonly [string, string]>,
  text: string,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> {
  if (context.departure.happened) return;
  const headers = edgeHeaders(context);
  for (const [name, value] of fields) if (name !== 'content-length') headers.push(name, value);
  if (context.serviceHeaders !== undefined) headers.push(...context.serviceHeaders.merge());
  const answer = tellsFreshness ? withFreshness({ status, headers, text }, context) : { status, headers, text };
  const plainBytes = Buffer.byteLength(answer.text, 'utf8');
  if (answer.status !== 304) answer.headers.push('content-length', String(plainBytes));
  const finished = finishHeaders(context, answer.headers);
  const choice = edge.compression?.({ status: answer.status, headers: finished }, context.headers);
  if (choice?.coding) {
    const encoded = await encodeWhole(answer.text, choice.coding);
    if (context.departure.happened) return;
    countAnswer(context, encoded.length);
    response.writeHead(answer.status, [...choice.headers, 'content-length', String(encoded.length)]);
    response.end(encoded);
    return;
  }
  countAnswer(context, plainBytes);
  response.writeHead(answer.status, choice?.headers ?? finished);
  // As a string: Node joins head and body of a short answer then, and writes them at once.
  response.end(answer.text, 'utf8');
}

/** Counts what is sent, before the client has it: its next request finds this one counted. */
function countAnswer(context: GatewayRequest, bytes: number): void {
  context.bodyBytes = bytes;
  context.meter?.passResponse(bytes);
  context.meter?.settle();
}

async function sendGraphiql(load: LoadPage, response: ServerResponse, context: GatewayRequest): Promise<void> {
  context.name = 'graphiql';
  const { body, headers } = await load();
  const finished = finishHeaders(context, [...edgeHeaders(context), 'content-length', String(body.length)]);
  // Policies are made for other answers: under theirs the page might not run.
  const others = filterHeaders(finished, (name) => !headers.includes(name));
  response.writeHead(200, [...others, ...headers]);
  response.end(body);
}
