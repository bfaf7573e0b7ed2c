/** Changes that a plan makes to representations before they are sent, and to answers before they are merged. */
import { UnsupportedPlanError } from './plan-errors.ts';
import { isObject, type JsonObject } from './plan-paths.ts';
import type { FitsType } from './plan-types.ts';
import type { FetchRewrite } from './query-plan.ts';

/** Changes a value in place. */
export type Rewrite = (value: unknown) => void;

interface Segment {
  readonly TypenameEquals?: readonly string[];
  readonly Key?: string;
}

type Change = (object: JsonObject, key: string) => void;

/** Compiles rewrites; undefined when there are none. Lists on the way are gone through item by item. */
export function compileRewrites(
  rewrites: readonly FetchRewrite[] | undefined | null,
  fits: FitsType,
): Rewrite | undefined {
  if (rewrites === undefined || rewrites === null || rewrites.length === 0) return undefined;
  const compiled = rewrites.map((rewrite) => compileRewrite(rewrite, fits));
  return (value) => {
    for (const rewrite of compiled) rewrite(value);
  };
}

/** New keys by the old ones, for the paths of errors. */
export function listRenames(rewrites: readonly FetchRewrite[] | undefined | null): ReadonlyMap<string, string> {
  const renames = new Map<string, string>();
  for (const rewrite of rewrites ?? []) {
    const last = 'KeyRenamer' in rewrite ? rewrite.KeyRenamer.path.at(-1) : undefined;
    if (last !== undefined && 'Key' in last && 'KeyRenamer' in rewrite) {
      renames.set(last.Key, rewrite.KeyRenamer.renameKeyTo);
    }
  }
  return renames;
}

function compileRewrite(rewrite: FetchRewrite, fits: FitsType): Rewrite {
  if ('KeyRenamer' in rewrite) {
    const { path, renameKeyTo } = rewrite.KeyRenamer;
    return compileSteps(path, fits, (object, key) => renameKey(object, key, renameKeyTo));
  }
  // Both spellings occur.
  const setter = 'ValueSetter' in rewrite ? rewrite.ValueSetter : rewrite;
  return compileSteps(setter.path, fits, (object, key) => setKey(object, key, setter.setValueTo));
}

function compileSteps(path: readonly Segment[], fits: FitsType, change: Change): Rewrite {
  const last = path.at(-1);
  if (last?.Key === undefined) throw new UnsupportedPlanError('A rewrite must end in a key');
  const { Key: key } = last;
  const end: Rewrite = onObjects((object) => {
    if (Object.hasOwn(object, key)) change(object, key);
  });
  return path.slice(0, -1).reduceRight<Rewrite>((next, segment) => compileStep(segment, next, fits), end);
}

function compileStep({ Key: key, TypenameEquals: types }: Segment, next: Rewrite, fits: FitsType): Rewrite {
  if (key !== undefined) {
    return onObjects((object) => {
      if (Object.hasOwn(object, key)) next(object[key]);
    });
  }
  if (types === undefined) throw new UnsupportedPlanError('A rewrite has a step of an unknown kind');
  const conditions = [types].flat();
  return onObjects((object) => {
    const typename = object['__typename'];
    if (typeof typename !== 'string' || conditions.some((condition) => fits(typename, condition))) next(object);
  });
}

function onObjects(change: (object: JsonObject) => void): Rewrite {
  const rewrite: Rewrite = (value) => {
    if (Array.isArray(value)) for (const item of value) rewrite(item);
    else if (isObject(value)) change(value);
  };
  return rewrite;
}

function renameKey(object: JsonObject, from: string, to: string): void {
  if (from === to) return;
  setKey(object, to, object[from]);
  delete object[from];
}

/** Sets an own property whatever its name: assigning to `__proto__` would change the prototype instead. */
export function setKey(object: JsonObject, key: string, value: unknown): void {
  if (key !== '__proto__') object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}
