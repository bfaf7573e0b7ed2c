/** A configured value in the form in which a request asks for it. */
import {
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import { isObject, type JsonObject } from './plan-paths.ts';

export interface FallbackTypes {
  readonly schema: GraphQLSchema;
  readonly possibleTypes: ReadonlyMap<string, ReadonlySet<string>>;
}

/** With the fragments that selections may spread. */
interface Projection extends FallbackTypes {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
}

/** The value of a field, `Type.field`, with the keys that are selected. What it leaves out is null. */
export function projectFallback(
  value: unknown,
  selectionSet: SelectionSetNode | undefined,
  coordinate: string,
  types: Projection,
): unknown {
  const [type = '', field = ''] = coordinate.split('.');
  return project(value, selectionSet, typeOfField(types.schema.getType(type), field), types);
}

function typeOfField(type: GraphQLNamedType | undefined, name: string): GraphQLNamedType | undefined {
  if (!isObjectType(type) && !isInterfaceType(type)) return undefined;
  const field = type.getFields()[name];
  return field === undefined ? undefined : getNamedType(field.type);
}

function project(
  value: unknown,
  selectionSet: SelectionSetNode | undefined,
  type: GraphQLNamedType | undefined,
  types: Projection,
): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => project(item, selectionSet, type, types));
  if (selectionSet === undefined || !isObject(value)) return value;
  const name = typeof value['__typename'] === 'string' ? value['__typename'] : type?.name;
  const projected: JsonObject = {};
  select(value, selectionSet, name, types, projected);
  return projected;
}

function select(
  value: JsonObject,
  { selections }: SelectionSetNode,
  typename: string | undefined,
  types: Projection,
  into: JsonObject,
): void {
  for (const node of selections) {
    if (node.kind !== Kind.FIELD) {
      const fragment = node.kind === Kind.INLINE_FRAGMENT ? node : types.fragments.get(node.name.value);
      const condition = fragment?.typeCondition?.name.value ?? typename;
      const fits = condition === typename || types.possibleTypes.get(condition ?? '')?.has(typename ?? '') === true;
      if (fits && fragment !== undefined) select(value, fragment.selectionSet, typename, types, into);
    } else {
      const key = (node.alias ?? node.name).value;
      const name = node.name.value;
      const type = typeOfField(types.schema.getType(typename ?? ''), name);
      const own = Object.hasOwn(value, name) ? value[name] : null;
      into[key] = name === '__typename' ? typename : project(own, node.selectionSet, type, types);
    }
  }
}
