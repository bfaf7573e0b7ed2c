/**
 * Whether every field of a type can be fetched wherever an object of the type turns up. For federated services the
 * composer proves it; this is the same question for types that plain services take part in.
 */
import type { MergedTypeConfig } from '@graphql-tools/delegate';
import { type GraphQLObjectType, isIntrospectionType, isObjectType } from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import type { Layer } from './conflicts.ts';
import { readTopLevelFields } from './key-look-up.ts';

/** One service's part in a type: the fields it gives, and the keys by which it can be asked for them. */
interface Part {
  readonly layer: Layer;
  readonly fields: ReadonlySet<string>;
  readonly keys: readonly (readonly string[])[];
}

/** Reasons for fields that some service's objects can never get. */
export function findUnreachableFields(layers: readonly Layer[]): ErrorReason[] {
  const reasons: ErrorReason[] = [];
  for (const [typeName, parts] of collectParts(layers)) {
    if (parts.length < 2 || parts.every(({ layer }) => !layer.plain)) continue;
    for (const start of parts) reasons.push(...findMissing(typeName, start, parts));
  }
  return reasons;
}

function collectParts(layers: readonly Layer[]): Map<string, Part[]> {
  const partsByType = new Map<string, Part[]>();
  for (const layer of layers) {
    for (const typeName of listObjectTypes(layer)) {
      const parts = partsByType.get(typeName) ?? [];
      parts.push(buildPart(layer, typeName));
      partsByType.set(typeName, parts);
    }
  }
  return partsByType;
}

function listObjectTypes(layer: Layer): Set<string> {
  const types = layer.subschemas.flatMap(({ schema }) => Object.values(schema.getTypeMap()));
  const roots = ['Query', 'Mutation', 'Subscription'];
  return new Set(
    types
      .filter((type) => isObjectType(type) && !isIntrospectionType(type) && !roots.includes(type.name))
      .map((type) => type.name),
  );
}

function buildPart(layer: Layer, typeName: string): Part {
  const fields = new Set<string>();
  const keys: string[][] = [];
  for (const { schema, merge } of layer.subschemas) {
    const type = schema.getType(typeName);
    if (!isObjectType(type)) continue;
    for (const name of Object.keys(type.getFields())) fields.add(name);
    keys.push(...readKeys(type, merge ?? {}));
  }
  return { layer, fields, keys };
}

/** Stitching looks an object up by the configuration of an interface of its type too. */
function readKeys(type: GraphQLObjectType, merge: Record<string, MergedTypeConfig>): string[][] {
  const names = [type.name, ...type.getInterfaces().map(({ name }) => name)];
  const config = names.flatMap((name) => (Object.hasOwn(merge, name) ? [merge[name]] : []))[0];
  return (config?.entryPoints ?? (config === undefined ? [] : [config]))
    .filter((entry) => entry.selectionSet !== undefined && entry.fieldName !== undefined)
    .map((entry) => readTopLevelFields(entry.selectionSet ?? '{ __typename }'));
}

function findMissing(typeName: string, start: Part, parts: readonly Part[]): ErrorReason[] {
  const reached = reachFrom(start, parts);
  const reasons: ErrorReason[] = [];
  for (const owner of parts) {
    // From one federated service to another the composer has the word.
    if (!start.layer.plain && !owner.layer.plain) continue;
    for (const field of owner.fields) {
      if (reached.has(field)) continue;
      reasons.push({
        message: `"${typeName}.${field}" of service "${owner.layer.service}" cannot be fetched for objects of service "${start.layer.service}": "${owner.layer.service}" needs a look-up of "${typeName}" (merge, or @key and @merge) by a field that "${start.layer.service}" has`,
        service: owner.layer.plain ? owner.layer.service : start.layer.service,
        type: typeName,
        field,
        code: 'FIELD_NOT_REACHABLE',
      });
    }
  }
  return reasons;
}

function reachFrom(start: Part, parts: readonly Part[]): Set<string> {
  const reached = new Set(start.fields);
  let waiting = parts.filter((part) => part !== start);
  for (;;) {
    const ready = waiting.filter(({ keys }) => keys.some((key) => key.every((field) => reached.has(field))));
    if (ready.length === 0) return reached;
    for (const part of ready) for (const field of part.fields) reached.add(field);
    waiting = waiting.filter((part) => !ready.includes(part));
  }
}
