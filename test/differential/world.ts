/**
 * The data of a generated graph, the same whoever is asked: every value follows from type, object, field and arguments by
 * hashing. Objects are no more than their type and what tells them apart.
 */
import { GraphQLError, Kind, type SelectionSetNode, type TypeNode } from 'graphql';
import {
  type FieldModel,
  findField,
  findObject,
  type GraphModel,
  type ObjectModel,
  parseFieldSet,
  parseFieldType,
} from './graph-model.ts';
import { hashText } from './random.ts';

/** An object on its way through an executor. */
export interface Thing {
  readonly __typename: string;
  /** Tells it from others of its type; for entities the number that its keys spell. */
  readonly seed: string;
  /** What a gateway sent along, in a subgraph that was asked for an entity. */
  readonly representation?: Readonly<Record<string, unknown>>;
  /** External fields that the field which led here provides. */
  readonly provided?: string;
}

export interface World {
  /** The value of a field. `subgraph` is who is asked; without, it is the whole graph in one process. */
  resolve(type: string, field: string, source: Thing | undefined, args: object, subgraph?: string): unknown;
  /** The entity that a representation speaks of, or null. */
  find(type: string, representation: Readonly<Record<string, unknown>>): Thing | null;
}

const entities = 4;
const texts = ['plain', 'with "quotes"', 'two\nlines', 'Ünïcödé ☃', '\u2028 \\ / \u0007', '__proto__', '', '𝄞'];

export function createWorld(model: GraphModel): World {
  const types = new Map(model.objects.map((type) => [type.name, type]));
  const parsedTypes = new Map<string, TypeNode>();
  const parse = (type: string): TypeNode => {
    const parsed = parsedTypes.get(type) ?? parseFieldType(type);
    parsedTypes.set(type, parsed);
    return parsed;
  };

  function resolve(
    typeName: string,
    fieldName: string,
    source: Thing | undefined,
    args: object,
    subgraph?: string,
  ): unknown {
    const type = findObject(model, typeName);
    const field = findField(model, typeName, fieldName);
    if (field === undefined) throw new Error(`there is no field ${typeName}.${fieldName}`);
    if (subgraph !== undefined) assertAnswerable(type, field, source, subgraph);
    const seed = source?.seed ?? '';
    if (field.isKey) return spellKey(type, field, seed);
    const required = field.requires === undefined ? '' : readRequired(type, field.requires, source, subgraph);
    const identity = `${typeName}|${seed}|${fieldName}|${printArguments(args)}|${required}`;
    return buildValue(parse(field.type), field, identity, !field.isSafe);
  }

  /** What `@requires` brings: from the representation in a subgraph, from the world itself where all is one process. */
  function readRequired(type: ObjectModel, requires: string, source: Thing | undefined, subgraph?: string): string {
    const { selections } = parseFieldSet(requires);
    const values = selections.map((selection) => {
      if (selection.kind !== Kind.FIELD) throw new Error('only fields can be required');
      const name = selection.name.value;
      const value =
        subgraph === undefined ? resolve(type.name, name, source, {}) : (source?.representation?.[name] ?? 'missing');
      const isNull = value === null || (subgraph !== undefined && source?.representation?.[name] === null);
      return `${name}=${isNull ? 'null' : JSON.stringify(value)}`;
    });
    return values.join();
  }

  function buildValue(type: TypeNode, field: FieldModel, identity: string, mayFail: boolean): unknown {
    const isNonNull = type.kind === Kind.NON_NULL_TYPE;
    const roll = hashText(`${identity}|fate`) % 1000;
    // Failures of what cannot be null take whole branches away: fewer of them.
    if (mayFail && roll < model.errorsPerMille / (isNonNull ? 4 : 1)) return buildError(identity);
    if (!isNonNull && field.stricter === undefined && roll >= 900) return null;
    const inner = isNonNull ? type.type : type;
    if (inner.kind === Kind.LIST_TYPE) {
      const length = hashText(`${identity}|length`) % 4;
      return Array.from({ length }, (_, index) => buildValue(inner.type, field, `${identity}.${index}`, mayFail));
    }
    return inner.kind === Kind.NAMED_TYPE ? buildNamed(inner.name.value, field, identity) : null;
  }

  function buildNamed(name: string, field: FieldModel, identity: string): unknown {
    const hash = hashText(identity);
    const values = model.enums[name];
    if (values !== undefined) return values[hash % values.length];
    const { members } = field;
    const concrete = members === undefined ? name : (members[hash % members.length] ?? name);
    const kind = types.get(concrete)?.kind;
    if (kind === undefined) return buildScalar(name, hash);
    const seed = String(kind === 'entity' ? hashText(`${identity}|which`) % entities : hash);
    return { __typename: concrete, seed, ...(field.provides !== undefined && { provided: field.provides }) };
  }

  return {
    resolve,
    find(type, representation) {
      for (const { fields } of findObject(model, type).keys) {
        const number = readKey(parseFieldSet(fields), representation);
        if (number !== null) return { __typename: type, seed: number, representation };
      }
      return null;
    },
  };
}

/** Fields that a subgraph has only by name must not be asked of it, but where it said that it provides them. */
function assertAnswerable(type: ObjectModel, field: FieldModel, source: Thing | undefined, subgraph: string): void {
  if (field.subgraphs.includes(subgraph) || source?.provided === field.name) return;
  throw new GraphQLError(`${subgraph} does not know ${type.name}.${field.name}`, {
    extensions: { code: 'ASKED_WRONGLY' },
  });
}

/** Each key field spells the number of the entity in its own way; every one can be read back. */
function spellKey({ name, kind }: ObjectModel, field: FieldModel, seed: string): unknown {
  if (field.type === 'Int!') return Number(seed);
  if (field.type === 'Place!') return { __typename: 'Place', seed };
  return `${kind === 'value' ? 'place' : name}-${seed}`;
}

function readKey(key: SelectionSetNode, representation: Readonly<Record<string, unknown>>): string | null {
  const numbers = new Set<string | null>();
  for (const selection of key.selections) {
    if (selection.kind !== Kind.FIELD) return null;
    const value = representation[selection.name.value];
    if (selection.selectionSet !== undefined && typeof value === 'object' && value !== null) {
      numbers.add(readKey(selection.selectionSet, value as Record<string, unknown>));
    } else numbers.add(/\d+$/.exec(String(value))?.[0] ?? null);
  }
  const [number = null] = numbers;
  return numbers.size === 1 ? number : null;
}

function buildScalar(name: string, hash: number): unknown {
  if (name === 'Int') return (hash % 2001) - 1000;
  if (name === 'Float') return (hash % 1000) / 8;
  if (name === 'Boolean') return hash % 2 === 0;
  if (name === 'ID') return `id${hash % 50}`;
  if (name === 'Blob')
    return { list: [1, null, { deep: texts[hash % texts.length] }], id: hash % 7, __typename: 'none' };
  return `${texts[hash % texts.length]} ${hash % 100}`;
}

/** Half of them with a code of their own. Thrown or, in a list, standing in place of an item. */
function buildError(identity: string): GraphQLError {
  const hash = hashText(`${identity}|code`);
  return new GraphQLError(
    'deterministic failure',
    hash % 2 === 0 ? {} : { extensions: { code: `FAILED_${hash % 3}` } },
  );
}

/** The same whatever order they were written in: engines may send them in another. */
export function printArguments(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printArguments).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, item]) => `${name}:${printArguments(item)}`).join()}}`;
}
