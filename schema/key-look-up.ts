/** Look-ups of many objects by their keys, in one request, whatever order the service answers in. */
import { batchDelegateToSchema } from '@graphql-tools/batch-delegate';
import type { MergedTypeEntryPoint, MergedTypeResolver } from '@graphql-tools/delegate';
import { parseSelectionSet } from '@graphql-tools/utils';
import {
  GraphQLList,
  type GraphQLObjectType,
  getNamedType,
  isLeafType,
  Kind,
  OperationTypeNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { GatewayError } from '../policies/errors.ts';

type Key = Readonly<Record<string, unknown>>;

/** Response key of a key field, out of the way of what clients call their fields. */
const aliasOf = (field: string): string => `_selvage_${field}`;

/**
 * The batched entry point of a merged type, made to recognise each result by its key fields. Stitching on its own
 * takes the n-th result for the n-th key: services leave out what they do not have, or answer in the order of their
 * table, and objects would get the fields of one another.
 */
export function matchingResults(
  entry: MergedTypeEntryPoint,
  keyFields: readonly string[],
  describeKey: (key: unknown) => Key,
): MergedTypeEntryPoint {
  const { fieldName, argsFromKeys, dataLoaderOptions } = entry;
  if (fieldName === undefined || argsFromKeys === undefined) return entry;
  const withKeys = createKeySelector(keyFields);
  const resolve: MergedTypeResolver = (
    _object,
    context,
    info,
    schema,
    selectionSet,
    key,
    type,
    skipTypeMerging = true,
  ) =>
    batchDelegateToSchema({
      schema,
      operation: OperationTypeNode.QUERY,
      fieldName,
      returnType: new GraphQLList(type),
      key,
      argsFromKeys,
      valuesFromResults: (results: unknown, keys: readonly unknown[]) =>
        matchByKey(results, keys.map(describeKey), keyFields) as unknown[],
      selectionSet: withKeys(selectionSet),
      context,
      info,
      skipTypeMerging,
      ...(dataLoaderOptions !== undefined && { dataLoaderOptions }),
    });
  return { ...entry, resolve };
}

/** The fields among `names` by which results can be recognised: those with plain values. */
export function findKeyFields(type: GraphQLObjectType, names: readonly string[]): string[] {
  return names.filter((name) => {
    const field = type.getFields()[name];
    return field !== undefined && isLeafType(getNamedType(field.type));
  });
}

/** Names of the fields at the top of a selection set. */
export function readTopLevelFields(selectionSet: string): string[] {
  return parseSelectionSet(selectionSet, { noLocation: true }).selections.flatMap((selection) =>
    selection.kind === Kind.FIELD && selection.name.value !== '__typename' ? [selection.name.value] : [],
  );
}

function createKeySelector(keyFields: readonly string[]): (selectionSet: SelectionSetNode) => SelectionSetNode {
  const keys = keyFields.map(
    (field): SelectionNode => ({
      kind: Kind.FIELD,
      name: { kind: Kind.NAME, value: field },
      alias: { kind: Kind.NAME, value: aliasOf(field) },
    }),
  );
  // Loaders are found by the printed selection set, and printing is remembered by object.
  const known = new WeakMap<SelectionSetNode, SelectionSetNode>();
  return (selectionSet) => {
    const extended = known.get(selectionSet) ?? { ...selectionSet, selections: [...selectionSet.selections, ...keys] };
    known.set(selectionSet, extended);
    return extended;
  };
}

/** Results in the order of the keys; null where there is none. */
export function matchByKey(results: unknown, keys: readonly Key[], keyFields: readonly string[]): unknown {
  if (!Array.isArray(results)) return results;
  const list = results as readonly unknown[];
  const wanted = keys.map((key) => identify(keyFields.map((field) => key[field])));
  const found = list.map((result) =>
    isObject(result) ? identify(keyFields.map((field) => result[aliasOf(field)])) : null,
  );
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

/** Null when the key is not there whole. */
function identify(values: readonly unknown[]): string | null {
  // An ID comes as "1" from one service and as 1 from another.
  return values.length === 0 || values.some((value) => value === undefined || value === null)
    ? null
    : JSON.stringify(values.map(String));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof Error);
}
