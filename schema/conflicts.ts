/**
 * What keeps plain services from standing beside others. Federated services among themselves are the composer's
 * business; stitching itself would take the last definition that comes along, without a word.
 */
import type { SubschemaConfig } from '@graphql-tools/delegate';
import {
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isListType,
  isObjectType,
  isSpecifiedScalarType,
} from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import { findUnreachableFields } from './reachability.ts';

/** A service in the graph to be: a federated one may have several subschemas. */
export interface Layer {
  readonly service: string;
  readonly plain: boolean;
  readonly subschemas: readonly SubschemaConfig[];
}

type Report = (reason: Omit<ErrorReason, 'service'>) => void;

/** A type as one service has it. */
interface Holding {
  readonly service: string;
  readonly type: GraphQLNamedType;
}

/** Reasons against plain services, each once. */
export function findConflicts(layers: readonly Layer[]): ErrorReason[] {
  const reasons: ErrorReason[] = [];
  // By name: most types are in one service, and there may be hundreds of services.
  const holdings = new Map<string, Holding[]>();
  // Federated services among themselves are not compared, so they come first, and plain ones with all before them.
  for (const layer of layers.toSorted((one, other) => Number(one.plain) - Number(other.plain))) {
    const own = layer.subschemas.flatMap(({ schema }) => Object.values(schema.getTypeMap()).filter(isOwnType));
    const report: Report = (reason) => reasons.push({ ...reason, service: layer.service });
    if (layer.plain) {
      for (const type of own) {
        for (const other of holdings.get(type.name) ?? []) compareHoldings(type, other, report);
      }
    }
    for (const type of own) {
      const held = holdings.get(type.name);
      if (held === undefined) holdings.set(type.name, [{ service: layer.service, type }]);
      else held.push({ service: layer.service, type });
    }
  }
  if (reasons.length === 0) reasons.push(...findUnreachableFields(layers));
  const unique = new Map(reasons.map((reason) => [JSON.stringify(reason), reason]));
  return [...unique.values()];
}

function isOwnType(type: GraphQLNamedType): boolean {
  return !isIntrospectionType(type) && !isSpecifiedScalarType(type);
}

const roots: ReadonlySet<string> = new Set(['Query', 'Mutation', 'Subscription']);

function compareHoldings(type: GraphQLNamedType, { type: other, service }: Holding, report: Report): void {
  // By class: the names of kinds are for people.
  if (type.constructor !== other.constructor) {
    report({
      message: `"${type.name}" is ${kindOf(type)} here and ${kindOf(other)} in service "${service}"`,
      type: type.name,
      code: 'TYPE_KIND_MISMATCH',
    });
  } else if (roots.has(type.name)) {
    compareRoots(type, other, service, report);
  } else {
    compareTypes(type, other, service, report);
  }
}

function kindOf(type: GraphQLNamedType): string {
  const kind = type.constructor.name.replace(/^GraphQL/, '').replace(/Type$/, '');
  return `${/^[AEIOU]/.test(kind) ? 'an' : 'a'} ${kind.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()}`;
}

function compareRoots(type: GraphQLNamedType, other: GraphQLNamedType, service: string, report: Report): void {
  if (!isObjectType(type) || !isObjectType(other)) return;
  for (const field of Object.keys(type.getFields())) {
    if (!Object.hasOwn(other.getFields(), field)) continue;
    report({
      message: `"${type.name}.${field}" is a field of service "${service}" already`,
      type: type.name,
      field,
      code: 'ROOT_FIELD_CONFLICT',
    });
  }
}

function compareTypes(type: GraphQLNamedType, other: GraphQLNamedType, service: string, report: Report): void {
  if (isEnumType(type) && isEnumType(other)) {
    const values = difference(
      type.getValues().map(({ name }) => name),
      other.getValues().map(({ name }) => name),
    );
    if (values.length > 0) {
      report({
        message: `Enum "${type.name}" has other values in service "${service}": ${values.join(', ')}`,
        type: type.name,
        code: 'ENUM_VALUES_MISMATCH',
      });
    }
  } else if (isInputObjectType(type) && isInputObjectType(other)) {
    const fields = difference(printInputs(type.getFields()), printInputs(other.getFields()));
    if (fields.length > 0) {
      report({
        message: `Input "${type.name}" differs in service "${service}": ${fields.join(', ')}`,
        type: type.name,
        code: 'INPUT_FIELDS_MISMATCH',
      });
    }
  } else if ((isObjectType(type) || isInterfaceType(type)) && (isObjectType(other) || isInterfaceType(other))) {
    for (const field of Object.values(type.getFields())) {
      const twin = other.getFields()[field.name];
      if (twin !== undefined) compareFields(type.name, field, twin, service, report);
    }
  }
}

function compareFields(
  type: string,
  mine: GraphQLField<unknown, unknown>,
  theirs: GraphQLField<unknown, unknown>,
  service: string,
  report: Report,
): void {
  if (printNullable(mine.type) !== printNullable(theirs.type)) {
    report({
      message: `"${type}.${mine.name}" is ${String(mine.type)} here and ${String(theirs.type)} in service "${service}"`,
      type,
      field: mine.name,
      code: 'FIELD_TYPE_MISMATCH',
    });
  }
  const named = (field: GraphQLField<unknown, unknown>) =>
    printInputs(Object.fromEntries(field.args.map((argument) => [argument.name, argument])));
  const args = difference(named(mine), named(theirs));
  if (args.length > 0) {
    report({
      message: `"${type}.${mine.name}" has other arguments in service "${service}": ${args.join(', ')}`,
      type,
      field: mine.name,
      code: 'FIELD_ARGUMENT_MISMATCH',
    });
  }
}

/** A service that promises less (nullable) and one that promises more agree: clients are told the weaker promise. */
function printNullable(type: GraphQLType): string {
  const nullable = getNullableType(type);
  return isListType(nullable) ? `[${printNullable(nullable.ofType)}]` : String(nullable);
}

function printInputs(fields: Readonly<Record<string, { readonly type: GraphQLType }>>): string[] {
  return Object.entries(fields).map(([name, { type }]) => `${name}: ${String(type)}`);
}

function difference(one: readonly string[], other: readonly string[]): string[] {
  return [...one.filter((entry) => !other.includes(entry)), ...other.filter((entry) => !one.includes(entry))].slice(
    0,
    20,
  );
}
