/** `Server-Timing` (W3C Server Timing): where the time until the head of an answer went. */
import type { IncomingHttpHeaders } from 'node:http';
import Type from 'typebox';

export const ServerTiming = Type.Unsafe<boolean | 'on-request'>({
  anyOf: [{ type: 'boolean' }, { const: 'on-request' }],
  default: 'on-request',
  description:
    'Whether answers say in `Server-Timing` how long the policies, the service and the gateway took. `on-request`: those to requests with `x-server-timing: 1`.',
});
export type ServerTiming = Type.Static<typeof ServerTiming>;

/** Whether the answer to a request tells its times. */
export type TimesRequest = (headers: IncomingHttpHeaders) => boolean;

/** Compiles the option. */
export function compileServerTiming(option: ServerTiming): TimesRequest {
  if (option === 'on-request') return (headers) => headers['x-server-timing'] === '1';
  return () => option;
}

/** What is known of the times of a request. */
export interface Timed {
  readonly startedAtMs: number;
  /** When the policies had decided and the service was asked; undefined where none was. */
  readonly calledAtMs: number | undefined;
}

/** The value of the field, at the time of the head. */
export function renderServerTiming({ startedAtMs, calledAtMs }: Timed, nowMs: number): string {
  const total = nowMs - startedAtMs;
  if (calledAtMs === undefined) return `total;dur=${total.toFixed(1)}`;
  const policies = calledAtMs - startedAtMs;
  return `total;dur=${total.toFixed(1)}, policies;dur=${policies.toFixed(1)}, service;dur=${(nowMs - calledAtMs).toFixed(1)}`;
}
