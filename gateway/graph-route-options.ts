/** `rest` of the configuration: REST routes that are bound to GraphQL documents. */
import { type DocumentNode, getOperationAST, Kind, type OperationDefinitionNode, parse } from 'graphql';
import Type from 'typebox';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { ownRouteProperties } from './own-route-options.ts';
import { listParams } from './path-params.ts';

const closed = { additionalProperties: false } as const;
const name = '^[_A-Za-z][_0-9A-Za-z]*$';
export const pointerPattern = '^(/([^~/]|~[01])*)*$';

export const GraphRoute = Type.Object(
  {
    document: Type.String({
      minLength: 1,
      maxLength: 100_000,
      description:
        'The GraphQL document, or `file:` with the name of one, from the folder of the configuration on. It is trusted: answered also where clients may only ask persisted operations.',
      examples: ['file:./order.graphql', 'query Order($id: ID!) { order(id: $id) { id total } }'],
    }),
    operationName: Type.Optional(
      Type.String({ pattern: name, description: 'The operation, where the document has several.' }),
    ),
    variables: Type.Optional(
      Type.Record(
        Type.String({ pattern: name }),
        Type.String({ pattern: '^(params\\.[A-Za-z_]\\w*|query\\.[^\\s]+|headers\\.[a-z0-9-]+|body(\\.[^\\s]+)?)$' }),
        {
          ...closed,
          description:
            'Where variables come from: `params.id`, `query.first`, `headers.x-tenant`, `body` or `body.note`. Default: the parameter of the path that has the same name, else that of the query, or with a body its member. Texts become what the type of the variable wants.',
          examples: [{ id: 'params.id', first: 'query.limit', input: 'body' }],
        },
      ),
    ),
    select: Type.Optional(
      Type.String({
        pattern: pointerPattern,
        maxLength: 512,
        description:
          'JSON Pointer (RFC 6901) of what is answered, in `data`. Where it is null there, and no error says why, the answer is 404. Default: all of `data`.',
        examples: ['/order'],
      }),
    ),
    status: Type.Optional(
      Type.Integer({
        minimum: 200,
        maximum: 299,
        default: 200,
        description: 'Status of a success, e.g. 201 of a POST.',
      }),
    ),
    errors: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,100}$' }), Type.Integer({ minimum: 400, maximum: 599 }), {
        ...closed,
        description:
          'Statuses by code of the error, where nothing could be answered. Default: that of the code in `docs/errors.md`; 400 for `BAD_USER_INPUT`, else 502.',
        examples: [{ OUT_OF_STOCK: 409 }],
      }),
    ),
    summary: Type.Optional(Type.String({ maxLength: 200, description: 'For `/openapi.json`.' })),
    deprecated: Type.Optional(Type.Boolean({ default: false, description: 'For `/openapi.json`.' })),
    ...ownRouteProperties,
  },
  closed,
);
export type GraphRoute = Type.Static<typeof GraphRoute>;

const segment = '([A-Za-z0-9._~-]+|:[A-Za-z_][A-Za-z0-9_]*)';

export const GraphRoutes = Type.Record(
  Type.String({ pattern: `^(GET|POST|PUT|PATCH|DELETE) (/${segment})+$` }),
  GraphRoute,
  {
    ...closed,
    description:
      'REST from the graph: by method and path, e.g. `GET /rest/orders/:id`, the document that answers. They come before routes of services.',
  },
);

/** The operation of a route. Throws an error whose message says what is wrong. */
export function readOperation({ document, operationName }: Pick<GraphRoute, 'document' | 'operationName'>): {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
} {
  const parsed = parse(document, { maxTokens: 10_000 });
  const operation = getOperationAST(parsed, operationName);
  if (operation != null) return { document: parsed, operation };
  const operations = parsed.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  if (operationName !== undefined) throw new Error(`the document has no operation ${operationName}`);
  throw new Error(
    operations.length === 0
      ? 'the document has no operation'
      : 'the document has several operations: say `operationName`',
  );
}

/** What is wrong with routes that fit the schema, as far as no graph has to be known. */
export function findGraphRouteMistakes(routes: Readonly<Record<string, GraphRoute>>): Mistake[] {
  return Object.entries(routes).flatMap(([key, route]) =>
    findMistakes(key, route).map(({ path, message }) => ({ path: ['rest', key, ...path], message })),
  );
}

function findMistakes(key: string, route: GraphRoute): Mistake[] {
  if (route.document.startsWith('file:')) return [];
  let operation: OperationDefinitionNode;
  try {
    ({ operation } = readOperation(route));
  } catch (error) {
    return [{ path: ['document'], message: error instanceof Error ? error.message : String(error) }];
  }
  const [method = '', path = ''] = key.split(' ');
  const mistakes: Mistake[] = [];
  if (operation.operation === 'subscription')
    mistakes.push({ path: ['document'], message: 'a subscription has no single answer' });
  if (operation.operation === 'mutation' && method === 'GET')
    mistakes.push({ path: ['document'], message: 'a mutation cannot be a GET, which changes nothing' });
  const declared = new Set((operation.variableDefinitions ?? []).map(({ variable }) => variable.name.value));
  const params = listParams(path);
  for (const [variable, source] of Object.entries(route.variables ?? {})) {
    const at = ['variables', variable];
    if (!declared.has(variable)) mistakes.push({ path: at, message: `the operation has no variable $${variable}` });
    const [from, ...keys] = source.split('.');
    if (from === 'params' && !params.has(keys.join('.')))
      mistakes.push({ path: at, message: `the path has no \`:${keys.join('.')}\`` });
    if (from === 'body' && (method === 'GET' || method === 'DELETE'))
      mistakes.push({ path: at, message: `a ${method} has no body here` });
  }
  return mistakes;
}
