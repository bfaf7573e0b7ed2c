/** Root fields that one plain service answers alone, whatever is selected below them. */
import {
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isInterfaceType,
  isLeafType,
  isObjectType,
} from 'graphql';
import type { Layer } from './conflicts.ts';

const rootTypes = ['Query', 'Mutation'];

/**
 * The service by field, as `Query.name`. A field counts when no other service has any of the types that can be reached
 * from it: only then is there nothing to merge. Enums and inputs may be shared; composition has seen that they are equal.
 */
export function findPlainRootFields(layers: readonly Layer[]): Map<string, string> {
  const owners = countOwners(layers);
  const found = new Map<string, string>();
  for (const { service, plain, subschemas } of layers) {
    if (!plain) continue;
    for (const { schema } of subschemas) {
      for (const root of rootTypes) {
        const type = schema.getType(root);
        if (!isObjectType(type)) continue;
        for (const { name, type: given } of Object.values(type.getFields())) {
          const reached = [...collectReachable(schema, getNamedType(given))];
          if (reached.every((reachable) => owners.get(reachable) === 1 && !rootTypes.includes(reachable))) {
            found.set(`${root}.${name}`, service);
          }
        }
      }
    }
  }
  return found;
}

function countOwners(layers: readonly Layer[]): Map<string, number> {
  const owners = new Map<string, number>();
  for (const { subschemas } of layers) {
    const names = new Set(subschemas.flatMap(({ schema }) => Object.keys(schema.getTypeMap())));
    for (const name of names) owners.set(name, (owners.get(name) ?? 0) + 1);
  }
  return owners;
}

/** Names of the composite types in what a field of this type may give. */
function collectReachable(schema: GraphQLSchema, from: GraphQLNamedType): Set<string> {
  const names = new Set<string>();
  const pending = [from];
  for (let type = pending.pop(); type !== undefined; type = pending.pop()) {
    if (isLeafType(type) || names.has(type.name)) continue;
    names.add(type.name);
    if (isObjectType(type) || isInterfaceType(type)) {
      pending.push(...type.getInterfaces());
      for (const field of Object.values(type.getFields())) pending.push(getNamedType(field.type));
    }
    if (isAbstractType(type)) pending.push(...schema.getPossibleTypes(type));
  }
  return names;
}
