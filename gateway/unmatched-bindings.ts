/** Bindings of named policies that nothing matches at the moment: no mistake, but perhaps a slip of the pen. */
import { isInterfaceType, isObjectType } from 'graphql';
import { findUnmatched, isBound, type PolicyOrigin, type PolicyTarget } from '../policies/policy-binding.ts';
import type { NamedPolicy } from '../policies/policy-definition.ts';
import type { Graph } from '../schema/graph.ts';
import { GrpcSchemas } from '../subgraphs/grpc-schema.ts';
import { findService, type Snapshot } from '../subgraphs/snapshot.ts';

export function findUnmatchedBindings(
  policies: readonly NamedPolicy[],
  snapshot: Snapshot,
  { schema }: Pick<Graph, 'schema'>,
  grpcSchemas: GrpcSchemas = new GrpcSchemas(),
): readonly PolicyOrigin[] {
  return findUnmatched(policies, (target) => exists(target, snapshot, schema, grpcSchemas));
}

/** Calls back with the unmatched bindings whenever they are others than the last time. */
export function createUnmatchedWatch(onChange: (unmatched: readonly PolicyOrigin[]) => void) {
  let last = '[]';
  const grpcSchemas = new GrpcSchemas();
  return (policies: readonly NamedPolicy[], snapshot: Snapshot, graph: Pick<Graph, 'schema'>): void => {
    const unmatched = findUnmatchedBindings(policies, snapshot, graph, grpcSchemas);
    const text = JSON.stringify(unmatched);
    if (text === last) return;
    last = text;
    onChange(unmatched);
  };
}

function exists(target: PolicyTarget, snapshot: Snapshot, schema: Graph['schema'], grpcSchemas: GrpcSchemas): boolean {
  switch (target.level) {
    case 'gateway':
      return true;
    case 'service':
      return findService(snapshot, target.service) !== undefined;
    case 'route': {
      const { service, path, methods } = target;
      const bind = { routes: [{ service, path, ...(methods !== undefined && { methods: [...methods] }) }] };
      const definition = findService(snapshot, service)?.definition;
      return (definition === undefined ? [] : grpcSchemas.routesOf(definition)).some(({ match }) =>
        isBound(bind, { level: 'route', service, path: match.path, methods: match.methods }),
      );
    }
    case 'type':
      return schema.getType(target.type) !== undefined;
    case 'field': {
      const [name = '', field = ''] = target.field.split('.');
      const type = schema.getType(name);
      return (isObjectType(type) || isInterfaceType(type)) && field in type.getFields();
    }
  }
}
