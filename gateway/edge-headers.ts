/** The headers that the gateway itself adds to an answer of either door. */
import type { GatewayRequest } from './context.ts';

/** Name, value, name, value ...: the request id, what the rate limits said, and what the cache of operations did. */
export function edgeHeaders(context: GatewayRequest): string[] {
  const headers = ['x-request-id', context.id];
  const limits = context.rateLimit?.headers;
  if (limits !== undefined) for (const name in limits) headers.push(name, limits[name] ?? '');
  if (context.cacheStatus !== undefined) headers.push('cache-status', context.cacheStatus);
  return headers;
}
