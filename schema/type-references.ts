/** References such as `[Book!]!`, compared and merged as federation's composition says. */
import { Kind, type TypeNode } from 'graphql';

/** Whether an object type, interface or union can stand where another one is expected. */
export type IsSubtype = (type: string, of: string) => boolean;

/** Whether every value of a type is one of another too. */
export function isSubtypeReference(type: TypeNode, of: TypeNode, isSubtype: IsSubtype): boolean {
  if (of.kind === Kind.NON_NULL_TYPE) {
    return type.kind === Kind.NON_NULL_TYPE && isSubtypeReference(type.type, of.type, isSubtype);
  }
  if (type.kind === Kind.NON_NULL_TYPE) return isSubtypeReference(type.type, of, isSubtype);
  if (of.kind === Kind.LIST_TYPE || type.kind === Kind.LIST_TYPE) {
    return (
      of.kind === Kind.LIST_TYPE && type.kind === Kind.LIST_TYPE && isSubtypeReference(type.type, of.type, isSubtype)
    );
  }
  return type.name.value === of.name.value || isSubtype(type.name.value, of.name.value);
}

/** The one of several that all others are subtypes of (of inputs: that is a subtype of all), if there is one. */
export function mergeReferences(
  types: readonly TypeNode[],
  position: 'output' | 'input',
  isSubtype: IsSubtype,
): TypeNode | undefined {
  const [first, ...others] = types;
  let merged = first;
  for (const type of others) {
    if (merged === undefined) return undefined;
    const [narrow, wide] = position === 'output' ? [type, merged] : [merged, type];
    if (isSubtypeReference(narrow, wide, isSubtype)) continue;
    merged = isSubtypeReference(wide, narrow, isSubtype) ? type : undefined;
  }
  return merged;
}

export function printReference(type: TypeNode): string {
  if (type.kind === Kind.NAMED_TYPE) return type.name.value;
  return type.kind === Kind.LIST_TYPE ? `[${printReference(type.type)}]` : `${printReference(type.type)}!`;
}

/** The name inside of lists and non-null. */
export function readNamedType(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : readNamedType(type.type);
}
