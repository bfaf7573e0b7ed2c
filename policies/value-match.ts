/** What a value of a request must be for a route to take it: one shape for headers, cookies, query and claims. */
import Type from 'typebox';
import { compileLinearRegex, RegexMistake } from './linear-regex.ts';
import type { Mistake } from './schema-mistakes.ts';

const text = Type.String({ maxLength: 1_024 });

export const ValueMatch = Type.Union(
  [
    text,
    Type.Object(
      {
        oneOf: Type.Optional(Type.Array(text, { minItems: 1, maxItems: 100, description: 'Any of these.' })),
        prefix: Type.Optional(Type.String({ minLength: 1, maxLength: 1_024, description: 'What it begins with.' })),
        regex: Type.Optional(
          Type.String({
            minLength: 1,
            maxLength: 512,
            description: 'What the whole value looks like. See [routing.md](routing.md#regular-expressions).',
          }),
        ),
        present: Type.Optional(
          Type.Boolean({ description: 'Only whether there is a value: `true`, or that there is none: `false`.' }),
        ),
      },
      { additionalProperties: false, minProperties: 1, maxProperties: 1 },
    ),
  ],
  { description: 'The value itself, or an object with one of `oneOf`, `prefix`, `regex`, `present`.' },
);
export type ValueMatch = Type.Static<typeof ValueMatch>;

/** Whether a value, or that there is none, is what was asked for. */
export type TestValue = (value: string | undefined) => boolean;

/** Compiles one. */
export function compileValueMatch(match: ValueMatch): TestValue {
  if (typeof match === 'string') return (value) => value === match;
  const { oneOf, prefix, regex, present } = match;
  if (oneOf !== undefined) {
    const allowed = new Set(oneOf);
    return (value) => value !== undefined && allowed.has(value);
  }
  if (prefix !== undefined) return (value) => value?.startsWith(prefix) === true;
  if (regex !== undefined) {
    const { regex: compiled } = compileLinearRegex(regex);
    return (value) => value !== undefined && compiled.test(value);
  }
  return (value) => (value !== undefined) === present;
}

/** What no schema can say of one. */
export function findValueMatchMistakes(match: ValueMatch): Mistake[] {
  if (typeof match === 'string' || match.regex === undefined) return [];
  const message = findRegexMistake(match.regex);
  return message === null ? [] : [{ path: ['regex'], message }];
}

/** Why an expression is not taken; null when it is. */
export function findRegexMistake(source: string): string | null {
  try {
    compileLinearRegex(source);
    return null;
  } catch (error) {
    if (error instanceof RegexMistake) return error.message;
    // Whatever the engine itself does not read, such as two groups of one name.
    if (error instanceof SyntaxError) return `expected a regular expression: ${error.message}`;
    throw error;
  }
}
