/**
 * What a GraphQL operation asks for, before it is executed: which fields, and what they cost.
 *
 * The cost of a field is its weight and the cost of what is selected below it, times the length of the list if it is one.
 * The weight is 1 for what returns objects and 0 for scalars. The length is what a slicing argument says (the largest, if
 * several do), else what is assumed. `users(first: 50) { name posts(first: 10) { title } }` costs 50 x (1 + 10 x 1) = 550.
 * A slicing argument of a field that is no list holds for the lists right below it (`users(first: 50) { edges { ... } }`).
 * What @skip and @include leave out counts as well, and of several fragments all: the most that it may cost.
 * Arguments cost what `@cost` says of them and of what they hold, and nothing else.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isCompositeType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode,
  valueFromASTUntyped,
} from 'graphql';
import type { CostModel, FieldCost } from './cost-model.ts';

export interface OperationDemand {
  readonly cost: number;
  /** How often each field stands in the operation, by `Type.field`; a fragment counts once. */
  readonly fields: ReadonlyMap<string, number>;
  /** Those of them that are root fields. */
  readonly rootFields: ReadonlyMap<string, number>;
  /** A field whose list nothing bounds although it insists on one slicing argument: what it wants. Null for none. */
  readonly unbounded: string | null;
}

/** The length of lists below a field that is no list itself. */
interface Inherited {
  readonly size: number;
  /** The fields that it holds for; undefined for all. */
  readonly fields: readonly string[] | undefined;
}

