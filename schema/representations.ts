/** Representations of entities (Apollo Federation subgraph specification, `_Any`), built out of the merged answer. */
import { UnsupportedPlanError } from './plan-errors.ts';
import { buildRead, isObject, type JsonObject } from './plan-paths.ts';
import type { FitsType } from './plan-types.ts';
import type { RequiresSelection } from './query-plan.ts';
import { compileRewrites } from './rewrites.ts';

export interface RepresentationBuilder {
  /**
   * A string that is the same for equal representations only; undefined when the object has no representation: a
   * field it must have is missing, or all that it has is null.
   */
  identify(object: JsonObject, variables: JsonObject): string | undefined;
  /** The representation of an object that has an identity. */
  build(object: JsonObject, variables: JsonObject): JsonObject;
  /** The fields for want of which the object has no identity. */
  findMissing(object: JsonObject, variables: JsonObject): string[];
}

type InputRewrites = Parameters<typeof compileRewrites>[0];

interface Field {
  /** Its name in the representation. */
  readonly name: string;
  /** Its key in the answer so far: the planner gives a field that is there with other arguments an alias of its own. */
  readonly key: string;
  readonly read: (object: JsonObject) => unknown;
  readonly selections: readonly RequiresSelection[] | undefined;
}

/** Stands for a field that is not there, in values that are. */
const missing = Symbol('missing');

/** Compiles `requires`. The fields that a type needs are looked up once per type. */
export function compileRepresentations(
  requires: readonly RequiresSelection[],
  inputRewrites: InputRewrites,
  fits: FitsType,
): RepresentationBuilder {
  assertSupported(requires);
  const rewrite = compileRewrites(inputRewrites, fits);
  const fieldsOf = createFieldLookUp(requires, fits);
  const onlyType = findOnlyType(requires);
  const typeOf = (object: JsonObject) => (typeof object['__typename'] === 'string' ? object['__typename'] : onlyType);

  function build(object: JsonObject, variables: JsonObject): JsonObject {
    const typename = typeOf(object);
    const representation: JsonObject = { __typename: typename };
    for (const field of fieldsOf(typename, variables)) {
      if (field.name !== '__typename') representation[field.name] = project(field.read(object), field, variables);
    }
    rewrite?.(representation);
    return representation;
  }

  function project(value: unknown, { selections }: Field, variables: JsonObject): unknown {
    if (value === undefined) return missing;
    if (value === null || selections === undefined) return value;
    return projectSelections(value, selections, fits, variables);
  }

  return {
    build,
    identify(object, variables) {
      const typename = typeOf(object);
      let identity = typename;
      let known = false;
      for (const field of fieldsOf(typename, variables)) {
        if (field.name === '__typename') continue;
        const value =
          field.selections === undefined ? field.read(object) : project(field.read(object), field, variables);
        if (value === undefined || containsMissing(value)) return undefined;
        if (value !== null) known = true;
        identity += identifyValue(value);
      }
      // Two types may have become one by a rewrite: the rewritten name alone tells.
      if (!known) return undefined;
      return rewrite === undefined ? identity : JSON.stringify(build(object, variables));
    },
    findMissing: (object, variables) =>
      fieldsOf(typeOf(object), variables)
        .filter((field) => field.name !== '__typename')
        .filter((field) => containsMissing(project(field.read(object), field, variables)))
        .map(({ key }) => key),
  };
}

/** With the length in front, so that no value can look like the end of one and the beginning of another. */
function identifyValue(value: unknown): string {
  if (typeof value === 'string') return `|${value.length}:${value}`;
  if (typeof value === 'number') return `|n${value}`;
  const text = JSON.stringify(value);
  return `|j${text.length}:${text}`;
}

function createFieldLookUp(
  requires: readonly RequiresSelection[],
  fits: FitsType,
): (typename: string, variables: JsonObject) => readonly Field[] {
  if (hasConditions(requires)) return (typename, variables) => collectFields(requires, typename, fits, variables);
  // Bounded by the types of the plan: a name that no service should give finds no fields and is not kept.
  const known = new Map<string, readonly Field[]>();
  return (typename, variables) => {
    const found = known.get(typename);
    if (found !== undefined) return found;
    const fields = collectFields(requires, typename, fits, variables);
    if (fields.length > 0) known.set(typename, fields);
    return fields;
  };
}

function collectFields(
  selections: readonly RequiresSelection[],
  typename: unknown,
  fits: FitsType,
  variables: JsonObject,
): Field[] {
  const fields = new Map<string, Field>();
  for (const selection of selections) {
    // The other way round than in GraphQL: `name` is where the value stands, `alias` what the service shall see.
    if (selection.kind === 'Field') {
      addField(fields, selection.alias ?? selection.name, selection.name, selection.selections);
    }
    if (selection.kind === 'InlineFragment' && isIncluded(selection, variables)) {
      if (typeof typename === 'string' && !fits(typename, selection.typeCondition)) continue;
      for (const { name, key, selections: nested } of collectFields(selection.selections, typename, fits, variables)) {
        addField(fields, name, key, nested);
      }
    }
  }
  return [...fields.values()];
}

function addField(fields: Map<string, Field>, name: string, key: string, selections: Field['selections']): void {
  const before = fields.get(name);
  fields.set(name, {
    name,
    key,
    read: before?.read ?? buildRead(key),
    selections: before?.selections === undefined ? selections : [...before.selections, ...(selections ?? [])],
  });
}

function isIncluded({ skipIf, includeIf }: { skipIf?: string; includeIf?: string }, variables: JsonObject): boolean {
  return (
    !(typeof skipIf === 'string' && variables[skipIf] === true) &&
    !(typeof includeIf === 'string' && variables[includeIf] !== true)
  );
}

function projectSelections(
  value: unknown,
  selections: readonly RequiresSelection[],
  fits: FitsType,
  variables: JsonObject,
): unknown {
  if (Array.isArray(value)) return value.map((item) => projectSelections(item, selections, fits, variables));
  if (!isObject(value)) return value;
  const projected: JsonObject = {};
  for (const { name, read, selections: nested } of collectFields(selections, value['__typename'], fits, variables)) {
    const item = read(value);
    if (item === undefined && name === '__typename') continue;
    if (item === undefined) return missing;
    projected[name] = nested === undefined ? item : projectSelections(item, nested, fits, variables);
  }
  return projected;
}

function containsMissing(value: unknown): boolean {
  if (value === missing) return true;
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(containsMissing);
}

/** The type of objects that come without `__typename`: the one there is. */
function findOnlyType(requires: readonly RequiresSelection[]): string {
  const [first] = requires;
  return first?.kind === 'InlineFragment' ? first.typeCondition : '';
}

function hasConditions(selections: readonly RequiresSelection[]): boolean {
  return selections.some((selection) => {
    if (selection.kind === 'FragmentSpread') return false;
    if (selection.kind === 'Field') return hasConditions(selection.selections ?? []);
    return typeof (selection.skipIf ?? selection.includeIf) === 'string' || hasConditions(selection.selections);
  });
}

function assertSupported(selections: readonly RequiresSelection[]): void {
  for (const selection of selections) {
    if (selection.kind === 'FragmentSpread') throw new UnsupportedPlanError('A requirement with a fragment spread');
    assertSupported(selection.selections ?? []);
  }
}
