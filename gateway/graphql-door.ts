/** The GraphQL door: shed load -> authenticate -> (Yoga's pipeline of the current generation) -> answer. POST and GET. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../policies/authenticate.ts';
import { GatewayError } from '../policies/errors.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import type { DescribeViewer } from '../policies/viewer-token.ts';
import { withFreshness } from './answer-freshness.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders } from './edge-headers.ts';
import type { UnexpectedErrorListener } from './graphql-errors.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import { parsePlainOperation, runPlainOperation } from './plain-operation.ts';
import { readBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';

export interface GraphqlDoorOptions {
  readonly authenticator: Authenticator;
  /** What services are told of a viewer. */
  readonly describeViewer: DescribeViewer;
  readonly maxBodyBytes: number;
  readonly graphiql: boolean;
  /** Whether answers say how long they may be kept. */
  readonly tellsFreshness: boolean;
  readonly shedder: LoadShedder;
  readonly onUnexpected: UnexpectedErrorListener;
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
  const { authenticator, describeViewer, maxBodyBytes, graphiql, shedder, onUnexpected } = options;
  return async (generation, target, request, response, context) => {
    shedder.check('graphql');
    if (request.method === 'GET' && graphiql && wantsPage(request)) return sendGraphiql(response, context);
    assertCarrier(request);
    context.viewer = await authenticator.authenticate(request.headers, context);
    if (context.viewer !== null) context.viewerFields = describeViewer(context.viewer);
    const body =
      request.method === 'POST'
        ? (await readBody(request, maxBodyBytes, context.deadlineAtMs - performance.now())).toString('utf8')
        : null;
    const { yoga } = generation;
    const plain = body === null || target.query !== '' ? null : parsePlainOperation(request.headers, body);
    if (plain !== null) {
      const short = await runPlainOperation(yoga, plain, context, onUnexpected);
      if (short !== null) send(options, short.status, Object.entries(short.headers), short.body, response, context);
      return;
    }
    const carried = new yoga.fetchAPI.Request(`http://gateway${target.path}${target.query}`, {
      method: context.method,
      headers: plainHeaders(request),
      ...(body !== null && { body }),
    });
    const answer = await yoga.handleRequest(carried, { gateway: context, waitUntil: ignore });
    send(options, answer.status, answer.headers, await answer.text(), response, context);
  };
}

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

function send(
  { tellsFreshness }: GraphqlDoorOptions,
  status: number,
  fields: Iterable<readonly [string, string]>,
  text: string,
  response: ServerResponse,
  context: GatewayRequest,
): void {
  if (context.departure.happened) return;
  const headers = edgeHeaders(context);
  for (const [name, value] of fields) if (name !== 'content-length') headers.push(name, value);
  const answer = tellsFreshness ? withFreshness({ status, headers, text }, context) : { status, headers, text };
  context.bodyBytes = Buffer.byteLength(answer.text, 'utf8');
  if (answer.status !== 304) answer.headers.push('content-length', String(context.bodyBytes));
  response.writeHead(answer.status, answer.headers);
  // As a string: Node joins head and body of a short answer then, and writes them at once.
  response.end(answer.text, 'utf8');
}

async function sendGraphiql(response: ServerResponse, context: GatewayRequest): Promise<void> {
  context.name = 'graphiql';
  // Two megabytes of page: loaded when somebody looks at it.
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const page = Buffer.from(renderGraphiQL({ title: 'Selvage' }), 'utf8');
  const headers = ['content-type', 'text/html; charset=utf-8', 'content-length', String(page.length)];
  response.writeHead(200, [...edgeHeaders(context), ...headers]);
  response.end(page);
}
