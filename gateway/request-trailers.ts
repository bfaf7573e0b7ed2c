/**
 * Which trailers of a request go to its service (RFC 9110 section 6.5.1): only announced ones, since a service that merges
 * trailers into the head must not find there what no policy has seen.
 */
import type { IncomingMessage } from 'node:http';
import { parseNames } from '../policies/http-headers.ts';
import { isHeldBack } from '../policies/reserved-headers.ts';
import { isToken } from '../subgraphs/field-syntax.ts';
import type { RequestTrailers } from '../subgraphs/request-trailers.ts';
import type { GatewayRequest } from './context.ts';
import type { RouteTarget } from './route-table.ts';

/** Fields by which requests are routed, authenticated, framed, modified or read: they come before the body or never. */
const neverTrailing: ReadonlySet<string> = new Set([
  'authentication-info',
  'authorization',
  'cache-control',
  'cookie',
  'dpop',
  'early-data',
  'grpc-timeout',
  'idempotency-key',
  'max-forwards',
  'origin',
  'pragma',
  'priority',
  'range',
  'referer',
  'traceparent',
  'tracestate',
  'user-agent',
]);
/** The same by how they begin: conditions, descriptions of the body, negotiation, what browsers vouch for. */
const neverTrailingLike = /^(?:if-|accept|access-control-|content-(?!digest$|md5$)|sec-|x-(?:api-key|http-method))/;

/**
 * What may follow the body of a request, as a part of its call. `headers`: its fields as they go to the service. Rules of the
 * route hold for trailers as for them, but for values: what a rule removes, sets or renames does not come behind the body.
 */
export function forwardTrailers(
  { edge }: RouteTarget,
  path: string,
  request: IncomingMessage,
  headers: readonly string[],
  context: GatewayRequest,
): { readonly trailers?: RequestTrailers } {
  const announced = request.headers.trailer;
  if (announced === undefined || request.headers['transfer-encoding'] === undefined) return {};
  const ofConnection = parseNames(request.headers.connection);
  const inHead = new Set(headers.filter((_, index) => index % 2 === 0).map((name) => dashed(name)));
  const names = new Set(
    parseNames(announced).filter(
      (name) => isToken(name) && isTrailing(name) && !ofConnection.includes(name) && !inHead.has(dashed(name)),
    ),
  );
  if (edge.request !== null) {
    // Each under its own name as its value: what comes out as it went in is none of the rules' business.
    const ruled = edge.request(
      [...names].flatMap((name) => [name, name]),
      context,
      path,
    );
    for (const name of names)
      if (!ruled.some((each, at) => at % 2 === 0 && each === name && ruled[at + 1] === name)) names.delete(name);
  }
  if (names.size === 0) return {};
  return { trailers: { announced: [...names].join(', '), read: () => pick(request.rawTrailers, names) } };
}

function isTrailing(name: string): boolean {
  const plain = dashed(name);
  return !neverTrailing.has(plain) && !neverTrailingLike.test(plain) && !isHeldBack(name) && !isHeldBack(plain);
}

/** Some servers take every delimiter for the same one. */
function dashed(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');
}

function pick(raw: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (names.has(name.toLowerCase())) kept.push(name, raw[i + 1] ?? '');
  }
  return kept;
}
