/** What of a stitched schema clients may know and use. */
import { MapperKind, mapSchema } from '@graphql-tools/utils';
import {
  type ConstDirectiveNode,
  type DocumentNode,
  type GraphQLFieldConfig,
  type GraphQLSchema,
  isIntrospectionType,
  isSpecifiedDirective,
  isSpecifiedScalarType,
  Kind,
} from 'graphql';
import { withExactPaths } from './error-paths.ts';
import { findDirectiveNames } from './spec-directives.ts';

/**
 * The schema with nothing in it but what the documents define, and none of what they call `@inaccessible`. Resolvers
 * and extensions stay; errors get exact paths.
 *
 * It lets through what is known rather than taking out what is known to be internal: composition adds scalars, enums
 * and directives by names of its own, and by others with every version.
 */
export function buildPublicSchema(schema: GraphQLSchema, documents: readonly DocumentNode[]): GraphQLSchema {
  const known = collectCoordinates(documents);
  const keep = <T>(coordinate: string, node: T): T | null => (known.has(coordinate) ? node : null);
  return mapSchema(schema, {
    [MapperKind.DIRECTIVE]: (directive) => (isSpecifiedDirective(directive) ? directive : null),
    [MapperKind.TYPE]: (type) =>
      isIntrospectionType(type) || isSpecifiedScalarType(type) ? type : keep(type.name, type),
    [MapperKind.FIELD]: (field, fieldName, typeName) => {
      const coordinate = `${typeName}.${fieldName}`;
      if (!known.has(coordinate)) return null;
      return 'args' in field ? keepField(field, coordinate, known) : field;
    },
    [MapperKind.ENUM_VALUE]: (value, typeName, _schema, valueName) => keep(`${typeName}.${valueName}`, value),
  });
}

function keepField(
  field: GraphQLFieldConfig<unknown, unknown>,
  coordinate: string,
  known: ReadonlySet<string>,
): GraphQLFieldConfig<unknown, unknown> {
  const args = Object.entries(field.args ?? {}).filter(([name]) => known.has(`${coordinate}(${name}:)`));
  const { resolve } = field;
  return { ...field, args: Object.fromEntries(args), ...(resolve && { resolve: withExactPaths(resolve) }) };
}

/** Type, Type.field, Type.field(argument:), Enum.VALUE. */
function collectCoordinates(documents: readonly DocumentNode[]): Set<string> {
  const known = new Set<string>();
  const hidden = new Set<string>();
  for (const document of documents) {
    const inaccessible = findDirectiveNames(document, 'inaccessible');
    visitCoordinates(document, (coordinate, directives) => {
      // What one service hides stays hidden, also where another one shows it.
      (directives.some(({ name }) => inaccessible.has(name.value)) ? hidden : known).add(coordinate);
    });
  }
  return new Set([...known].filter((coordinate) => !hidden.has(coordinate)));
}

type Visit = (coordinate: string, directives: readonly ConstDirectiveNode[]) => void;

function visitCoordinates(document: DocumentNode, visit: Visit): void {
  for (const definition of document.definitions) {
    if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('name' in definition) || !definition.name) continue;
    const type = definition.name.value;
    if ('directives' in definition) visit(type, (definition.directives ?? []) as readonly ConstDirectiveNode[]);
    if ('values' in definition) {
      for (const { name, directives = [] } of definition.values ?? []) visit(`${type}.${name.value}`, directives);
    }
    if (!('fields' in definition)) continue;
    for (const field of definition.fields ?? []) {
      visit(`${type}.${field.name.value}`, field.directives ?? []);
      if (!('arguments' in field)) continue;
      for (const { name, directives = [] } of field.arguments ?? []) {
        visit(`${type}.${field.name.value}(${name.value}:)`, directives);
      }
    }
  }
}
