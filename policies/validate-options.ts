/** `validate` of a route or a service: what requests must be before they go to the service. */
import Type from 'typebox';
import type { JsonSchema } from './json-schema.ts';
import { findJsonSchemaMistakes } from './json-schema-check.ts';
import { findOpenapiMistakes } from './openapi-document.ts';
import type { Mistake } from './schema-mistakes.ts';
import { OneOf, Size } from './units.ts';

const Schema = Type.Unsafe<JsonSchema>({ anyOf: [{ type: 'object' }, { type: 'boolean' }] });
const Parameters = Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' });

const OpenapiOptions = Type.Object(
  {
    document: Type.Optional({
      ...Parameters,
      description:
        'The document, OpenAPI 3.0 or 3.1. In the configuration it may be a file beside it: `file:orders.yaml`. References stay within the document.',
    }),
    service: Type.Optional(
      Type.String({
        pattern: '^/',
        description:
          'Path at which the service has its document, e.g. `/openapi.json`. It is fetched in the background, again every minute. While a new one cannot be had or has mistakes, the last one counts.',
      }),
    ),
    whileMissing: Type.Optional(
      OneOf(['pass', 'refuse'], {
        default: 'pass',
        description:
          'What holds until the document of the service is there: requests pass and are counted, or get 503.',
      }),
    ),
    unknown: Type.Optional(
      OneOf(['refuse', 'pass'], {
        default: 'refuse',
        description: 'What holds for requests that are no operation of the document.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Requests must be operations of an OpenAPI document, found by method and path as the service sees it: their parameters (query, path, header), and bodies by content type. `openapi: file:PATH` is short for its `document`.',
  },
);
export type OpenapiOptions = Type.Static<typeof OpenapiOptions>;

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
    openapi: Type.Optional(OpenapiOptions),
    responses: Type.Optional(
      OneOf(['log'], {
        description:
          'Answers of the service that are not what the OpenAPI document says are logged and counted. They pass as they come; JSON up to `maxBodySize` is looked at.',
      }),
    ),
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
  const { openapi, responses } = options;
  if (given.length === 0 && openapi === undefined) {
    return [{ path: [], message: 'expected something to validate: `body`, `query`, `headers`, `params` or `openapi`' }];
  }
  const ofSchemas = given.flatMap((part) => [
    ...findJsonSchemaMistakes(options[part]).map(({ path, message }) => ({ path: [part, ...path], message })),
    ...(part === 'headers' ? findUpperCase(options.headers) : []),
  ]);
  if (responses !== undefined && openapi === undefined) {
    ofSchemas.push({ path: ['responses'], message: 'expected `openapi` beside it, which says what answers are' });
  }
  return [...ofSchemas, ...checkOpenapi(openapi).map(({ path, message }) => ({ path: ['openapi', ...path], message }))];
}

function checkOpenapi(openapi: OpenapiOptions | undefined): Mistake[] {
  if (openapi === undefined) return [];
  const { document, service } = openapi;
  if ((document === undefined) === (service === undefined)) {
    return [{ path: [], message: 'expected either `document` or `service`' }];
  }
  if (document === undefined) return [];
  return findOpenapiMistakes(document).map(({ path, message }) => ({ path: ['document', ...path], message }));
}

function findUpperCase(schema: Readonly<Record<string, unknown>> | undefined): Mistake[] {
  const names = Object.keys((schema?.['properties'] as object | undefined) ?? {});
  const required = schema?.['required'];
  return [...names, ...(Array.isArray(required) ? required.map(String) : [])]
    .filter((name) => name !== name.toLowerCase())
    .map((name) => ({ path: ['headers'], message: `expected names in lower case, got ${name}` }));
}
