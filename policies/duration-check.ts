/** Durations that no timer can wait, and those that would fail everything: what their pattern cannot say. */
import type { TSchema } from 'typebox';
import { type SchemaNode, shorten } from './schema-expectation.ts';
import type { Mistake, ValuePath } from './schema-mistakes.ts';
import { Duration, parseDurationMs } from './units.ts';

const durationPattern = (Duration as SchemaNode).pattern;
/** Longest delay of a Node timer, in its 31 bits; a longer one fires at once. */
const maxDurationMs = 2_147_483_647;
/** Where no time at all makes sense. Anywhere else 0 would fail every request. */
const mayBeZero: ReadonlySet<string | number> = new Set(['delay', 'grace', 'clockTolerance', 'idleTimeout']);

/** Durations out of bounds in a value that fits its schema. Only the schema knows which texts are durations. */
export function findDurationMistakes(schema: TSchema, value: unknown): Mistake[] {
  return checkDurations(schema, value, []);
}

/** Walks schema and value side by side. */
function checkDurations(schema: SchemaNode, value: unknown, path: ValuePath): Mistake[] {
  if (typeof value === 'string') return schema.pattern === durationPattern ? checkDuration(value, path) : [];
  if (Array.isArray(value))
    return value.flatMap((entry, index) => checkDurations(schema.items ?? {}, entry, [...path, index]));
  if (typeof value !== 'object' || value === null) return [];
  const named = Object.values(schema.patternProperties ?? {})[0];
  return Object.entries(value).flatMap(([key, entry]) =>
    checkDurations(schema.properties?.[key] ?? named ?? {}, entry, [...path, key]),
  );
}

function checkDuration(text: string, path: ValuePath): Mistake[] {
  const durationMs = parseDurationMs(text);
  if (durationMs > maxDurationMs) return [{ path, message: `${shorten(text)} is too long: at most 24d` }];
  return durationMs < 1 && !mayBeZero.has(path.at(-1) ?? '')
    ? [{ path, message: `${shorten(text)} is too short: at least 1ms` }]
    : [];
}
