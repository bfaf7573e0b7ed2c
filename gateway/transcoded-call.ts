/** Requests of REST whose service speaks gRPC: JSON in, a call of gRPC, JSON out. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { isHeldBack } from '../policies/reserved-headers.ts';
import type { CallRequest } from '../subgraphs/call.ts';
import { frameMessage } from '../subgraphs/grpc-frames.ts';
import type { GrpcBinding, GrpcSchema } from '../subgraphs/grpc-schema.ts';
import type { Descriptors } from '../subgraphs/protobuf/descriptors.ts';
import type { GatewayRequest } from './context.ts';
import { buildGrpcHeaders, planGrpcTimes } from './grpc-call.ts';
import { noteGrpcCall } from './grpc-facts.ts';
import { readBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';
import type { OutgoingRequest } from './route-choice.ts';
import type { RouteTarget } from './route-table.ts';
import { StreamedJsonAnswer, UnaryJsonAnswer } from './transcoded-answer.ts';
import { encodeRequest } from './transcoded-request.ts';

/** Fields that are about JSON or about HTTP, and no metadata. */
const representation: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'content-encoding',
  'content-language',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'origin',
  'range',
  'referer',
]);

/** The call that a request of REST asks for. */
export async function buildTranscodedCall(
  schema: GrpcSchema & { readonly descriptors: Descriptors },
  binding: GrpcBinding,
  route: RouteTarget,
  leave: () => OutgoingRequest,
  { path: asked, query }: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<CallRequest> {
  noteGrpcCall(context, 'transcoded');
  const { method } = binding;
  const path = `/${method.name}`;
  const times = planGrpcTimes(route, schema, path, context);
  const body = await readJson(request, Math.min(route.maxBodyBytes, schema.maxMessageBytes), context);
  const message = encodeRequest(schema.descriptors, binding, asked, query, body);
  if (message.length > schema.maxMessageBytes) {
    throw new GatewayError('PAYLOAD_TOO_LARGE', `The message is larger than ${schema.maxMessageBytes} bytes`);
  }
  const outgoing = leave();
  const Answer = method.serverStreaming ? StreamedJsonAnswer : UnaryJsonAnswer;
  const receiver = new Answer(schema, binding, route, request, response, context);
  context.endAnswer = (error) => receiver.endWith(error);
  return {
    ...outgoing,
    method: 'POST',
    path,
    headers: buildGrpcHeaders(toMetadata(outgoing.headers), 'application/grpc+proto', times, context),
    body: frameMessage(message),
    // The service says so itself; a GET of REST may stand for anything.
    idempotent: method.idempotent && !method.serverStreaming,
    ...times,
    ...(route.edge.carriesCredentials && { credentialed: true }),
    receiver,
  };
}

async function readJson(request: IncomingMessage, maxBytes: number, context: GatewayRequest): Promise<Buffer | null> {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (coding === undefined && length === '0') return null;
  const type = String(request.headers['content-type'] ?? 'application/json');
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'The body is read as application/json');
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'The body is not read compressed');
  }
  const body = await readBody(request, maxBytes, context);
  context.meter?.passRequest(body.length);
  return body;
}

/** `Grpc-Metadata-Name` is metadata of that name, as grpc-gateway has it; what else goes to services goes as it is. */
function toMetadata(headers: readonly string[]): string[] {
  const metadata: string[] = ['grpc-accept-encoding', 'identity'];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase();
    const inner = name.startsWith('grpc-metadata-') ? name.slice('grpc-metadata-'.length) : name;
    if (representation.has(name) || inner === '' || (inner !== name && !isFree(inner))) continue;
    if (inner === name && name.startsWith('grpc-')) continue;
    metadata.push(inner, headers[i + 1] ?? '');
  }
  return metadata;
}

/** What the gateway or the protocol says itself cannot come in by another name. */
function isFree(name: string): boolean {
  return !name.startsWith('grpc-') && !isHeldBack(name) && name !== 'content-type' && name !== 'content-length';
}
