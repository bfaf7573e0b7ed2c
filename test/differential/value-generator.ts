/** Values for arguments: literals, variables, and literals with variables in them. */
import {
  astFromValue,
  type ConstValueNode,
  GraphQLBoolean,
  type GraphQLInputField,
  type GraphQLInputType,
  GraphQLNonNull,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isRequiredInputField,
  Kind,
  type NameNode,
  parseType,
  type TypeNode,
  type ValueNode,
  type VariableDefinitionNode,
} from 'graphql';
import type { Random } from './random.ts';

export interface ValueGenerator {
  /** A value that may stand at a position of the type. */
  buildValue(type: GraphQLInputType, hasDefault: boolean): ValueNode;
  /** A value for the `if` of a directive. */
  buildCondition(preferred: boolean): ValueNode;
  /** The variables that values used so far. */
  listDefinitions(): VariableDefinitionNode[];
  readonly variables: Readonly<Record<string, unknown>>;
}

interface Draft {
  readonly random: Random;
  readonly texts: readonly string[];
  readonly definitions: VariableDefinitionNode[];
  readonly variables: Record<string, unknown>;
}

export function nameNode(value: string): NameNode {
  return { kind: Kind.NAME, value };
}

export function createValueGenerator(random: Random, texts: readonly string[]): ValueGenerator {
  const draft: Draft = { random, texts, definitions: [], variables: {} };
  return {
    buildValue: (type, hasDefault) => buildValue(draft, type, hasDefault, 0),
    buildCondition(preferred) {
      const value = random.chance(0.75) ? preferred : !preferred;
      if (random.chance(0.3)) return { kind: Kind.BOOLEAN, value };
      const known = draft.definitions.filter(({ type }) => type.kind === Kind.NON_NULL_TYPE && isBoolean(type.type));
      if (known.length > 0 && random.chance(0.4)) return random.pick(known).variable;
      return addVariable(draft, new GraphQLNonNull(GraphQLBoolean), false, value);
    },
    listDefinitions: () => [...draft.definitions],
    variables: draft.variables,
  };
}

function isBoolean(type: TypeNode): boolean {
  return type.kind === Kind.NAMED_TYPE && type.name.value === 'Boolean';
}

function buildValue(draft: Draft, type: GraphQLInputType, hasDefault: boolean, depth: number): ValueNode {
  const { random } = draft;
  if (random.chance(depth === 0 ? 0.45 : 0.2))
    return addVariable(draft, type, hasDefault, buildPlain(draft, type, depth));
  if (isNonNullType(type)) return buildLiteral(draft, type.ofType, depth);
  return random.chance(0.08) ? { kind: Kind.NULL } : buildLiteral(draft, type, depth);
}

function buildLiteral(draft: Draft, type: GraphQLInputType, depth: number): ValueNode {
  const { random } = draft;
  if (isNonNullType(type)) return buildLiteral(draft, type.ofType, depth);
  if (isListType(type)) {
    // A single value stands for a list of one.
    if (random.chance(0.15)) return buildLiteral(draft, type.ofType, depth + 1);
    const values = Array.from({ length: random.integer(3) }, () => buildValue(draft, type.ofType, false, depth + 1));
    return { kind: Kind.LIST, values };
  }
  if (!isInputObjectType(type)) return toLiteral(type, buildPresent(draft, type, depth));
  const fields = Object.values(type.getFields()).filter((field) => isGiven(draft, field, depth));
  return {
    kind: Kind.OBJECT,
    fields: fields.map((field) => ({
      kind: Kind.OBJECT_FIELD,
      name: nameNode(field.name),
      value: buildValue(draft, field.type, field.defaultValue !== undefined, depth + 1),
    })),
  };
}

/** A value as it stands in the JSON of variables. */
function buildPlain(draft: Draft, type: GraphQLInputType, depth: number): unknown {
  return !isNonNullType(type) && draft.random.chance(0.08) ? null : buildPresent(draft, type, depth);
}

