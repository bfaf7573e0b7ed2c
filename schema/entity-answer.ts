/** One answer for a request for entities that was asked in parts: merged by index, with substitutes where there are some. */
import { type ExecutionResult, GraphQLError, type SelectionSetNode } from 'graphql';
import type { Substitute } from '../policies/degradation.ts';
import { GatewayError } from '../policies/errors.ts';
import type { OutageGuard } from '../policies/outage-guard.ts';
import type { EntityField, EntityPart } from './entity-split.ts';
import { type FallbackTypes, projectFallback } from './fallback-value.ts';
import { isObject, type JsonObject } from './plan-paths.ts';

type Part = EntityPart<OutageGuard>;
type Variables = Readonly<Record<string, unknown>>;
type PossibleTypes = ReadonlyMap<string, ReadonlySet<string>>;

/** A field that an entity is asked for. */
interface Target {
  readonly key: string;
  readonly name: string;
  readonly selectionSet: SelectionSetNode | undefined;
}

/** By representation of one look-up: the fields that it is asked for. */
export interface LookUpTargets {
  readonly key: string;
  readonly representations: readonly JsonObject[];
  readonly keys: readonly (readonly Target[])[];
}

/** What of a part is asked of which representation. */
export function listTargets(part: Part, variables: Variables, possibleTypes: PossibleTypes): LookUpTargets[] {
  return part.lookUps.map(({ key, variable, fields }) => {
    const representations = readRepresentations(variables[variable]);
    const keys = representations.map(({ __typename: type }) =>
      fields
        .filter((field) => field.node.name.value !== '__typename' && isAsked(field, type, variables, possibleTypes))
        .map(({ key: own, node }) => ({ key: own, name: node.name.value, selectionSet: node.selectionSet })),
    );
    return { key, representations, keys };
  });
}

function readRepresentations(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.map((item: unknown) => (isObject(item) ? item : {})) : [];
}

function isAsked({ node, fragments }: EntityField, type: unknown, variables: Variables, types: PossibleTypes): boolean {
  return [node, ...fragments].every((selection) => {
    if ('typeCondition' in selection && selection.typeCondition !== undefined) {
      const { value } = selection.typeCondition.name;
      if (value !== type && types.get(value)?.has(String(type)) !== true) return false;
    }
    return (selection.directives ?? []).every(({ name, arguments: [argument] = [] }) => {
      if (name.value !== 'skip' && name.value !== 'include') return true;
      const condition = argument?.value;
      const isTrue =
        condition?.kind === 'Variable'
          ? variables[condition.name.value] === true
          : condition?.kind === 'BooleanValue' && condition.value;
      return isTrue === (name.value === 'include');
    });
  });
}

export type NoteSubstitute = (guard: OutageGuard, code: string, substitute: Substitute) => void;

/** The entities of one look-up, as far as they are known. */
interface Entities {
  /** Undefined: nobody has said anything of it. */
  readonly found: (JsonObject | null | undefined)[];
  /** Fields that a part did not have, of entities that it did not know. */
  readonly missing: string[][];
}

export class EntityAnswer {
  readonly #variables: Variables;
  readonly #types: FallbackTypes;
  readonly #note: NoteSubstitute;
  readonly #byKey = new Map<string, Entities>();
  readonly #errors: GraphQLError[] = [];

  constructor(variables: Variables, types: FallbackTypes, note: NoteSubstitute) {
    this.#variables = variables;
    this.#types = types;
    this.#note = note;
  }

