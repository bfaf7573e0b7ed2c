/** `transform` of a route or a service: what is changed in requests on their way to the service, and in its answers. */
import Type from 'typebox';
import { ExpressionMistake } from './expression.ts';
import type { Mistake } from './schema-mistakes.ts';
import { parseTransformExpression } from './transform-facts.ts';
import { OneOf, Size } from './units.ts';

const closed = { additionalProperties: false } as const;

const Expression = Type.String({ minLength: 1, maxLength: 2_000 });
const Path = Type.String({
  pattern: '^(?!__proto__(\\.|$))[^.\\s]+(\\.(?!__proto__(\\.|$))[^.\\s]+)*$',
  maxLength: 500,
});
const Key = Type.String({ pattern: '^(?!__proto__$)[^.\\s]+$', maxLength: 200 });
const ContentType = Type.String({ pattern: '^[!-~]+/[ -~]+$', maxLength: 200 });

const XmlOptions = Type.Object(
  {
    root: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z_][A-Za-z0-9_.-]*$',
        maxLength: 200,
        default: 'root',
        description: 'Element around what is written, where it is no object with a single key.',
      }),
    ),
    lists: Type.Optional(
      Type.Array(Path, {
        maxItems: 200,
        description:
          'Elements that are lists in JSON also when there is one of them, by their path from the root element: `order.items.item`.',
      }),
    ),
    numbers: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether texts that are numbers, `true` or `false` in JSON are read as such.',
      }),
    ),
  },
  { ...closed, description: 'How XML is read and written.' },
);
export type XmlOptions = Type.Static<typeof XmlOptions>;

const bodyProperties = {
  from: Type.Optional(OneOf(['json', 'xml'], { default: 'json', description: 'What bodies are read as.' })),
  to: Type.Optional(OneOf(['json', 'xml'], { default: 'json', description: 'What bodies are written as.' })),
  xml: Type.Optional(XmlOptions),
  unwrap: Type.Optional({ ...Path, description: 'Puts the value at this path in place of the whole.' }),
  pick: Type.Optional(
    Type.Array(Path, { minItems: 1, maxItems: 200, description: 'Keeps only what is at these paths: `items.price`.' }),
  ),
  drop: Type.Optional(
    Type.Array(Path, { minItems: 1, maxItems: 200, description: 'Leaves out what is at these paths.' }),
  ),
  rename: Type.Optional(
    Type.Record(Path, Key, { ...closed, maxProperties: 100, description: 'New names, by path: `customer.nm: name`.' }),
  ),
  wrap: Type.Optional({ ...Path, description: 'Puts the whole under this path.' }),
  body: Type.Optional({
    ...Expression,
    description: 'A CEL expression that gives the body. It sees as `body` what the options before it made.',
  }),
  contentType: Type.Optional({
    ...ContentType,
    description: 'The new Content-Type. Default: that of what is written.',
  }),
};

const QueryOptions = Type.Object(
  {
    rename: Type.Optional(
      Type.Record(Type.String(), Type.String({ minLength: 1, maxLength: 200 }), {
        maxProperties: 100,
        description: 'New names of parameters.',
      }),
    ),
    remove: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 100, description: 'Parameters that go.' }),
    ),
    set: Type.Optional(
      Type.Record(Type.String(), Expression, {
        maxProperties: 100,
        description:
          'Parameters by name, with a CEL expression for the value; they replace those of the client. Where an expression has no value there is no parameter; a list gives several.',
      }),
    ),
    add: Type.Optional(
      Type.Record(Type.String(), Expression, {
        maxProperties: 100,
        description: 'The same, beside those of the client.',
      }),
    ),
  },
  { ...closed, description: 'Changes of the query, in this order: rename, remove, set, add.' },
);
export type QueryOptions = Type.Static<typeof QueryOptions>;

export const TransformOptions = Type.Object(
  {
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({
        ...Size,
        default: '1mb',
        description:
          'Largest body that is changed, before and after. A larger request is refused with 413, an answer 502.',
      }),
    ),
    request: Type.Optional(Type.Object({ query: Type.Optional(QueryOptions), ...bodyProperties }, closed)),
    response: Type.Optional(
      Type.Object(
        {
          when: Type.Optional({
            ...Expression,
            description:
              'A CEL expression that says whether an answer is changed. Default: `status >= 200 && status < 300`.',
          }),
          status: Type.Optional(
            Type.Integer({ minimum: 200, maximum: 599, description: 'The status of answers that are changed.' }),
          ),
          ...bodyProperties,
        },
        closed,
      ),
    ),
  },
  {
    ...closed,
    description:
      'Changes requests and answers. Bodies of JSON (or XML) are held for that, on these routes and no others; other bodies pass. Expressions see `body`, `request` (`method`, `path`, `host`, `address`, `headers`, `query`), `params`, `viewer`, `claims`, and for answers `status` and `headers`.',
  },
);
export type TransformOptions = Type.Static<typeof TransformOptions>;
export type BodyOptions = NonNullable<TransformOptions['request']>;

/** What is wrong with options that fit the schema. */
export function findTransformMistakes(options: TransformOptions | undefined): Mistake[] {
  const { request, response } = options ?? {};
  const queries = (['set', 'add'] as const).flatMap((list) =>
    Object.entries(request?.query?.[list] ?? {}).map(
      ([name, source]) => [['request', 'query', list, name], source] as const,
    ),
  );
  return [
    ...queries.flatMap(([path, source]) => findMistake(path, () => parseTransformExpression(source, 'query'))),
    ...findMistake(['request', 'body'], () => parseIf(request?.body, 'request')),
    ...findMistake(['response', 'body'], () => parseIf(response?.body, 'response')),
    ...findMistake(['response', 'when'], () => parseIf(response?.when, 'response', 'bool')),
    ...(response !== undefined && Object.keys(response).every((key) => key === 'when' || key === 'xml')
      ? [{ path: ['response'], message: 'expected something to change: `body`, `pick`, `drop`, `to`, `status`, ...' }]
      : []),
    ...(['request', 'response'] as const)
      .filter((part) => options?.[part]?.xml !== undefined)
      .filter((part) => options?.[part]?.from !== 'xml' && options?.[part]?.to !== 'xml')
      .map((part) => ({ path: [part, 'xml'], message: '`xml` stands with `from: xml` or `to: xml`' })),
  ];
}

function parseIf(source: string | undefined, place: 'request' | 'response', returns: 'bool' | 'dyn' = 'dyn'): void {
  if (source !== undefined) parseTransformExpression(source, place, returns);
}

function findMistake(path: readonly string[], parse: () => unknown): Mistake[] {
  try {
    parse();
    return [];
  } catch (error) {
    if (error instanceof ExpressionMistake) return [{ path, message: error.message }];
    throw error;
  }
}
