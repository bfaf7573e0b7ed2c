/** What of a schema a viewer may ask: the public schema without what is refused, and without what then leads nowhere. */
import {
  buildASTSchema,
  type DefinitionNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type GraphQLSchema,
  Kind,
  type NamedTypeNode,
  parse,
  printSchema,
  type TypeDefinitionNode,
  type TypeNode,
} from 'graphql';

export interface VisibleSchemaOptions {
  readonly schema: GraphQLSchema;
  /** Whether what stands at `Type.field` or `Type.field(argument)` is refused. */
  readonly isDenied: (coordinate: string) => boolean;
}

type Types = Map<string, TypeDefinitionNode>;

/** Builds it anew; in proportion to the schema. It answers introspection and nothing else. */
export function buildVisibleSchema({ schema, isDenied }: VisibleSchemaOptions): GraphQLSchema {
  const document = parse(printSchema(schema), { noLocation: true });
  const types: Types = new Map();
  for (const definition of document.definitions) {
    if ('name' in definition && isTypeDefinition(definition)) {
      types.set(definition.name.value, withoutDenied(definition, isDenied));
    }
  }
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const rootNames = roots.flatMap((type) => type?.name ?? []);
  while (dropEmpty(types, rootNames[0])) {
    // A type without fields takes along the fields that return it, and so on.
  }
  const reached = reach(document, types, rootNames);
  const definitions = document.definitions.flatMap((definition): DefinitionNode[] => {
    if (definition.kind === Kind.SCHEMA_DEFINITION) {
      const operationTypes = definition.operationTypes.filter(({ type }) => types.has(type.name.value));
      return [{ ...definition, operationTypes }];
    }
    if (!('name' in definition) || !isTypeDefinition(definition)) return [definition];
    const type = reached.has(definition.name.value) ? types.get(definition.name.value) : undefined;
    return type === undefined ? [] : [withoutUnreached(type, reached)];
  });
  // A viewer who may ask nothing has a Query without fields, which is valid nowhere else.
  return buildASTSchema({ kind: Kind.DOCUMENT, definitions }, { assumeValid: true, assumeValidSDL: true });
}

function isTypeDefinition(definition: { readonly kind: Kind }): definition is TypeDefinitionNode {
  return definition.kind.endsWith('TypeDefinition');
}

function withoutDenied(type: TypeDefinitionNode, isDenied: VisibleSchemaOptions['isDenied']): TypeDefinitionNode {
  if (type.kind !== Kind.OBJECT_TYPE_DEFINITION && type.kind !== Kind.INTERFACE_TYPE_DEFINITION) return type;
  const fields = (type.fields ?? []).flatMap((field): FieldDefinitionNode[] => {
    const coordinate = `${type.name.value}.${field.name.value}`;
    if (isDenied(coordinate)) return [];
    const denied = new Set((field.arguments ?? []).filter(({ name }) => isDenied(`${coordinate}(${name.value})`)));
    const isNeeded = [...denied].some(
      ({ type: wanted, defaultValue }) => wanted.kind === Kind.NON_NULL_TYPE && defaultValue === undefined,
    );
    if (isNeeded) return [];
    return [{ ...field, arguments: (field.arguments ?? []).filter((argument) => !denied.has(argument)) }];
  });
  return { ...type, fields };
}

/** Drops types of which nothing is left, and what mentions them. False when there was nothing to drop. */
function dropEmpty(types: Types, query: string | undefined): boolean {
  const empty = new Set<string>();
  for (const [name, type] of types) if (name !== query && isEmpty(type)) empty.add(name);
  for (const name of empty) types.delete(name);
  for (const [name, type] of types)
    types.set(
      name,
      withoutTypes(type, (other) => empty.has(other)),
    );
  return empty.size > 0;
}

function isEmpty(type: TypeDefinitionNode): boolean {
  switch (type.kind) {
    case Kind.OBJECT_TYPE_DEFINITION:
    case Kind.INTERFACE_TYPE_DEFINITION:
      return type.fields?.length === 0;
    case Kind.UNION_TYPE_DEFINITION:
      return type.types?.length === 0;
    default:
      return false;
  }
}

function withoutTypes(type: TypeDefinitionNode, isGone: (name: string) => boolean): TypeDefinitionNode {
  const stays = ({ name }: NamedTypeNode): boolean => !isGone(name.value);
  switch (type.kind) {
    case Kind.OBJECT_TYPE_DEFINITION:
    case Kind.INTERFACE_TYPE_DEFINITION:
      return {
        ...type,
        interfaces: (type.interfaces ?? []).filter(stays),
        fields: (type.fields ?? []).filter((field) => !isGone(nameOf(field.type))),
      };
    case Kind.UNION_TYPE_DEFINITION:
      return { ...type, types: (type.types ?? []).filter(stays) };
    default:
      return type;
  }
}

function withoutUnreached(type: TypeDefinitionNode, reached: ReadonlySet<string>): TypeDefinitionNode {
  if (type.kind !== Kind.OBJECT_TYPE_DEFINITION && type.kind !== Kind.INTERFACE_TYPE_DEFINITION) return type;
  return { ...type, interfaces: (type.interfaces ?? []).filter(({ name }) => reached.has(name.value)) };
}

/** Names of the types that the roots and the directives lead to. */
function reach(document: DocumentNode, types: Types, roots: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const implementations = new Map<string, string[]>();
  for (const [name, type] of types) {
    if (!('interfaces' in type)) continue;
    for (const { name: of } of type.interfaces ?? []) {
      implementations.set(of.value, [...(implementations.get(of.value) ?? []), name]);
    }
  }
  const waiting = [...roots];
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.DIRECTIVE_DEFINITION) continue;
    for (const { type } of definition.arguments ?? []) waiting.push(nameOf(type));
  }
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const type = types.get(name);
    if (type === undefined || reached.has(name)) continue;
    reached.add(name);
    waiting.push(...listMentioned(type), ...(implementations.get(name) ?? []));
  }
  return reached;
}

function listMentioned(type: TypeDefinitionNode): string[] {
  switch (type.kind) {
    case Kind.OBJECT_TYPE_DEFINITION:
    case Kind.INTERFACE_TYPE_DEFINITION:
      return [
        ...(type.interfaces ?? []).map(({ name }) => name.value),
        ...(type.fields ?? []).flatMap((field) => [
          nameOf(field.type),
          ...(field.arguments ?? []).map((argument) => nameOf(argument.type)),
        ]),
      ];
    case Kind.UNION_TYPE_DEFINITION:
      return (type.types ?? []).map(({ name }) => name.value);
    case Kind.INPUT_OBJECT_TYPE_DEFINITION:
      return (type.fields ?? []).map((field) => nameOf(field.type));
    default:
      return [];
  }
}

function nameOf(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type);
}
