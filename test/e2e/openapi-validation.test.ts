import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { findOpenapiMistakes } from '../../policies/openapi-document.ts';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const json = { 'content-type': 'application/json' };

const document = {
  openapi: '3.0.3',
  info: { title: 'orders', version: '1' },
  servers: [{ url: 'https://orders.example/v1' }],
  paths: {
    '/orders': {
      parameters: [{ $ref: '#/components/parameters/tenant' }],
      get: {
        parameters: [
          { in: 'query', name: 'limit', required: true, schema: { type: 'integer', maximum: 100 } },
          { in: 'query', name: 'tags', explode: false, schema: { type: 'array', items: { type: 'integer' } } },
          { in: 'query', name: 'ids', schema: { type: 'array', items: { type: 'integer' } } },
          {
            in: 'query',
            name: 'filter',
            style: 'deepObject',
            schema: { type: 'object', properties: { min: { type: 'number' } }, additionalProperties: false },
          },
        ],
        responses: {
          200: { content: { 'application/json': { schema: { type: 'array', items: { type: 'integer' } } } } },
        },
      },
      post: {
        requestBody: {
          required: true,
          content: {
            'application/json': { schema: { $ref: '#/components/schemas/Order' } },
            'text/*': {},
          },
        },
        responses: { 201: { $ref: '#/components/responses/Made' } },
      },
    },
    '/orders/{id}': { get: { parameters: [{ $ref: '#/components/parameters/id' }], responses: {} } },
    '/orders/latest': { get: { responses: {} } },
  },
  components: {
    parameters: {
      tenant: { in: 'header', name: 'X-Tenant', schema: { type: 'string', pattern: '^[a-z]+$' } },
      id: { in: 'path', name: 'id', required: true, schema: { type: 'integer' } },
    },
    responses: { Made: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } } } },
    schemas: {
      Order: {
        type: 'object',
        required: ['sku', 'id'],
        properties: {
          id: { type: 'integer', format: 'int64', readOnly: true },
          sku: { type: 'string' },
          note: { type: 'string', nullable: true },
          count: { type: 'integer', minimum: 0, exclusiveMinimum: true },
          parent: { nullable: true, allOf: [{ $ref: '#/components/schemas/Order' }] },
        },
      },
    },
  },
};

interface Problem {
  readonly code?: string;
  readonly errors?: readonly { in: string; pointer: string; message: string }[];
}

