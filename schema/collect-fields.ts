/** CollectFields of the GraphQL specification (section 6.3.2), for one type and known values of all conditions. */
import {
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLSchema,
  isAbstractType,
  isUnionType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';

export interface CollectContext {
  readonly schema: GraphQLSchema;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** The variables that `@skip` and `@include` look at. */
  readonly isTrue: (variable: string) => boolean;
}

/**
 * Fields by response key, in the order of the answer. The type is an object type, or an interface for objects of which
 * nobody knows more.
 */
export function collectFields(
  { schema, fragments, isTrue }: CollectContext,
  type: GraphQLCompositeType,
  selectionSets: readonly SelectionSetNode[],
): Map<string, FieldNode[]> {
  const fields = new Map<string, FieldNode[]>();
  const spread = new Set<string>();

  function collect({ selections }: SelectionSetNode): void {
    for (const selection of selections) if (isIncluded(selection, isTrue)) collectSelection(selection);
  }

  function collectSelection(selection: SelectionNode): void {
    if (selection.kind === Kind.FIELD) {
      const key = (selection.alias ?? selection.name).value;
      const same = fields.get(key);
      if (same === undefined) fields.set(key, [selection]);
      else same.push(selection);
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      if (applies(schema, selection.typeCondition?.name.value, type)) collect(selection.selectionSet);
    } else if (!spread.has(selection.name.value)) {
      spread.add(selection.name.value);
      const fragment = fragments.get(selection.name.value);
      if (fragment !== undefined && applies(schema, fragment.typeCondition.name.value, type)) {
        collect(fragment.selectionSet);
      }
    }
  }

  for (const selectionSet of selectionSets) collect(selectionSet);
  return fields;
}

/** `@skip` and `@include`: both must agree (section 3.13.2). */
function isIncluded({ directives = [] }: SelectionNode, isTrue: (variable: string) => boolean): boolean {
  return directives.every(({ name, arguments: args = [] }) => {
    if (name.value !== 'skip' && name.value !== 'include') return true;
    const value = args.find((argument) => argument.name.value === 'if')?.value;
    const holds =
      value?.kind === Kind.VARIABLE ? isTrue(value.name.value) : value?.kind === Kind.BOOLEAN && value.value;
    return holds === (name.value === 'include');
  });
}

function applies(schema: GraphQLSchema, condition: string | undefined, type: GraphQLCompositeType): boolean {
  if (condition === undefined || condition === type.name) return true;
  const conditionType = schema.getType(condition);
  return isAbstractType(conditionType) && !isUnionType(type) && schema.isSubType(conditionType, type);
}
