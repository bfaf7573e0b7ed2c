/** The fields of an operation, as it is executed: without what `@skip` and `@include` leave out. */
import {
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  GraphQLIncludeDirective,
  type GraphQLInterfaceType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getDirectiveValues,
  getNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';

type Composite = GraphQLObjectType | GraphQLInterfaceType;

/** One field where it stands in the document. */
export interface FieldSelection {
  readonly node: FieldNode;
  readonly parent: Composite;
  readonly field: GraphQLField<unknown, unknown>;
  /** Response keys from the root: where the field is read first. */
  readonly path: readonly string[];
}

export interface SelectionWalk {
  readonly schema: GraphQLSchema;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Coerced variables; null where they are wrong or not of interest: then nothing is left out. */
  readonly variables: Readonly<Record<string, unknown>> | null;
  /** Called for each field but those of introspection. False: what is below is not read. */
  readonly onField: (selection: FieldSelection) => boolean;
}

/** Walks an operation. A fragment is walked once, wherever it is spread: its fields are always those of its own type. */
export function walkSelections(operation: OperationDefinitionNode, walk: SelectionWalk): void {
  const root = walk.schema.getRootType(operation.operation);
  if (root != null) new Walker(walk).visit(operation.selectionSet, root, []);
}

class Walker {
  readonly #walk: SelectionWalk;
  readonly #seen = new Set<string>();

  constructor(walk: SelectionWalk) {
    this.#walk = walk;
  }

  visit({ selections }: SelectionSetNode, parent: GraphQLNamedType | undefined, path: readonly string[]): void {
    const { schema, fragments, variables } = this.#walk;
    for (const selection of selections) {
      if (variables !== null && isLeftOut(selection, variables)) continue;
      if (selection.kind === Kind.FIELD) {
        this.#visitField(selection, parent, path);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        const condition = selection.typeCondition?.name.value;
        this.visit(selection.selectionSet, condition === undefined ? parent : schema.getType(condition), path);
      } else {
        const { value: name } = selection.name;
        const fragment = fragments.get(name);
        if (fragment === undefined || this.#seen.has(name)) continue;
        this.#seen.add(name);
        this.visit(fragment.selectionSet, schema.getType(fragment.typeCondition.name.value), path);
      }
    }
  }

  #visitField(node: FieldNode, parent: GraphQLNamedType | undefined, path: readonly string[]): void {
    const field = isComposite(parent) ? parent.getFields()[node.name.value] : undefined;
    if (field === undefined || !isComposite(parent)) return;
    const own = [...path, (node.alias ?? node.name).value];
    const goesOn = this.#walk.onField({ node, parent, field, path: own });
    if (goesOn && node.selectionSet !== undefined) this.visit(node.selectionSet, getNamedType(field.type), own);
  }
}

/** Whether a directive leaves the selection out. */
export function isLeftOut(node: SelectionNode, variables: Readonly<Record<string, unknown>>): boolean {
  if (node.directives === undefined || node.directives.length === 0) return false;
  return (
    getDirectiveValues(GraphQLSkipDirective, node, variables)?.['if'] === true ||
    getDirectiveValues(GraphQLIncludeDirective, node, variables)?.['if'] === false
  );
}

export function isComposite(type: GraphQLNamedType | undefined): type is Composite {
  return isObjectType(type) || isInterfaceType(type);
}
