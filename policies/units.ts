/** Values as people write them in a configuration: durations (`500ms`, `5s`), sizes (`64kb`), shares (`20%`), words. */
import Type from 'typebox';

const durationUnitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnitsBytes = { b: 1, kb: 1_024, mb: 1_048_576, gb: 1_073_741_824 };

/** JSON Schema of one of several words. (`Type.Union` would lose the words' types when it is given a mapped list.) */
export function OneOf<const Words extends readonly string[]>(words: Words, options: Type.TSchemaOptions = {}) {
  return Type.Unsafe<Words[number]>({ anyOf: words.map((word) => ({ type: 'string', const: word })), ...options });
}

/** JSON Schema of a duration: a number with `ms`, `s`, `m`, `h` or `d`. */
export const Duration = Type.String({ pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)$', examples: ['500ms', '5s', '1m'] });

/** JSON Schema of a size in bytes: a number with `b`, `kb`, `mb` or `gb` (powers of 1,024). */
export const Size = Type.String({ pattern: '^\\d+(\\.\\d+)?(b|kb|mb|gb)$', examples: ['64kb', '10mb'] });

/** JSON Schema of a share: a percentage. */
export const Percentage = Type.String({ pattern: '^(100(\\.0+)?|\\d{1,2}(\\.\\d+)?)%$', examples: ['20%', '50%'] });

/** Milliseconds of a duration that matches {@link Duration}. */
export function parseDurationMs(text: string): number {
  return parseQuantity(text, durationUnitsMs, 'a duration such as 500ms, 5s or 1m');
}

/** Whole bytes of a size that matches {@link Size}. */
export function parseSizeBytes(text: string): number {
  return Math.floor(parseQuantity(text, sizeUnitsBytes, 'a size such as 64kb or 10mb'));
}

/** A share between 0 and 1 of a percentage that matches {@link Percentage}. */
export function parsePercentage(text: string): number {
  return parseQuantity(text, { '%': 1 }, 'a percentage such as 20%') / 100;
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const match = /^(\d+(?:\.\d+)?)([a-z%]+)$/.exec(text);
  const unit = match?.[2] !== undefined && Object.hasOwn(units, match[2]) ? units[match[2]] : undefined;
  if (match === null || unit === undefined) throw new TypeError(`expected ${expected}, got ${JSON.stringify(text)}`);
  return Number(match[1]) * unit;
}
