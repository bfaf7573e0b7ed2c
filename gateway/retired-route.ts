/** What the REST door does for a route that is retired. */
import { readClientName } from '../policies/client-name.ts';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import { compileRetirement, type Retirement, type RetireOptions } from '../policies/retirement.ts';
import { hashText } from '../subgraphs/balancing-key.ts';
import type { GrpcSchema, GrpcSchemas } from '../subgraphs/grpc-schema.ts';
import { buildRewrite } from '../subgraphs/route-rewrite.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { GatewayRequest } from './context.ts';
import type { EdgePolicies } from './edge-policies.ts';
import type { RetiredOutcome, RouteUsage } from './route-usage.ts';

export interface RetiredRoute extends Retirement {
  /** Null where the path goes on as it is, also because the service that is named does not agree. */
  readonly replacement: Destination | null;
}

/** Where a request goes. */
export interface Destination {
  readonly service: string;
  readonly rewrite: (path: string) => string;
  /** What that service says of gRPC; null where it speaks none. */
  readonly grpc: GrpcSchema | null;
}

/** Null for a route that is not retired. */
export function buildRetiredRoute(
  { services }: Snapshot,
  service: string,
  route: Route,
  grpcSchemas: GrpcSchemas,
): RetiredRoute | null {
  if (route.retire === undefined) return null;
  const compiled = compileRetirement(route.retire);
  const { replacement } = route.retire;
  if (replacement === undefined) return { ...compiled, replacement: null };
  const wanted = services.find(({ name }) => name === (replacement.service ?? service));
  // As with fallbacks: a team may name any service, and only what that one's own team agrees to is done.
  const agrees = wanted?.name === service || wanted?.definition.fallbackFor?.includes(service) === true;
  const rewrite = replacement.rewrite ?? route.rewrite;
  return {
    ...compiled,
    replacement:
      wanted === undefined || !agrees
        ? null
        : {
            service: wanted.name,
            grpc: grpcSchemas.of(wanted.definition),
            rewrite: rewrite === undefined ? (path) => path : buildRewrite(route.match, rewrite),
          },
  };
}

/** Every answer of the route tells of it, errors and kept answers included; the service's own word of it is replaced. */
export function announceRetirement(edge: EdgePolicies, { headers }: Retirement): EdgePolicies {
  if (headers.length === 0) return edge;
  const replaced = headers.filter((_, index) => index % 2 === 0 && headers[index] !== 'link');
  const { answer } = edge;
  return {
    ...edge,
    answer(given, context) {
      const told = [...filterHeaders(given, (name) => !replaced.includes(name)), ...headers];
      return answer === null ? told : answer(told, context);
    },
  };
}

/** Counts who calls, and says where the request goes. Throws GONE when the path is at its end. */
export function leadRetired(
  retired: RetiredRoute,
  target: Destination & { readonly label: string },
  usage: RouteUsage,
  context: GatewayRequest,
): Destination {
  const outcome = decide(retired, target.service, context);
  const { viewer, client, headers } = context;
  usage.record({ service: target.service, route: target.label }, outcome, {
    kind: viewer?.kind ?? 'anonymous',
    viewer: viewer?.id ?? null,
    client: readClientName(headers) ?? null,
    // Of those who have a name the address is nobody's business.
    address: viewer === null ? client.address : null,
  });
  if (outcome === 'gone') throw new GatewayError('GONE');
  return outcome === 'moved' && retired.replacement !== null ? retired.replacement : target;
}

function decide(retired: RetiredRoute, service: string, { viewer, client }: GatewayRequest): RetiredOutcome {
  if (Date.now() >= retired.goneAtMs) return 'gone';
  if (retired.replacement === null) return 'served';
  // By service and not by route: whoever is moved is moved as a whole.
  const who = viewer === null ? client.address : `${viewer.issuer ?? viewer.kind}\n${viewer.id}`;
  return hashText(`${service}\n${who}`) / 4_294_967_296 < retired.movedShare ? 'moved' : 'served';
}

/** How the admin API shows a plan. */
export function describeRetirement({ deprecated, sunset, gone, replacement }: RetireOptions) {
  return {
    deprecated: deprecated ?? null,
    sunset: sunset ?? null,
    gone: gone ?? null,
    replacement: replacement ?? null,
  };
}
