/** JSON Schemas (2020-12, as OpenAPI 3.1 has them) of what GraphQL operations take and answer. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  typeFromAST,
} from 'graphql';

export type JsonSchema = Readonly<Record<string, unknown>>;

const scalars: Readonly<Record<string, JsonSchema>> = {
  String: { type: 'string' },
  ID: { type: 'string' },
  Int: { type: 'integer', format: 'int32' },
  Float: { type: 'number' },
  Boolean: { type: 'boolean' },
};

/** Types that are written once, by the name of their component. */
export type SchemaComponents = Map<string, JsonSchema>;

/** The schema of a value that a variable takes. Input objects and enums become components. */
export function describeInput(type: GraphQLInputType, components: SchemaComponents): JsonSchema {
  if (isNonNullType(type)) return describeInputValue(type.ofType, components);
  return orNull(describeInputValue(type, components));
}

function describeInputValue(type: GraphQLInputType, components: SchemaComponents): JsonSchema {
  if (isListType(type)) return { type: 'array', items: describeInput(type.ofType, components) };
  if (isInputObjectType(type)) {
    if (!components.has(type.name)) {
      // First, for types that hold themselves.
      components.set(type.name, {});
      const fields = Object.values(type.getFields());
      const required = fields.filter(
        ({ type: inner, defaultValue }) => isNonNullType(inner) && defaultValue === undefined,
      );
      components.set(type.name, {
        type: 'object',
        ...describeIfSaid(type.description),
        properties: Object.fromEntries(fields.map((field) => [field.name, describeInput(field.type, components)])),
        ...(required.length > 0 && { required: required.map(({ name }) => name) }),
        additionalProperties: false,
      });
    }
    return refer(type.name);
  }
  return describeLeaf(getNamedType(type), components);
}

function describeLeaf(type: { readonly name: string }, components: SchemaComponents): JsonSchema {
  const scalar = Object.hasOwn(scalars, type.name) ? scalars[type.name] : undefined;
  if (scalar !== undefined) return scalar;
  if (!isEnumType(type)) return { description: `${type.name}, a scalar of the graph` };
  if (!components.has(type.name)) {
    const values = type.getValues().map(({ name }) => name);
    components.set(type.name, { type: 'string', enum: values, ...describeIfSaid(type.description) });
  }
  return refer(type.name);
}

/** The schema of what stands at a path of `data`, where the operation has it. */
export function describeAnswer(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  keys: readonly string[],
  components: SchemaComponents,
): JsonSchema {
  const root = schema.getRootType(operation.operation);
  if (root == null) return {};
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const node of document.definitions)
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
  let found = describeSelection({ schema, fragments, components }, root, [operation.selectionSet]);
  for (const key of keys) {
    const inner = withoutNull(found);
    const properties = inner['properties'] as Readonly<Record<string, JsonSchema>> | undefined;
    found = properties?.[key] ?? (/^\d+$/.test(key) ? ((inner['items'] as JsonSchema | undefined) ?? {}) : {});
  }
  // Nothing is 404 there.
  return keys.length === 0 ? found : withoutNull(found);
}

interface Scope {
  readonly schema: GraphQLSchema;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly components: SchemaComponents;
}

interface SelectedField {
  readonly type: GraphQLOutputType;
  readonly selections: SelectionSetNode[];
  isCertain: boolean;
}

/** Selected fields by the names that they have in the answer; those under type conditions are there or not. */
function describeSelection(scope: Scope, parent: GraphQLCompositeType, sets: readonly SelectionSetNode[]): JsonSchema {
  const fields = new Map<string, SelectedField>();
  for (const set of sets) collect(scope, parent, set, fields, true);
  const required = [...fields].filter(([, { isCertain }]) => isCertain).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(
      [...fields].map(([name, { type, selections }]) => [name, describeOutput(scope, type, selections)]),
    ),
    ...(required.length > 0 && { required }),
  };
}

function collect(
  scope: Scope,
  parent: GraphQLCompositeType,
  set: SelectionSetNode,
  fields: Map<string, SelectedField>,
  isCertain: boolean,
): void {
  for (const selection of set.selections) {
    const always = isCertain && (selection.directives ?? []).length === 0;
    if (selection.kind === Kind.FIELD) {
      const name = selection.alias?.value ?? selection.name.value;
      const type = typeOfField(scope, parent, selection.name.value);
      if (type === null) continue;
      const known = fields.get(name) ?? { type, selections: [], isCertain: false };
      known.isCertain ||= always;
      if (selection.selectionSet !== undefined) known.selections.push(selection.selectionSet);
      fields.set(name, known);
      continue;
    }
    const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? scope.fragments.get(selection.name.value) : selection;
    if (fragment === undefined) continue;
    const condition = fragment.typeCondition;
    const type = condition === undefined ? parent : (typeFromAST(scope.schema, condition) as GraphQLCompositeType);
    collect(scope, type, fragment.selectionSet, fields, always && (type === parent || isAlways(scope, type, parent)));
  }
}

function isAlways({ schema }: Scope, condition: GraphQLCompositeType, parent: GraphQLCompositeType): boolean {
  return isAbstractType(condition) && isObjectType(parent) && schema.isSubType(condition, parent);
}

function typeOfField({ schema }: Scope, parent: GraphQLCompositeType, name: string): GraphQLOutputType | null {
  if (name === '__typename') return schema.getType('String') as GraphQLOutputType;
  const fields = 'getFields' in parent ? parent.getFields() : {};
  return fields[name]?.type ?? null;
}

function describeOutput(scope: Scope, type: GraphQLOutputType, sets: readonly SelectionSetNode[]): JsonSchema {
  if (isNonNullType(type)) return describeOutputValue(scope, type.ofType, sets);
  return orNull(describeOutputValue(scope, type, sets));
}

function describeOutputValue(scope: Scope, type: GraphQLOutputType, sets: readonly SelectionSetNode[]): JsonSchema {
  if (isListType(type)) return { type: 'array', items: describeOutput(scope, type.ofType, sets) };
  if (isLeafType(type)) return describeLeaf(type, scope.components);
  return describeSelection(scope, type as GraphQLCompositeType, sets);
}

function orNull(schema: JsonSchema): JsonSchema {
  if (typeof schema['type'] === 'string') return { ...schema, type: [schema['type'], 'null'] };
  return Object.hasOwn(schema, '$ref') ? { anyOf: [schema, { type: 'null' }] } : schema;
}

function withoutNull(schema: JsonSchema): JsonSchema {
  const { type } = schema;
  if (Array.isArray(type)) return { ...schema, type: type.find((name) => name !== 'null') };
  const [first] = Array.isArray(schema['anyOf']) ? (schema['anyOf'] as JsonSchema[]) : [];
  return first ?? schema;
}

function refer(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

function describeIfSaid(description: string | null | undefined): { readonly description?: string } {
  return description == null || description === '' ? {} : { description };
}
