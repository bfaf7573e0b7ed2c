/** Merging what services answer into one tree. Everything here writes into its arguments: they belong to one request. */
import { isObject, type JsonObject, readOwn } from './plan-paths.ts';
import { setKey } from './rewrites.ts';

/**
 * Deep merge. A null never erases what is there: of two fetches of the same field, the one that failed says nothing.
 * Lists are of the same objects in the same order, because both were asked for the same field.
 */
export function mergeObject(target: JsonObject, source: JsonObject): void {
  for (const key of Object.keys(source)) {
    const value = source[key];
    const there = key in Object.prototype ? readOwn(target, key) : target[key];
    if (there === undefined || there === null) setKey(target, key, value);
    else if (value === null || value === undefined) continue;
    else if (typeof there !== 'object' || typeof value !== 'object') setKey(target, key, value);
    else if (there !== value) mergeContainer(there, value);
  }
}

function mergeContainer(target: object, source: object): void {
  if (Array.isArray(target) && Array.isArray(source)) mergeList(target, source);
  else if (isObject(target) && isObject(source)) mergeObject(target, source);
}

function mergeList(target: unknown[], source: readonly unknown[]): void {
  for (let index = 0; index < source.length && index < target.length; index++) {
    const there = target[index];
    const value = source[index];
    if (there === null) target[index] = value;
    else if (typeof there === 'object' && typeof value === 'object' && value !== null) {
      if (there !== undefined && there !== value) mergeContainer(there, value);
    }
  }
}

/** A copy of a JSON value that shares no object with it. */
export function cloneJson<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(cloneJson) as Value;
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const key of Object.keys(value)) setKey(copy, key, cloneJson(value[key]));
  return copy as Value;
}

/** The places of the answer that one entity goes to, as far as they may share its nested objects. */
export class EntityCopies {
  readonly #entities: readonly unknown[];
  /** By group of places, then by index of the entity. */
  readonly #copies: (JsonObject | undefined)[][] = [];
  readonly #shared: Map<object, unknown>;

  /** Nested objects that come to stand in several places are noted in `shared`. */
  constructor(entities: readonly unknown[], shared: Map<object, unknown>) {
    this.#entities = entities;
    this.#shared = shared;
  }

  mergeInto(target: JsonObject, index: number, group: number): void {
    const entity = this.#entities[index];
    if (!isObject(entity)) return;
    let copies = this.#copies[group];
    if (copies === undefined) {
      copies = [];
      this.#copies[group] = copies;
    }
    const copy = copies[index];
    if (copy !== undefined) {
      this.#share(copy);
      mergeObject(target, copy);
      return;
    }
    // The first group has the answer itself, but what others copy from must not have been merged with anything yet:
    // therefore all groups are served before any later fetch can write, and copies are made of untouched entities.
    const own = group === 0 ? entity : cloneJson(entity);
    copies[index] = own;
    mergeObject(target, own);
  }

  #share(copy: JsonObject): void {
    for (const key of Object.keys(copy)) {
      const value = copy[key];
      if (typeof value === 'object' && value !== null && !this.#shared.has(value)) this.#shared.set(value, undefined);
    }
  }
}
