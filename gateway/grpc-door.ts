/** What a request is to a service that speaks gRPC: a call of gRPC or gRPC-Web, REST for one of its methods, or neither. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import type { CallRequest } from '../subgraphs/call.ts';
import type { GatewayRequest } from './context.ts';
import { buildGrpcCall } from './grpc-call.ts';
import { readGrpcForm } from './grpc-dialect.ts';
import type { RequestTarget } from './request-target.ts';
import type { Destination } from './retired-route.ts';
import { buildOutgoing } from './route-choice.ts';
import type { RouteTarget } from './route-table.ts';
import { buildTranscodedCall } from './transcoded-call.ts';

/** The call that a request means; null where it is forwarded as any other. */
export async function openGrpcCall(
  route: RouteTarget,
  destination: Destination,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<CallRequest | null> {
  const form = readGrpcForm(request);
  // A call stays one, also where what replaces its path is said to speak no gRPC.
  const grpc = destination.grpc ?? (form === null ? null : route.grpc);
  if (grpc === null) return null;
  const leave = () => buildOutgoing(route, destination, '', target, request, context);
  if (form !== null && (form === 'grpc' || grpc.web !== 'forward')) {
    return buildGrpcCall(form, grpc, route, leave(), request, response, context);
  }
  const isReplaced = destination !== route;
  // What replaces a retired path is another path of REST, and may be that of another method.
  const asked = isReplaced ? { ...target, path: destination.rewrite(target.path) } : target;
  const binding = isReplaced
    ? grpc.findBindingAt(context.method, asked.path)
    : grpc.findBinding(context.method, route.route.match.path);
  const { descriptors } = grpc;
  if (binding !== undefined && descriptors !== null) {
    const schema = { ...grpc, descriptors };
    return buildTranscodedCall(schema, binding, route, leave, asked, request, response, context);
  }
  if (form === null && grpc.isMethodPath(asked.path)) {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path is called by gRPC');
  }
  return null;
}
