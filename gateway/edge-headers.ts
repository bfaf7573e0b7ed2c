/** The head of an answer of either door: what the gateway itself adds, and what the policies of its edge make of it. */
import type { GatewayRequest } from './context.ts';
import { renderServerTiming } from './server-timing.ts';

/** Name, value, name, value ...: the request id, what the rate limits said, and what the cache of operations did. */
export function edgeHeaders(context: GatewayRequest): string[] {
  const headers = ['x-request-id', context.id];
  const limits = context.rateLimit?.headers;
  if (limits !== undefined) for (const name in limits) headers.push(name, limits[name] ?? '');
  if (context.cacheStatus !== undefined) headers.push('cache-status', context.cacheStatus);
  if (context.isTimed) headers.push('server-timing', renderServerTiming(context, performance.now()));
  return headers;
}

/** The fields as they go out. Everything that answers a client's request passes here once. */
export function finishHeaders(context: GatewayRequest, headers: string[]): string[] {
  return context.shapeAnswer === null ? headers : context.shapeAnswer(headers, context);
}
