/** The `merge` configuration of a plain service as stitching wants it: how to look objects of a type up by key. */
import type { MergedTypeConfig, MergedTypeEntryPoint } from '@graphql-tools/delegate';
import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isLeafType,
  isListType,
  isObjectType,
  isRequiredArgument,
} from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import type { GraphqlEndpoint, MergeEntry } from '../subgraphs/graphql-endpoint.ts';
import { matchingResults } from './key-look-up.ts';

export type MergeConfiguration = NonNullable<GraphqlEndpoint['merge']>;

/** Translates `merge` for stitching. Each mistake becomes a reason, and the entry is left out. */
export function buildMergeConfig(
  service: string,
  schema: GraphQLSchema,
  merge: MergeConfiguration,
  reasons: ErrorReason[],
): Record<string, MergedTypeConfig> {
  const config: Record<string, MergedTypeConfig> = {};
  for (const [typeName, entryOrEntries] of Object.entries(merge)) {
    const entries = Array.isArray(entryOrEntries) ? entryOrEntries : [entryOrEntries];
    const entryPoints = entries.flatMap((entry) => {
      const result = buildEntryPoint(schema, typeName, entry);
      if (typeof result !== 'string') return [result];
      reasons.push({
        message: `merge: ${result}`,
        service,
        type: typeName,
        field: entry.keyField,
        code: 'INVALID_MERGE',
      });
      return [];
    });
    const [first] = entryPoints;
    if (first !== undefined) config[typeName] = entryPoints.length === 1 ? first : { entryPoints };
  }
  return config;
}

function buildEntryPoint(schema: GraphQLSchema, typeName: string, entry: MergeEntry): MergedTypeEntryPoint | string {
  const { keyField, fieldName } = entry;
  const type = schema.getType(typeName);
  if (!isObjectType(type)) return `the service has no object type "${typeName}"`;
  const key = type.getFields()[keyField];
  if (key === undefined || !isLeafType(getNamedType(key.type)) || isListType(getNullableType(key.type))) {
    return `"${typeName}.${keyField}" is no field with a single value`;
  }
  const field = schema.getQueryType()?.getFields()[fieldName];
  if (field === undefined) return `the service has no field "Query.${fieldName}"`;
  if (getNamedType(field.type) !== type) return `"Query.${fieldName}" does not give "${typeName}"`;
  const argument = findKeyArgument(field, entry.keyArg);
  return typeof argument === 'string' ? argument : buildLookUp(keyField, field, argument);
}

function findKeyArgument(field: GraphQLField<unknown, unknown>, name: string | undefined): GraphQLArgument | string {
  const argument = name === undefined ? field.args[0] : field.args.find((candidate) => candidate.name === name);
  if (argument === undefined || (name === undefined && field.args.length > 1)) {
    return name === undefined
      ? `"Query.${field.name}" must have one argument, or keyArg must name one`
      : `"Query.${field.name}" has no argument "${name}"`;
  }
  const other = field.args.find((candidate) => candidate !== argument && isRequiredArgument(candidate));
  if (other !== undefined) return `"Query.${field.name}" cannot be called without the argument "${other.name}"`;
  return isListType(getNullableType(argument.type)) === isListType(getNullableType(field.type))
    ? argument
    : `"Query.${field.name}" must take a list of keys and give a list, or take one key and give one object`;
}

function buildLookUp(
  keyField: string,
  field: GraphQLField<unknown, unknown>,
  argument: GraphQLArgument,
): MergedTypeEntryPoint {
  const selectionSet = `{ ${keyField} }`;
  const readKey = (object: Record<string, unknown>): unknown => object[keyField];
  if (!isListType(getNullableType(argument.type))) {
    return { selectionSet, fieldName: field.name, args: (object) => ({ [argument.name]: readKey(object) }) };
  }
  return matchingResults(
    {
      selectionSet,
      fieldName: field.name,
      key: readKey,
      argsFromKeys: (keys) => ({ [argument.name]: keys }),
    },
    [keyField],
    (key) => ({ [keyField]: key }),
  );
}
