/** The headers that the gateway itself adds to an answer of either door. */
import type { GatewayRequest } from './context.ts';

/** Name, value, name, value ...: the request id, and what the rate limits said. */
export function edgeHeaders(context: GatewayRequest): string[] {
  const headers = ['x-request-id', context.id];
  const limits = context.rateLimit?.headers;
  if (limits !== undefined) for (const name in limits) headers.push(name, limits[name] ?? '');
  return headers;
}
