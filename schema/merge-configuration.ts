/** The `merge` configuration of a plain service as stitching wants it: how to look objects of a type up by key. */
import type { MergedTypeConfig, MergedTypeEntryPoint } from '@graphql-tools/delegate';
import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isLeafType,
  isListType,
  isObjectType,
  isRequiredArgument,
} from 'graphql';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { GraphqlEndpoint, MergeEntry } from '../subgraphs/service-definition.ts';

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
  return {
    selectionSet,
    fieldName: field.name,
    key: readKey,
    argsFromKeys: (keys) => ({ [argument.name]: keys }),
    valuesFromResults: (results: unknown, keys: readonly unknown[]) =>
      matchByKey(
        results,
        keys.map((key) => ({ [keyField]: key })),
      ) as unknown[],
  };
}

/** The leaf fields of a type that a look-up's results can be recognised by. */
export function findKeyFields(type: GraphQLObjectType, names: readonly string[]): string[] {
  return names.filter((name) => {
    const field = type.getFields()[name];
    return field !== undefined && isLeafType(getNamedType(field.type));
  });
}

/**
 * Results in the order of the keys. Stitching takes the n-th result for the n-th key; services leave out what they do
 * not have, or answer in the order of their table, and objects would get fields of one another.
 */
export function matchByKey(results: unknown, keys: readonly Record<string, unknown>[]): unknown {
  if (!Array.isArray(results)) return results;
  const list = results as readonly unknown[];
  const names = Object.keys(keys[0] ?? {});
  const wanted = keys.map((key) => identify(key, names));
  const found = list.map((result) => (isObject(result) ? identify(result, names) : null));
  const inOrder = list.length === keys.length;
  if (inOrder && found.every((key, index) => key === null || key === wanted[index])) return list;
  if (list.some((result, index) => isObject(result) && found[index] === null)) {
    throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'A look-up by keys gave objects without their key');
  }
  const byKey = new Map(found.map((key, index) => [key, list[index]]));
  const failure = list.find((result) => result instanceof Error) ?? null;
  return wanted.map(
    (key, index) => byKey.get(key) ?? (inOrder && list[index] instanceof Error ? list[index] : failure),
  );
}

/** Null when the object does not show its key, because it is an error or the service left the field out. */
function identify(object: Record<string, unknown>, names: readonly string[]): string | null {
  const values = names.map((name) => object[name]);
  // An ID comes as "1" from one service and as 1 from another.
  return values.some((value) => value === undefined || value === null) ? null : JSON.stringify(values.map(String));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof Error);
}