  /** Whether all that is left are keys, which the representations have: nobody need be asked for them. */
  fillFromRepresentations(rest: Part): boolean {
    const isKnown = rest.lookUps.every(({ variable, fields }) => {
      const representations = readRepresentations(this.#variables[variable]);
      return fields.every(
        ({ node: { name, arguments: args = [], selectionSet } }) =>
          args.length === 0 && !selectionSet && representations.every((one) => Object.hasOwn(one, name.value)),
      );
    });
    if (!isKnown) return false;
    for (const { key, variable, fields } of rest.lookUps) {
      const entities = this.#entitiesOf(key, readRepresentations(this.#variables[variable]));
      for (const [index, one] of readRepresentations(this.#variables[variable]).entries()) {
        entities.found[index] = Object.fromEntries(fields.map((field) => [field.key, one[field.node.name.value]]));
      }
    }
    return true;
  }

  /** What became of the fields without a guard. */
  addRest(targets: readonly LookUpTargets[], result: ExecutionResult | GatewayError): void {
    const { data, errors } = readResult(result);
    this.#errors.push(...errors);
    for (const { key, representations, keys } of targets) {
      const entities = this.#entitiesOf(key, representations);
      const given = data?.[key];
      if (Array.isArray(given)) {
        for (const index of representations.keys()) entities.found[index] = readEntity(given[index]);
        continue;
      }
      for (const [index, one] of representations.entries()) {
        const own = keys[index] ?? [];
        // What it is known by may stand in the answer already, and is not made null by this.
        const lost = own.filter(({ name }) => !Object.hasOwn(one, name)).map((target) => [target.key, null]);
        entities.found[index] = { __typename: one['__typename'], ...Object.fromEntries(lost) };
        if (errors.length > 0) continue;
        for (const target of own) this.#addError(toError(result), [key, index, target.key]);
      }
    }
  }

  /** What became of the fields with one guard. */
  addGuarded(
    { guard, fragments }: Part,
    targets: readonly LookUpTargets[],
    result: ExecutionResult | GatewayError,
  ): void {
    if (guard === null) return;
    const { data, errors } = readResult(result);
    const noted = new Set<string>();
    for (const { key, representations, keys } of targets) {
      const entities = this.#entitiesOf(key, representations);
      const given = data?.[key];
      for (const [index, wanted] of keys.entries()) {
        if (wanted.length === 0 || entities.found[index] === null) continue;
        const entity = Array.isArray(given) ? readEntity(given[index]) : null;
        for (const target of wanted) {
          const value = entity?.[target.key];
          if (value !== null && value !== undefined) {
            this.#set(entities, representations, index, target.key, value);
            continue;
          }
          const path = [key, index, target.key];
          const why = Array.isArray(given) ? errors.filter((error) => isAbout(error, path)) : errors;
          const code = readOutage(result, why, guard);
          const substitute = code !== undefined && guard.hasFallback ? 'fallback' : 'none';
          if (code !== undefined && !noted.has(code)) this.#note(guard, code, substitute);
          if (code !== undefined) noted.add(code);
          if (substitute === 'fallback') {
            const type = String(representations[index]?.['__typename']);
            const types = { ...this.#types, fragments };
            const standIn = projectFallback(guard.fallback, target.selectionSet, `${type}.${target.name}`, types);
            this.#set(entities, representations, index, target.key, standIn);
          } else if (entity !== null || why.length > 0 || !Array.isArray(given)) {
            this.#set(entities, representations, index, target.key, null);
            if (why.length > 0) for (const error of why) this.#addError(error, lengthen(error, path));
            else if (!Array.isArray(given)) this.#addError(toError(result), path);
          } else entities.missing[index]?.push(target.key);
        }
      }
    }
    // Of what was not null, or stands nowhere.
    if (data !== null) this.#errors.push(...errors.filter((error) => isBelow(error, data)));
  }

  /** The answer to the request as it was. */
  build(parts: readonly Part[]): ExecutionResult {
    const data: JsonObject = {};
    for (const { key, variable } of parts.flatMap(({ lookUps }) => lookUps)) {
      const representations = readRepresentations(this.#variables[variable]);
      const { found, missing } = this.#entitiesOf(key, representations);
      data[key] = representations.map((one, index) => {
        const entity = found[index];
        const lost = missing[index] ?? [];
        if (entity === undefined) return lost.length > 0 ? null : { __typename: one['__typename'] };
        if (entity !== null) for (const name of lost) entity[name] ??= null;
        return entity;
      });
    }
    return { data, ...(this.#errors.length > 0 && { errors: this.#errors }) };
  }

  #entitiesOf(key: string, representations: readonly JsonObject[]): Entities {
    let entities = this.#byKey.get(key);
    if (entities === undefined) {
      entities = { found: representations.map(() => undefined), missing: representations.map(() => []) };
      this.#byKey.set(key, entities);
    }
    return entities;
  }

  #set({ found }: Entities, all: readonly JsonObject[], index: number, key: string, value: unknown): void {
    const entity = found[index] ?? { __typename: all[index]?.['__typename'] };
    entity[key] = value;
    found[index] = entity;
  }

  /** Our own, and those of a service as it sent them: whoever asked makes them safe. */
  #addError(error: GraphQLError | GatewayError, path: readonly (string | number)[]): void {
    if (error instanceof GatewayError) {
      this.#errors.push(new GraphQLError(error.message, { path, originalError: error }));
    } else this.#errors.push({ ...error, message: error.message, path } as GraphQLError);
  }
}

function readEntity(value: unknown): JsonObject | null {
  return isObject(value) ? value : null;
}

function readResult(result: ExecutionResult | GatewayError): {
  data: JsonObject | null;
  errors: readonly GraphQLError[];
} {
  if (result instanceof GatewayError) return { data: null, errors: [] };
  const errors: unknown = result.errors;
  const all: readonly unknown[] = Array.isArray(errors) ? errors : [];
  return { data: readEntity(result.data), errors: all.filter((error) => isObject(error)) as unknown as GraphQLError[] };
}

function toError(result: ExecutionResult | GatewayError): GatewayError {
  if (result instanceof GatewayError) return result;
  return new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'A service answered without the entities that it was asked for');
}

/** The code of the outage for which a field is null; undefined when it is null for another reason. */
function readOutage(
  result: ExecutionResult | GatewayError,
  errors: readonly GraphQLError[],
  guard: OutageGuard,
): string | undefined {
  if (result instanceof GatewayError) return guard.isOutage(result.code, true) ? result.code : undefined;
  const codes = errors.map(({ extensions }) => extensions?.['code']).filter((code) => typeof code === 'string');
  return codes.find((code) => guard.isOutage(code, false));
}

/** Whether an error is why the field at a path is null: it stands there, above it, or below, from where null travelled up. */
function isAbout({ path }: GraphQLError, place: readonly (string | number)[]): boolean {
  return Array.isArray(path) && place.every((segment, at) => at >= path.length || path[at] === segment);
}

function lengthen({ path }: GraphQLError, place: readonly (string | number)[]): readonly (string | number)[] {
  return path !== undefined && path.length >= place.length ? path : place;
}

/** Whether an error is about a part of a value that is there. */
function isBelow({ path }: GraphQLError, data: JsonObject): boolean {
  const [key, index, field] = path ?? [];
  const entities = data[String(key)];
  const entity: unknown = Array.isArray(entities) ? entities[Number(index)] : undefined;
  return isObject(entity) && entity[String(field)] !== null && entity[String(field)] !== undefined;
}