async function start(
  t: TestContext,
  validate: object,
  answer?: (request: IncomingMessage, to: ServerResponse) => void,
) {
  const service = await startServer(t, async (request, response) => {
    for await (const _ of request);
    if (answer === undefined) response.end();
    else answer(request, response);
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/api/*' }, rewrite: '/v1/*', validate }]);
  const send = async (method: string, path: string, body?: string, headers: Record<string, string> = json) => {
    const asked = { method, headers, ...(body !== undefined && { body }) };
    const { status, text } = await ask(`${gateway.url}/api${path}`, asked);
    const problem = (text.startsWith('{') ? JSON.parse(text) : {}) as Problem;
    return { status, text, found: problem.errors?.map((error) => `${error.in} ${error.pointer}`).sort() };
  };
  return { gateway, send };
}

test('operations are found by method and path at the service, and their parameters count', async (t) => {
  const { send } = await start(t, { openapi: { document } });
  const get = (path: string, headers: Record<string, string> = {}) => send('GET', path, undefined, headers);
  assert.equal((await get('/orders?limit=5&tags=1,2&ids=1&ids=2&filter[min]=1.5', { 'x-tenant': 'a' })).status, 200);
  assert.deepEqual((await get('/orders?tags=1,b&ids=c&filter[min]=x&filter[y]=1', { 'x-tenant': 'A' })).found, [
    'header /X-Tenant',
    'query /filter/min',
    'query /filter/y',
    'query /ids/0',
    'query /limit',
    'query /tags/1',
  ]);
  assert.equal((await get('/orders/7')).status, 200);
  assert.deepEqual((await get('/orders/seven')).found, ['path /id']);
  assert.equal((await get('/orders/latest')).status, 200);
  assert.equal((await send('HEAD', '/orders/7', undefined, {})).status, 200);
  assert.deepEqual((await get('/none')).found, ['path ']);
  assert.deepEqual((await send('DELETE', '/orders', undefined, {})).found, ['path ']);
});

test('bodies count by content type, with what 3.0 means by `nullable`, `readOnly` and exclusive limits', async (t) => {
  const { send } = await start(t, { openapi: { document, unknown: 'pass' } });
  assert.equal((await send('POST', '/orders', '{"sku":"a","note":null,"count":1,"parent":null}')).status, 200);
  assert.deepEqual(
    (await send('POST', '/orders', '{"note":1,"count":0,"parent":{"sku":1}}')).found?.[0],
    'body /count',
  );
  assert.deepEqual((await send('POST', '/orders')).found, ['body ']);
  assert.equal((await send('POST', '/orders', '{')).status, 400);
  assert.equal((await send('POST', '/orders', 'text', { 'content-type': 'text/plain' })).status, 200);
  assert.equal((await send('POST', '/orders', '<a/>', { 'content-type': 'application/xml' })).status, 415);
  assert.equal((await send('DELETE', '/none')).status, 200);
});

test('what is refused before its body is looked into is counted and logged by its code', async (t) => {
  const { send, gateway } = await start(t, { openapi: { document }, maxBodySize: '1kb' });
  assert.equal((await send('POST', '/orders', '{')).status, 400);
  assert.equal((await send('POST', '/orders', JSON.stringify('x'.repeat(2_000)))).status, 413);
  assert.equal((await send('POST', '/orders', 'a', { 'content-type': 'image/png' })).status, 415);
  assert.equal((await send('POST', '/orders', '{}')).status, 422);
  const codes = ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'VALIDATION_FAILED'];
  const lines = gateway.lines.filter((line) => line['msg'] === 'a request was refused');
  assert.deepEqual(
    lines.map((line) => line['code']),
    codes,
  );
  const metrics = String((await gateway.admin('GET', '/metrics')).body);
  for (const code of codes) assert.match(metrics, new RegExp(`invalid_messages_total\\{[^}]*code="${code}"[^}]*\\} 1`));
});

test('answers that are not as the document says pass, and are logged and counted', async (t) => {
  const bodies = ['[1,2]', '[1,"two"]', 'no json'];
  const { send, gateway } = await start(t, { openapi: { document }, responses: 'log' }, (_, response) => {
    response.setHeader('content-type', 'application/json').end(bodies.shift());
  });
  for (const body of [...bodies]) assert.equal((await send('GET', '/orders?limit=1')).text, body);
  const found = () => gateway.lines.filter((line) => line['msg'] === 'an answer is not valid');
  await until(() => found().length === 2, 'two lines');
  assert.deepEqual(found()[0]?.['mistakes'], [{ in: 'body', pointer: '/1', message: 'must be integer' }]);
  const metrics = String((await gateway.admin('GET', '/metrics')).body);
  assert.match(metrics, /invalid_messages_total\{[^}]*of="answer"[^}]*\} 2/);
});

test('a service tells its document: requests pass or wait for it as the route says', async (t) => {
  for (const whileMissing of ['pass', 'refuse'] as const) {
    let isThere = false;
    const { send, gateway } = await start(t, { openapi: { service: '/openapi.json', whileMissing } }, (request, to) => {
      if (request.url !== '/openapi.json') to.end();
      else if (isThere) to.setHeader('content-type', 'application/json').end(JSON.stringify(document));
      else to.writeHead(404).end();
    });
    assert.equal((await send('GET', '/orders/seven', undefined, {})).status, whileMissing === 'pass' ? 200 : 503);
    await until(() => gateway.lines.some((line) => line['msg'] === 'an OpenAPI document cannot be used'), 'a line');
    const metrics = String((await gateway.admin('GET', '/metrics')).body);
    assert.match(metrics, /invalid_messages_total\{[^}]*code="SERVICE_UNAVAILABLE"[^}]*\} 1/);
    isThere = true;
    await until(async () => (await send('GET', '/orders/seven', undefined, {})).status === 422, 'a document');
  }
});

test('documents with mistakes, or that lead out of themselves, are refused at registration', async (t) => {
  const gateway = await startGateway(t);
  const refuse = async (openapi: unknown, more: object = {}) => {
    const validate = { openapi, ...more };
    const body = { routes: [{ match: { path: '/x' }, validate }], instances: [{ url: 'http://127.0.0.1:1' }] };
    const answer = await gateway.admin('PUT', '/services/x', body);
    assert.equal(answer.status, 400, JSON.stringify(openapi));
    return JSON.stringify(answer.body.reasons);
  };
  const withSchema = (schema: object) => ({ document: { ...document, components: { schemas: { Order: schema } } } });
  assert.match(await refuse({}), /either `document` or `service`/);
  assert.match(await refuse('file:/etc/passwd'), /openapi/);
  assert.match(await refuse({ document: { swagger: '2.0' } }), /version 3.0 or 3.1/);
  assert.match(await refuse({ document: { openapi: '3.1.0' } }), /paths/);
  assert.match(await refuse(withSchema({ $ref: 'other.yaml#/x' })), /within the document/);
  assert.match(await refuse(withSchema({ pattern: '(a+)+$' })), /pattern is refused/);
  const deep = `{"openapi":"3.1.0","paths":{},"x":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`;
  assert.deepEqual(findOpenapiMistakes(JSON.parse(deep)), [{ path: [], message: 'the document is nested too deep' }]);
  const paths = { '/{a}{b}': {}, '/y': { get: { parameters: [{ $ref: 'http://a/b' }] } } };
  assert.match(await refuse({ document: { openapi: '3.1.0', paths } }), /text between them.*`in` and `name`/);
  const body = { routes: [{ match: { path: '/x' }, validate: { body: true, responses: 'log' } }] };
  assert.match(JSON.stringify((await gateway.admin('PUT', '/services/x', body)).body), /expected `openapi` beside it/);
});
