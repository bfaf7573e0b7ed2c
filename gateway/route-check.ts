/** Routes that nothing reaches, looked for where they come in: at a change of the registry, and by `selvage check`. */
import { GrpcSchemas } from '../subgraphs/grpc-schema.ts';
import { emptySnapshot, type Service, type Snapshot } from '../subgraphs/snapshot.ts';
import type { GatewayConfig } from './config-schema.ts';
import { createShadowWatch, findUnreached, type UnreachedRoute } from './route-shadows.ts';
import { buildRouteTable, type RouteTable } from './route-table.ts';

const bare = { maxBodyBytes: 0, authenticationRequired: false, rateLimit: [] };

/** All routes, with those that gRPC brings and nobody wrote. */
function listAll(snapshot: Snapshot, grpcSchemas: GrpcSchemas): RouteTable['ranked'] {
  const services = snapshot.services.map((service) => {
    const { definition } = service;
    if (definition.grpc === undefined) return service;
    return { ...service, definition: { ...definition, routes: [...grpcSchemas.routesOf(definition)] } };
  });
  return buildRouteTable({ ...snapshot, services }, bare).ranked;
}

/** Those among the services of a configuration. */
export function findUnreachedInConfig({ services = {} }: GatewayConfig): readonly UnreachedRoute[] {
  const snapshot: Snapshot = {
    ...emptySnapshot,
    services: Object.entries(services).map(
      ([name, definition]): Service => ({
        name,
        definition,
        schema: null,
        quarantine: null,
        instances: [],
        revision: 0,
        origin: 'config',
      }),
    ),
  };
  return findUnreached(listAll(snapshot, new GrpcSchemas()));
}

/** Watches the registry. Instances that come and go change no routes, and cost nothing here. */
export function createRouteWatch(
  onChange: (unreached: readonly UnreachedRoute[]) => void,
): (snapshot: Snapshot) => void {
  const watch = createShadowWatch(onChange);
  const grpcSchemas = new GrpcSchemas();
  let known: readonly unknown[] = [];
  return (snapshot) => {
    const definitions = snapshot.services.map(({ definition }) => definition);
    if (definitions.length === known.length && definitions.every((one, index) => one === known[index])) return;
    known = definitions;
    watch(listAll(snapshot, grpcSchemas));
  };
}
