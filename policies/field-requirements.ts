/** What each field of a schema asks of a viewer, out of what is written at types, fields and arguments. */
import {
  type GraphQLField,
  type GraphQLInterfaceType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isObjectType,
} from 'graphql';
import { mergeRequirements, type Requirement } from './requirement.ts';

type Composite = GraphQLObjectType | GraphQLInterfaceType;

/** By `Type.field`, and by `Type.field(argument)` what is asked where the argument is given. */
export type FieldRequirements = ReadonlyMap<string, Requirement>;

/**
 * Works types and interfaces into requirements as they are written, by `Type`, `Type.field` or `Type.field(argument)`. A
 * field then asks for what is written at itself, its type, and the type it returns; and as the same value can be read
 * through the interface and through the object, at each interface of its type, or at each type that implements its
 * interface.
 *
 * Takes what was written, not a result of its own: from that, requirements would spread between the types that share an
 * interface. To join two results there is {@link mergeFieldRequirements}.
 */
export function buildFieldRequirements(schema: GraphQLSchema, own: FieldRequirements): Map<string, Requirement> {
  const result = new Map<string, Requirement>();
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__') || !(isObjectType(type) || isInterfaceType(type))) continue;
    const kin = [type, ...type.getInterfaces(), ...implementationsOf(schema, type)];
    for (const field of Object.values(type.getFields())) {
      const coordinate = `${type.name}.${field.name}`;
      for (const relative of kin) {
        for (const requirement of writtenAt(own, relative, field.name)) addRequirement(result, coordinate, requirement);
        for (const [name, requirement] of writtenAtArguments(own, relative, field)) {
          addRequirement(result, `${coordinate}(${name})`, requirement);
        }
      }
    }
  }
  return result;
}

/** Joins requirements by field: where both name a field, both must be met. */
export function mergeFieldRequirements(a: FieldRequirements, b: FieldRequirements): Map<string, Requirement> {
  const result = new Map(a);
  for (const [coordinate, requirement] of b) addRequirement(result, coordinate, requirement);
  return result;
}

const anyViewer: Requirement = { authenticated: true, scopes: [] };

/** Requirements with those of the root fields worked in: each but the public ones needs a viewer. */
export function requireViewers(
  schema: GraphQLSchema,
  requirements: FieldRequirements,
  publicFields: ReadonlySet<string>,
): FieldRequirements {
  const own = new Map<string, Requirement>();
  for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const name of Object.keys(type?.getFields() ?? {})) {
      const coordinate = `${type?.name}.${name}`;
      if (!publicFields.has(coordinate)) own.set(coordinate, anyViewer);
    }
  }
  // Also through an interface that a root type implements: `{ ... on HasUsers { users } }`.
  return mergeFieldRequirements(requirements, buildFieldRequirements(schema, own));
}

/** Adds to what is asked at a coordinate. */
export function addRequirement(result: Map<string, Requirement>, coordinate: string, requirement: Requirement): void {
  const before = result.get(coordinate);
  result.set(coordinate, before === undefined ? requirement : mergeRequirements(before, requirement));
}

function implementationsOf(schema: GraphQLSchema, type: Composite): readonly Composite[] {
  if (!isInterfaceType(type)) return [];
  const { objects, interfaces } = schema.getImplementations(type);
  return [...objects, ...interfaces];
}

function writtenAt(own: FieldRequirements, type: Composite, fieldName: string): Requirement[] {
  const field = type.getFields()[fieldName];
  // An implementing type always has the fields of its interface, but not the other way round.
  if (field === undefined) return [];
  const coordinates = [`${type.name}.${fieldName}`, type.name, getNamedType(field.type).name];
  return coordinates.flatMap((coordinate) => own.get(coordinate) ?? []);
}

function writtenAtArguments(
  own: FieldRequirements,
  type: Composite,
  field: GraphQLField<unknown, unknown>,
): [name: string, requirement: Requirement][] {
  return field.args.flatMap(({ name }): [string, Requirement][] => {
    const requirement = own.get(`${type.name}.${field.name}(${name})`);
    return requirement === undefined ? [] : [[name, requirement]];
  });
}
