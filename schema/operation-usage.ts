/** What of a schema one operation uses, by coordinate: read once per document, then only counted. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getOperationAST,
  isEnumType,
  isInputObjectType,
  isInputType,
  Kind,
  type NamedTypeNode,
  type OperationDefinitionNode,
  TypeInfo,
  typeFromAST,
  visit,
  visitWithTypeInfo,
} from 'graphql';

export interface OperationParts {
  /**
   * `Type`, `Type.field`, `Type.field.argument`, `Enum.VALUE`, `Input.field`, `@directive`. A field of an enum brings all
   * of its values: nobody looks into answers.
   */
  readonly coordinates: ReadonlySet<string>;
  /** Variables whose values use more of the schema: input objects and enums. */
  readonly variables: readonly OperationVariable[];
}

export interface OperationVariable {
  readonly name: string;
  readonly type: GraphQLInputType;
}

/** Values that are looked at in the variables of one request. */
const maxVariableValues = 1_000;

/** The parts of an operation in a document that is valid against the schema; null when it has no such operation. */
export function readOperationParts(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
): OperationParts | null {
  const operation = getOperationAST(document, operationName);
  if (operation == null) return null;
  const coordinates = new Set<string>();
  const variables: OperationVariable[] = [];
  const types = new TypeInfo(schema);
  const add = (...names: readonly (string | undefined)[]) => {
    if (!names.some((name) => name === undefined || name.startsWith('__'))) coordinates.add(names.join('.'));
  };
  const addType = ({ name }: NamedTypeNode) => add(name.value);
  const addLeaf = (type: unknown) => {
    if (isEnumType(type)) for (const { name } of type.getValues()) add(type.name, name);
  };
  for (const root of listReachable(document, operation)) {
    const visitor = visitWithTypeInfo(types, {
      Field() {
        const field = types.getFieldDef();
        const parent = types.getParentType()?.name;
        if (field == null || field.name.startsWith('__')) return;
        const named = getNamedType(field.type);
        add(parent);
        add(parent, field.name);
        add(named.name);
        addLeaf(named);
      },
      Argument(node) {
        const directive = types.getDirective();
        if (directive != null) return add(`@${directive.name}`, node.name.value);
        return add(types.getParentType()?.name, types.getFieldDef()?.name, node.name.value);
      },
      Directive: ({ name }) => add(`@${name.value}`),
      ObjectField(node) {
        const parent = getNamedType(types.getParentInputType())?.name;
        add(parent);
        add(parent, node.name.value);
      },
      EnumValue: ({ value }: { value: string }) => add(getNamedType(types.getInputType())?.name, value),
      InlineFragment({ typeCondition }) {
        if (typeCondition !== undefined) addType(typeCondition);
      },
      FragmentDefinition: ({ typeCondition }) => addType(typeCondition),
      VariableDefinition(node) {
        const type = typeFromAST(schema, node.type as NamedTypeNode) as unknown;
        if (!isInputType(type)) return;
        const named = getNamedType(type);
        add(named.name);
        if (isInputObjectType(named) || isEnumType(named)) variables.push({ name: node.variable.name.value, type });
      },
    });
    visit(root, visitor);
  }
  return { coordinates, variables };
}

/** Calls back with the coordinates that the values of a request's variables use. */
export function readVariableParts(
  variables: readonly OperationVariable[],
  values: Readonly<Record<string, unknown>>,
  add: (coordinate: string) => void,
): void {
  let left = maxVariableValues;
  const read = (type: GraphQLInputType, value: unknown): void => {
    left -= 1;
    if (left < 0 || value === null || value === undefined) return;
    if (Array.isArray(value)) {
      for (const entry of value) read(type, entry);
      return;
    }
    const named = getNamedType(type);
    if (isEnumType(named)) {
      if (typeof value === 'string' && named.getValue(value) != null) add(`${named.name}.${value}`);
    } else if (isInputObjectType(named) && typeof value === 'object') {
      const fields = named.getFields();
      for (const [key, entry] of Object.entries(value)) {
        const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
        if (field === undefined) continue;
        add(`${named.name}.${key}`);
        read(field.type, entry);
      }
    }
  };
  for (const { name, type } of variables) if (Object.hasOwn(values, name)) read(type, values[name]);
}

/** The operation, and the fragments that it uses, also by way of others. */
function listReachable(
  document: DocumentNode,
  operation: OperationDefinitionNode,
): readonly (OperationDefinitionNode | FragmentDefinitionNode)[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const node of document.definitions) {
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
  }
  const found = new Set<OperationDefinitionNode | FragmentDefinitionNode>([operation]);
  // A set grows while it is walked.
  for (const node of found) {
    visit(node, {
      FragmentSpread({ name }) {
        const fragment = fragments.get(name.value);
        if (fragment !== undefined) found.add(fragment);
      },
    });
  }
  return [...found];
}
