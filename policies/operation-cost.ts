/**
 * What a GraphQL operation asks for, before it is executed: which fields, and what they cost.
 *
 * The cost of a field is its weight and the cost of what is selected below it, times the length of the list if it is one.
 * The weight is 1 for what returns objects and 0 for scalars. The length is what a slicing argument says (the largest, if
 * several do), else what is assumed. `users(first: 50) { name posts(first: 10) { title } }` costs 50 x (1 + 10 x 1) = 550.
 * A slicing argument of a field that is no list holds for the lists right below it (`users(first: 50) { edges { ... } }`).
 * What @skip and @include leave out counts as well, and of several fragments all: the most that it may cost.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** What is configured for a field. */
export interface FieldCost {
  readonly weight?: number | undefined;
  readonly listSize?: number | undefined;
  readonly slicingArguments?: readonly string[] | undefined;
}

export interface CostModel {
  /** Length of lists of which nothing says more. */
  readonly listSize: number;
  /** Arguments that say how long a list will be, unless a field names its own. */
  readonly slicingArguments: readonly string[];
  /** By `Type.field`. */
  readonly fields: ReadonlyMap<string, FieldCost>;
}

export interface OperationDemand {
  readonly cost: number;
  /** How often each field stands in the operation, by `Type.field`; a fragment counts once. */
  readonly fields: ReadonlyMap<string, number>;
  /** Those of them that are root fields. */
  readonly rootFields: ReadonlyMap<string, number>;
}

/** Enough to be refused by every limit, and still a number that any store can add. */
const maxCost = 1_000_000_000;

export type MeasureOperation = (
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
) => OperationDemand;

/** A function that measures operations of a schema. What does not depend on variables is measured once per document. */
export function createOperationMeasure(schema: GraphQLSchema, model: CostModel): MeasureOperation {
  const known = new WeakMap<OperationDefinitionNode, OperationDemand>();
  return (document, operation, variables) => {
    const remembered = known.get(operation);
    if (remembered !== undefined) return remembered;
    const walk = new DemandWalk(schema, model, document, operation, variables);
    const demand = walk.measure();
    // Documents come from the parser's cache, so that the same one is the same object.
    if (!walk.readVariables) known.set(operation, demand);
    return demand;
  };
}

class DemandWalk {
  readonly #schema: GraphQLSchema;
  readonly #model: CostModel;
  readonly #operation: OperationDefinitionNode;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** Costs of fragments, which may be spread many times; by name and length of the lists at their top. */
  readonly #fragmentCosts = new Map<string, number>();
  readonly #counted = new Set<FieldNode>();
  readonly #fields = new Map<string, number>();
  readonly #rootFields = new Map<string, number>();
  #root: GraphQLCompositeType | undefined;
  readVariables = false;

  constructor(
    schema: GraphQLSchema,
    model: CostModel,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ) {
    this.#schema = schema;
    this.#model = model;
    this.#operation = operation;
    this.#variables = variables;
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  measure(): OperationDemand {
    const { operation, selectionSet } = this.#operation;
    this.#root = this.#schema.getRootType(operation) ?? undefined;
    const cost = this.#root === undefined ? 0 : this.#ofSelections(selectionSet, this.#root, undefined);
    return {
      cost: Math.min(maxCost, Math.max(1, Math.ceil(cost))),
      fields: this.#fields,
      rootFields: this.#rootFields,
    };
  }

  #ofSelections(set: SelectionSetNode, parent: GraphQLCompositeType, listSize: number | undefined): number {
    let cost = 0;
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) cost += this.#ofField(selection, parent, listSize);
      else if (selection.kind === Kind.FRAGMENT_SPREAD) cost += this.#ofFragment(selection.name.value, listSize);
      else {
        const type = this.#typeNamed(selection.typeCondition?.name.value) ?? parent;
        cost += this.#ofSelections(selection.selectionSet, type, listSize);
      }
    }
    return Math.min(cost, maxCost);
  }

  #ofFragment(name: string, listSize: number | undefined): number {
    const key = `${listSize} ${name}`;
    const remembered = this.#fragmentCosts.get(key);
    if (remembered !== undefined) return remembered;
    const fragment = this.#fragments.get(name);
    const type = this.#typeNamed(fragment?.typeCondition.name.value);
    if (fragment === undefined || type === undefined) return 0;
    const cost = this.#ofSelections(fragment.selectionSet, type, listSize);
    this.#fragmentCosts.set(key, cost);
    return cost;
  }

  #ofField(node: FieldNode, parent: GraphQLCompositeType, inheritedSize: number | undefined): number {
    const name = node.name.value;
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined;
    // Introspection and __typename ask no service.
    if (field === undefined) return 0;
    this.#count(node, parent);
    const options = this.#model.fields.get(`${parent.name}.${name}`);
    const type = getNamedType(field.type);
    const isList = isListType(getNullableType(field.type));
    const asked = this.#askedSize(node, field, options);
    const size = isList ? (asked ?? inheritedSize ?? options?.listSize ?? this.#model.listSize) : 1;
    const weight = options?.weight ?? (isCompositeType(type) ? 1 : 0);
    const below =
      node.selectionSet === undefined || !isCompositeType(type)
        ? 0
        : this.#ofSelections(node.selectionSet, type, isList ? undefined : (asked ?? options?.listSize));
    return Math.min(size * (weight + below), maxCost);
  }

  #count(node: FieldNode, parent: GraphQLCompositeType): void {
    if (this.#counted.has(node)) return;
    this.#counted.add(node);
    const coordinate = `${parent.name}.${node.name.value}`;
    this.#fields.set(coordinate, (this.#fields.get(coordinate) ?? 0) + 1);
    if (parent === this.#root) this.#rootFields.set(coordinate, (this.#rootFields.get(coordinate) ?? 0) + 1);
  }

  /** What the slicing arguments say; undefined when there are none. */
  #askedSize(node: FieldNode, field: GraphQLField<unknown, unknown>, options: FieldCost | undefined) {
    const names = options?.slicingArguments ?? this.#model.slicingArguments;
    let size: number | undefined;
    for (const { name, defaultValue } of field.args) {
      if (!names.includes(name)) continue;
      const given = this.#argumentValue(node, name) ?? defaultValue;
      if (typeof given === 'number') size = Math.max(size ?? 0, given);
    }
    return size;
  }

  #argumentValue(node: FieldNode, name: string): unknown {
    const value = node.arguments?.find((argument) => argument.name.value === name)?.value;
    if (value?.kind === Kind.INT || value?.kind === Kind.FLOAT) return Number(value.value);
    if (value?.kind !== Kind.VARIABLE) return undefined;
    this.readVariables = true;
    const variable = value.name.value;
    if (Object.hasOwn(this.#variables, variable)) return this.#variables[variable];
    const definition = this.#operation.variableDefinitions?.find((one) => one.variable.name.value === variable);
    return definition?.defaultValue?.kind === Kind.INT ? Number(definition.defaultValue.value) : undefined;
  }

  #typeNamed(name: string | undefined): GraphQLCompositeType | undefined {
    const type = name === undefined ? undefined : this.#schema.getType(name);
    return type !== undefined && isCompositeType(type) ? type : undefined;
  }
}