/** Values within values of a variable; nobody writes more. */
const maxValueDepth = 100;

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
  #unbounded: string | null = null;
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
      unbounded: this.#unbounded,
    };
  }

  #ofSelections(set: SelectionSetNode, parent: GraphQLCompositeType, inherited: Inherited | undefined): number {
    let cost = 0;
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) cost += this.#ofField(selection, parent, inherited);
      else if (selection.kind === Kind.FRAGMENT_SPREAD) cost += this.#ofFragment(selection.name.value, inherited);
      else {
        const type = this.#typeNamed(selection.typeCondition?.name.value) ?? parent;
        cost += this.#ofSelections(selection.selectionSet, type, inherited);
      }
    }
    return Math.min(cost, maxCost);
  }

  #ofFragment(name: string, inherited: Inherited | undefined): number {
    const key = inherited === undefined ? name : `${inherited.size} ${inherited.fields} ${name}`;
    const remembered = this.#fragmentCosts.get(key);
    if (remembered !== undefined) return remembered;
    const fragment = this.#fragments.get(name);
    const type = this.#typeNamed(fragment?.typeCondition.name.value);
    if (fragment === undefined || type === undefined) return 0;
    const cost = this.#ofSelections(fragment.selectionSet, type, inherited);
    this.#fragmentCosts.set(key, cost);
    return cost;
  }

  #ofField(node: FieldNode, parent: GraphQLCompositeType, inherited: Inherited | undefined): number {
    const name = node.name.value;
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined;
    // Introspection and __typename ask no service.
    if (field === undefined) return 0;
    this.#count(node, parent);
    const coordinate = `${parent.name}.${name}`;
    const options = this.#model.fields.get(coordinate);
    const type = getNamedType(field.type);
    const isList = isListType(getNullableType(field.type));
    const asked = this.#askedSize(node, field, options, coordinate);
    const handsDown = !isList || options?.sizedFields !== undefined;
    const given = inherited?.fields?.includes(name) === false ? undefined : inherited?.size;
    const own = handsDown ? undefined : asked;
    const size = isList ? (own ?? given ?? (handsDown ? undefined : options?.listSize) ?? this.#model.listSize) : 1;
    const weight = options?.weight ?? this.#model.weights?.get(type.name) ?? (isCompositeType(type) ? 1 : 0);
    const below =
      node.selectionSet === undefined || !isCompositeType(type)
        ? 0
        : this.#ofSelections(node.selectionSet, type, handsDown ? this.#handDown(asked, options) : undefined);
    return Math.min(size * (weight + below) + this.#ofArguments(node, field, coordinate), maxCost);
  }

  #handDown(asked: number | undefined, options: FieldCost | undefined): Inherited | undefined {
    const size = asked ?? options?.listSize;
    return size === undefined ? undefined : { size, fields: options?.sizedFields };
  }

  #count(node: FieldNode, parent: GraphQLCompositeType): void {
    if (this.#counted.has(node)) return;
    this.#counted.add(node);
    const coordinate = `${parent.name}.${node.name.value}`;
    this.#fields.set(coordinate, (this.#fields.get(coordinate) ?? 0) + 1);
    if (parent === this.#root) this.#rootFields.set(coordinate, (this.#rootFields.get(coordinate) ?? 0) + 1);
  }

  /** What the slicing arguments say; undefined when there are none. */
  #askedSize(
    node: FieldNode,
    field: GraphQLField<unknown, unknown>,
    options: FieldCost | undefined,
    coordinate: string,
  ): number | undefined {
    const names = options?.slicingArguments ?? this.#model.slicingArguments;
    let size: number | undefined;
    let count = 0;
    for (const name of names) {
      const given = this.#slicingValue(node, field, name);
      if (given === undefined || given === null) continue;
      count += 1;
      if (typeof given === 'number') size = Math.max(size ?? 0, given);
    }
    if (options?.requiresOneSlicingArgument === true && count !== 1)
      this.#unbounded ??= `Field "${coordinate}" needs exactly one of the arguments ${names.join(', ')}`;
    return size;
  }

  /** The value of an argument, or of a field within it: `first`, `page.first`. */
  #slicingValue(node: FieldNode, field: GraphQLField<unknown, unknown>, path: string): unknown {
    const [name = '', ...rest] = path.split('.');
    const argument = field.args.find((one) => one.name === name);
    if (argument === undefined) return undefined;
    let value = this.#argumentValue(node, name) ?? argument.defaultValue;
    for (const key of rest) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<string, unknown>)[key];
    }
    return value;
  }

  #argumentValue(node: FieldNode, name: string): unknown {
    const value = node.arguments?.find((argument) => argument.name.value === name)?.value;
    return value === undefined ? undefined : this.#read(value);
  }

  #read(value: ValueNode): unknown {
    if (value.kind === Kind.INT || value.kind === Kind.FLOAT) return Number(value.value);
    if (value.kind === Kind.VARIABLE) return this.#readVariable(value.name.value);
    if (value.kind === Kind.LIST) return value.values.map((one) => this.#read(one));
    if (value.kind === Kind.OBJECT)
      return Object.fromEntries(value.fields.map((one) => [one.name.value, this.#read(one.value)]));
    return valueFromASTUntyped(value);
  }

  #readVariable(name: string): unknown {
    this.readVariables = true;
    if (Object.hasOwn(this.#variables, name)) return this.#variables[name];
    const definition = this.#operation.variableDefinitions?.find((one) => one.variable.name.value === name);
    return definition?.defaultValue === undefined ? undefined : valueFromASTUntyped(definition.defaultValue);
  }

  #ofArguments(node: FieldNode, field: GraphQLField<unknown, unknown>, coordinate: string): number {
    const { weights } = this.#model;
    if (weights === undefined || weights.size === 0 || field.args.length === 0) return 0;
    let cost = 0;
    for (const { name, type, defaultValue } of field.args) {
      const given = this.#argumentValue(node, name) ?? defaultValue;
      if (given !== undefined && given !== null) cost += this.#ofInput(`${coordinate}(${name}:)`, type, given, 0);
    }
    return cost;
  }

  /** A value costs what its place says, else its type, and what its fields do. */
  #ofInput(coordinate: string, declared: GraphQLInputType, value: unknown, depth: number): number {
    if (value === undefined || value === null) return 0;
    if (depth > maxValueDepth) return maxCost;
    const type = getNamedType(declared);
    if (Array.isArray(value))
      return value.reduce<number>((sum, one) => sum + this.#ofInput(coordinate, type, one, depth + 1), 0);
    let cost = this.#model.weights?.get(coordinate) ?? this.#model.weights?.get(type.name) ?? 0;
    if (isInputObjectType(type) && typeof value === 'object') {
      for (const field of Object.values(type.getFields())) {
        const given = Object.hasOwn(value, field.name) ? (value as Record<string, unknown>)[field.name] : undefined;
        cost += this.#ofInput(`${type.name}.${field.name}`, field.type, given ?? field.defaultValue, depth + 1);
      }
    }
    return Math.min(cost, maxCost);
  }

  #typeNamed(name: string | undefined): GraphQLCompositeType | undefined {
    const type = name === undefined ? undefined : this.#schema.getType(name);
    return type !== undefined && isCompositeType(type) ? type : undefined;
  }
}
