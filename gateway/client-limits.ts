/** Bounds on clients' connections: what each may hold, and how slow it may be. */
import Type from 'typebox';
import { Duration, parseDurationMs } from '../policies/units.ts';

export const clientLimitProperties = {
  maxHeaderCount: Type.Optional(
    Type.Integer({
      minimum: 10,
      maximum: 2_000,
      default: 100,
      description: 'Header fields of a request; more get 431.',
    }),
  ),
  clientIdleTimeout: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      default: '30s',
      description:
        'Time without progress after which a client is given up: one that sends less than 1 kB of a body and not its end gets 408, one that reads nothing of an answer that waits for it is cut off.',
    }),
  ),
  keepAliveTimeout: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      default: '65s',
      description: 'How long a connection may wait for its next request. Longer than that of a load balancer in front.',
    }),
  ),
  maxRequestsPerConnection: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 0,
      description: 'Requests after which a connection is closed, so that clients spread anew. 0: no limit.',
    }),
  ),
  maxConnections: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 0,
      description:
        'Connections of clients to each process; more are closed at once, and counted. With workers, one may be full while another has room. 0: no limit.',
    }),
  ),
} as const;

export interface ClientLimits {
  readonly maxHeaderCount: number;
  readonly clientIdleMs: number;
  readonly keepAliveMs: number;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** 0: no limit. */
  readonly maxConnections: number;
}

interface ClientLimitOptions {
  readonly maxHeaderCount?: number;
  readonly clientIdleTimeout?: string;
  readonly keepAliveTimeout?: string;
  readonly maxRequestsPerConnection?: number;
  readonly maxConnections?: number;
}

/** The limits with every default. */
export function buildClientLimits(options: ClientLimitOptions): ClientLimits {
  return {
    maxHeaderCount: options.maxHeaderCount ?? 100,
    clientIdleMs: parseDurationMs(options.clientIdleTimeout ?? '30s'),
    keepAliveMs: parseDurationMs(options.keepAliveTimeout ?? '65s'),
    maxRequestsPerConnection: options.maxRequestsPerConnection ?? 0,
    maxConnections: options.maxConnections ?? 0,
  };
}