function buildPresent(draft: Draft, type: GraphQLInputType, depth: number): unknown {
  const { random } = draft;
  if (isNonNullType(type)) return buildPresent(draft, type.ofType, depth);
  if (isListType(type)) {
    return Array.from({ length: random.integer(3) }, () => buildPlain(draft, type.ofType, depth + 1));
  }
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter((field) => isGiven(draft, field, depth));
    return Object.fromEntries(fields.map((field) => [field.name, buildPlain(draft, field.type, depth + 1)]));
  }
  return isEnumType(type) ? random.pick(type.getValues()).name : buildScalar(draft, type.name);
}

function isGiven({ random }: Draft, field: GraphQLInputField, depth: number): boolean {
  return isRequiredInputField(field) || (random.chance(0.5) && depth < 3);
}

function buildScalar({ random, texts }: Draft, name: string): unknown {
  if (name === 'Int') return random.integer(6);
  if (name === 'Float') return random.integer(20) / 4;
  if (name === 'Boolean') return random.chance(0.5);
  if (texts.length > 0 && random.chance(0.9)) return random.pick(texts);
  return random.pick(['', 'x', 'a "quoted" text', 'line\nbreak', '{ }', 'ü☃', '7']);
}

function toLiteral(type: GraphQLInputType, value: unknown): ConstValueNode {
  if (value === null) return { kind: Kind.NULL };
  const literal = astFromValue(value, type);
  return (literal ?? { kind: Kind.NULL }) as ConstValueNode;
}

/**
 * A variable for a position: of its type, of a stricter one, or, with a default, of a looser one. Values may be left out
 * where the type allows it.
 */
function addVariable(draft: Draft, type: GraphQLInputType, hasDefault: boolean, value: unknown): ValueNode {
  const { random, definitions, variables } = draft;
  const name = `v${definitions.length}`;
  const inner = isNonNullType(type) ? type.ofType : type;
  const withDefault = random.chance(0.35);
  const fallback = withDefault ? buildLiteralConstant(draft, inner, value) : undefined;
  const isFallbackUsable = fallback !== undefined && fallback.kind !== Kind.NULL;
  // A nullable variable may stand where null may not, if it or the position has a default.
  const mayLoosen = isNonNullType(type) && (isFallbackUsable || hasDefault) && random.chance(0.6);
  const mayTighten = !isNonNullType(type) && value !== null && random.chance(0.25);
  const written = mayLoosen ? String(inner) : mayTighten ? `${inner}!` : String(type);
  const isRequired = written.endsWith('!');
  const definition = {
    kind: Kind.VARIABLE_DEFINITION,
    variable: { kind: Kind.VARIABLE, name: nameNode(name) },
    type: parseType(written, { noLocation: true }),
    ...(fallback !== undefined && (!isRequired || isFallbackUsable) && { defaultValue: fallback }),
  } as const satisfies VariableDefinitionNode;
  definitions.push(definition);
  const mayOmit = (!isRequired || 'defaultValue' in definition) && random.chance(0.35);
  // Null by a loosened variable would fail the field, in another way in every implementation.
  if (!mayOmit) variables[name] = value;
  return definition.variable;
}

function buildLiteralConstant(draft: Draft, type: GraphQLInputType, near: unknown): ConstValueNode {
  const other = draft.random.chance(0.3) ? near : buildPlain(draft, type, 2);
  return toConstant(type, other);
}

/** Like graphql-js does it, which for input objects would write their defaults too. */
function toConstant(type: GraphQLInputType, value: unknown): ConstValueNode {
  if (isNonNullType(type)) return toConstant(type.ofType, value);
  if (value === null) return { kind: Kind.NULL };
  if (isListType(type) && Array.isArray(value)) {
    return { kind: Kind.LIST, values: value.map((item) => toConstant(type.ofType, item)) };
  }
  if (isInputObjectType(type) && typeof value === 'object') {
    const fields = Object.entries(value).flatMap(([name, item]) => {
      const field = type.getFields()[name];
      if (field === undefined) return [];
      return [{ kind: Kind.OBJECT_FIELD, name: nameNode(name), value: toConstant(field.type, item) } as const];
    });
    return { kind: Kind.OBJECT, fields };
  }
  return toLiteral(type, value);
}
