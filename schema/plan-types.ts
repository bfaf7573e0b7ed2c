/** Which object types an abstract type stands for, asked by name while plans run. */
import { type GraphQLSchema, isAbstractType, isObjectType } from 'graphql';

/** Whether an object of the named type fits a type condition. */
export type FitsType = (typename: string, condition: string) => boolean;

/**
 * Types by their names in the public schema, and by those in the supergraph where they are given: plans name types that
 * clients must not know.
 */
export function createFitsType(
  schema: GraphQLSchema,
  possibleTypes: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): FitsType {
  return (typename, condition) => {
    if (typename === condition) return true;
    if (possibleTypes !== undefined) return possibleTypes.get(condition)?.has(typename) === true;
    const abstract = schema.getType(condition);
    const type = schema.getType(typename);
    return isAbstractType(abstract) && isObjectType(type) && schema.isSubType(abstract, type);
  };
}

/** The possible object types of every abstract type of the schemas together, for {@link createFitsType}. */
export function buildPossibleTypes(...schemas: readonly GraphQLSchema[]): ReadonlyMap<string, ReadonlySet<string>> {
  const possible = new Map<string, Set<string>>();
  for (const schema of schemas) {
    for (const type of Object.values(schema.getTypeMap()).filter(isAbstractType)) {
      const names = possible.get(type.name) ?? new Set();
      for (const { name } of schema.getPossibleTypes(type)) names.add(name);
      possible.set(type.name, names);
    }
  }
  return possible;
}
