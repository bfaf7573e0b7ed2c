/** Ways through the merged answer to the objects that a fetch is about. */
import type { Path } from './plan-errors.ts';
import type { FitsType } from './plan-types.ts';
import type { FlattenNodePathSegment } from './query-plan.ts';

export type JsonObject = Record<string, unknown>;
export type Visit = (object: JsonObject) => void;

/** Calls back with each object at the end of the path, in the order of the answer. */
export type Walk = (value: unknown, visit: Visit) => void;

export interface PlanPath {
  readonly segments: readonly FlattenNodePathSegment[];
  readonly walk: Walk;
  /** The same with where each object stands: for errors, which can afford it. */
  locate(data: unknown, visit: (object: JsonObject, path: Path) => void): void;
}

/** Compiles a path into nested loops. */
export function compilePath(segments: readonly FlattenNodePathSegment[], fits: FitsType): PlanPath {
  return {
    segments,
    walk: segments.reduceRight<Walk>((next, segment) => compileSegment(segment, next, fits), visitObjects),
    locate: (data, visit) => locate(data, segments, 0, [], fits, visit),
  };
}

function compileSegment(segment: FlattenNodePathSegment, next: Walk, fits: FitsType): Walk {
  if (segment === '@') {
    // One of them stands for all the lists of a type: planner 0.0.38 writes a single `@` also for lists of lists.
    const walkList: Walk = (value, visit) => {
      if (!Array.isArray(value)) next(value, visit);
      else for (let index = 0; index < value.length; index++) walkList(value[index], visit);
    };
    return walkList;
  }
  if ('Field' in segment) {
    const { Field: key } = segment;
    const read = buildRead(key);
    return (value, visit) => {
      if (isObject(value)) next(read(value), visit);
    };
  }
  const { TypeCondition: conditions } = segment;
  return (value, visit) => {
    if (isObject(value) && fitsSome(value, conditions, fits)) next(value, visit);
  };
}

const visitObjects: Walk = (value, visit) => {
  if (Array.isArray(value)) for (const item of value) visitObjects(item, visit);
  else if (isObject(value)) visit(value);
};

function locate(
  value: unknown,
  segments: readonly FlattenNodePathSegment[],
  at: number,
  path: Path,
  fits: FitsType,
  visit: (object: JsonObject, path: Path) => void,
): void {
  const segment = segments[at];
  if (Array.isArray(value) && (segment === undefined || segment === '@')) {
    value.forEach((item: unknown, index) => {
      locate(item, segments, at, [...path, index], fits, visit);
    });
  } else if (segment === '@') {
    locate(value, segments, at + 1, path, fits, visit);
  } else if (isObject(value)) {
    if (segment === undefined) visit(value, path);
    else if ('Field' in segment) {
      const { Field: key } = segment;
      locate(readOwn(value, key), segments, at + 1, [...path, key], fits, visit);
    } else if (fitsSome(value, segment.TypeCondition, fits)) {
      locate(value, segments, at + 1, path, fits, visit);
    }
  }
}

function fitsSome(object: JsonObject, conditions: readonly string[], fits: FitsType): boolean {
  const typename = object['__typename'];
  // Services are asked for it wherever it can make a difference.
  if (typeof typename !== 'string') return true;
  return conditions.some((condition) => fits(typename, condition));
}

/** Reads one key. What only the prototype has (an alias `constructor`, `__proto__`) is not there. */
export function buildRead(key: string): (object: JsonObject) => unknown {
  return key in Object.prototype ? (object) => readOwn(object, key) : (object) => object[key];
}

export function readOwn(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
