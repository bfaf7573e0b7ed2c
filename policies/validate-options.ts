/** `validate` of a route or a service: what requests must be before they go to the service. */
import Type from 'typebox';
import type { JsonSchema } from './json-schema.ts';
import { findJsonSchemaMistakes } from './json-schema-check.ts';
import type { Mistake } from './schema-mistakes.ts';
import { OneOf, Size } from './units.ts';

const Schema = Type.Unsafe<JsonSchema>({ anyOf: [{ type: 'object' }, { type: 'boolean' }] });
const Parameters = Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' });

export const ValidateOptions = Type.Object(
  {
    body: Type.Optional({
      ...Schema,
      description:
        'JSON Schema (2020-12) of bodies. They must then be JSON, and POST, PUT and PATCH must have one. References stay within the schema.',
    }),
    query: Type.Optional({
      ...Parameters,
      description:
        'JSON Schema of the query, an object with a property for each parameter. A text is taken for a number or a boolean where the schema of its property wants that; where it wants an array, every parameter of the name is an item.',
    }),
    headers: Type.Optional({
      ...Parameters,
      description: 'The same of header fields, by their names in lower case.',
    }),
    params: Type.Optional({ ...Parameters, description: 'The same of what the path captures: `:id` is `id`.' }),
    mode: Type.Optional(
      OneOf(['enforce', 'log'], {
        default: 'enforce',
        description: 'Whether a request that is not valid is refused with 422, or only logged and counted.',
      }),
    ),
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({
        ...Size,
        default: '1mb',
        description: 'Largest body that is validated. A larger one is refused with 413.',
      }),
    ),
    maxSteps: Type.Optional(
      Type.Integer({
        default: 100_000,
        minimum: 1_000,
        maximum: 10_000_000,
        description:
          'How often schemas may be tried on one value; 1,000 take about a millisecond. What needs more is not valid: a schema that refers to itself twice at one place can take exponential time.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'What requests must be. A body that is validated is held for that; others stream. Validation comes after authorization and limits, and before `transform`.',
  },
);
export type ValidateOptions = Type.Static<typeof ValidateOptions>;

/** What is wrong with options that fit the schema. */
export function findValidateMistakes(options: ValidateOptions | undefined): Mistake[] {
  if (options === undefined) return [];
  const parts = ['body', 'query', 'headers', 'params'] as const;
  const given = parts.filter((part) => options[part] !== undefined);
  if (given.length === 0) {
    return [{ path: [], message: 'expected something to validate: `body`, `query`, `headers` or `params`' }];
  }
  return given.flatMap((part) => [
    ...findJsonSchemaMistakes(options[part]).map(({ path, message }) => ({ path: [part, ...path], message })),
    ...(part === 'headers' ? findUpperCase(options.headers) : []),
  ]);
}

function findUpperCase(schema: Readonly<Record<string, unknown>> | undefined): Mistake[] {
  const names = Object.keys((schema?.['properties'] as object | undefined) ?? {});
  const required = schema?.['required'];
  return [...names, ...(Array.isArray(required) ? required.map(String) : [])]
    .filter((name) => name !== name.toLowerCase())
    .map((name) => ({ path: ['headers'], message: `expected names in lower case, got ${name}` }));
}
