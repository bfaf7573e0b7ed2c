import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const json = { 'content-type': 'application/json' };

async function startRoute(t: TestContext, options: object) {
  const seen: string[] = [];
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push(body);
    response.end();
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/shop/:id' }, ...options }]);
  return { url: `${gateway.url}/shop/7`, gateway, seen };
}

interface Problem {
  readonly code: string;
  readonly errors?: readonly { in: string; pointer: string; message: string }[];
}

async function send(url: string, body: string | undefined, headers: Record<string, string> = json, method = 'POST') {
  const answer = await ask(url, { method, headers, ...(body !== undefined && { body }) });
  const problem = answer.text === '' ? undefined : (JSON.parse(answer.text) as Problem);
  return { status: answer.status, problem, pointers: problem?.errors?.map((error) => `${error.in} ${error.pointer}`) };
}

const order = {
  type: 'object',
  required: ['items'],
  additionalProperties: false,
  properties: {
    items: { type: 'array', minItems: 1, items: { $ref: '#/$defs/item' } },
    mail: { type: 'string', format: 'email' },
    'a/b': { const: 1 },
  },
  $defs: {
    item: { type: 'object', required: ['sku'], properties: { sku: { type: 'string', pattern: '^[A-Z]{2}-\\d+$' } } },
  },
};

test('a body that does not fit is refused with pointers, and the service hears nothing of it', async (t) => {
  const { url, seen } = await startRoute(t, { validate: { body: order } });
  const bad = await send(
    url,
    JSON.stringify({ items: [{ sku: 'AB-1' }, { sku: 'x' }, {}], mail: 'no', 'a/b': 2, more: 1 }),
  );
  assert.equal(bad.status, 422);
  assert.equal(bad.problem?.code, 'VALIDATION_FAILED');
  assert.deepEqual([...(bad.pointers ?? [])].sort(), [
    'body /a~1b',
    'body /items/1/sku',
    'body /items/2/sku',
    'body /mail',
    'body /more',
  ]);
  assert.equal(bad.problem?.errors?.find((error) => error.pointer === '/items/2/sku')?.message, 'is missing');
  assert.deepEqual((await send(url, undefined)).pointers, ['body ']);
  assert.equal((await send(url, '{')).status, 400);
  assert.equal((await send(url, '{"items":[{"sku":"AB-1"}],"items":[]}')).status, 400);
  assert.equal((await send(url, 'items=1', { 'content-type': 'application/x-www-form-urlencoded' })).status, 415);
  assert.equal((await send(url, '{}', { 'content-type': '' })).status, 415);
  assert.deepEqual(seen, []);
  const text = '{ "items": [ {"sku":"AB-1", "n": 12345678901234567890} ] }';
  assert.equal((await send(url, text, { ...json, 'transfer-encoding': 'chunked' })).status, 200);
  assert.equal((await send(url, undefined, {}, 'GET')).status, 200);
  assert.deepEqual(seen, [text, '']);
});

test('properties may be called like keywords, and a schema may refer to itself below a property', async (t) => {
  const body = {
    properties: { type: { pattern: '^a$' }, enum: { pattern: '^a$' }, $id: { const: 1 }, child: { $ref: '#' } },
    uniqueItems: true,
  };
  const { url } = await startRoute(t, { validate: { body } });
  assert.equal((await send(url, '{"type":"a","$id":1,"child":{"enum":"a"}}')).status, 200);
  assert.deepEqual((await send(url, '{"type":"b","child":{"enum":"b","$id":2}}')).pointers?.sort(), [
    'body /child/$id',
    'body /child/enum',
    'body /type',
  ]);
  assert.deepEqual((await send(url, JSON.stringify(Array.from({ length: 100_000 }, () => 1)))).pointers, ['body ']);
});

test('parameters are texts that become what their schema wants, and one that is there twice is a list', async (t) => {
  const validate = {
    query: {
      properties: {
        limit: { type: 'integer', maximum: 100 },
        deep: { type: 'boolean' },
        tags: { type: 'array', items: { type: 'string', maxLength: 3 } },
      },
      additionalProperties: false,
    },
    headers: { required: ['x-tenant'], properties: { 'x-tenant': { pattern: '^[a-z]+$' } } },
    params: { properties: { id: { type: 'integer', minimum: 5 } } },
  };
  const { url } = await startRoute(t, { validate });
  const tenant = { 'x-tenant': 'a' };
  const get = (query: string, headers: Record<string, string> = tenant) => send(url + query, undefined, headers, 'GET');
  assert.equal((await get('?limit=10&deep=true&tags=a&tags=b')).status, 200);
  assert.equal((await get('?tags=a')).status, 200);
  assert.deepEqual((await get('?limit=101&deep=1&tags=long')).pointers?.sort(), [
    'query /deep',
    'query /limit',
    'query /tags/0',
  ]);
  assert.deepEqual((await get('?limit=1&limit=999')).pointers, ['query /limit']);
  assert.deepEqual((await get('?other=1')).pointers, ['query /other']);
  assert.deepEqual((await get('', {})).pointers, ['header /x-tenant']);
  assert.deepEqual((await send(url.replace('/7', '/4'), undefined, tenant, 'GET')).pointers, ['path /id']);
});

test('`log` lets everything pass, counts it and says what was wrong', async (t) => {
  const { url, gateway, seen } = await startRoute(t, {
    validate: { mode: 'log', maxBodySize: '1kb', body: order, query: { required: ['a'] } },
  });
  const large = JSON.stringify({ items: 'x'.repeat(5_000) });
  for (const body of ['{"items":0}', '{', large]) assert.equal((await send(url, body)).status, 200);
  assert.equal((await send(url, 'text', { 'content-type': 'text/plain' })).status, 200);
  assert.deepEqual(seen, ['{"items":0}', '{', large, 'text']);
  const lines = gateway.lines.filter((line) => line['msg'] === 'a request is not valid');
  assert.equal(lines.length, 7);
  const metrics = await gateway.admin('GET', '/metrics');
  const counts = [
    ...String(metrics.body).matchAll(/selvage_invalid_messages_total\{.*mode="log",code="(\w+)".*\} (\d+)/g),
  ];
  assert.deepEqual(Object.fromEntries(counts.map(([, code, count]) => [code, Number(count)])), {
    VALIDATION_FAILED: 5,
    BAD_REQUEST: 1,
    UNSUPPORTED_MEDIA_TYPE: 1,
  });
});

test('validation sees the request as it came, and the transformation what is valid', async (t) => {
  const { url, seen } = await startRoute(t, {
    validate: { body: { type: 'object', required: ['a'] } },
    transform: { request: { body: '{"b": body.a}' } },
  });
  assert.equal((await send(url, '{"a":12345678901234567890}')).status, 200);
  assert.equal((await send(url, '{"b":1}')).status, 422);
  assert.deepEqual(seen, ['{"b":12345678901234567890}']);
});

test('a body over the limit is refused with 413', async (t) => {
  const { url } = await startRoute(t, { validate: { body: true, maxBodySize: '1kb' } });
  assert.equal((await send(url, JSON.stringify('x'.repeat(2_000)))).status, 413);
  assert.equal(
    (await send(url, JSON.stringify('x'.repeat(2_000)), { ...json, 'transfer-encoding': 'chunked' })).status,
    413,
  );
});

test('schemas that lead out of themselves, in circles, or take long are mistakes at registration', async (t) => {
  const gateway = await startGateway(t);
  const refuse = async (validate: object) => {
    const body = { routes: [{ match: { path: '/x' }, validate }], instances: [{ url: 'http://127.0.0.1:1' }] };
    const answer = await gateway.admin('PUT', '/services/x', body);
    assert.equal(answer.status, 400, JSON.stringify(validate));
    return JSON.stringify(answer.body.reasons);
  };
  assert.match(await refuse({}), /expected something to validate/);
  assert.match(await refuse({ body: { $ref: 'http://127.0.0.1/x' } }), /validate\/body\/\$ref.*within the document/);
  assert.match(await refuse({ body: { $ref: 'file:///etc/passwd' } }), /within the document/);
  assert.match(await refuse({ body: { $ref: '#/$defs/none' } }), /leads to nothing/);
  assert.match(await refuse({ body: { $ref: '#' } }), /leads back to itself/);
  assert.match(await refuse({ body: { properties: { a: { type: 'strin' } } } }), /properties\/a\/type.*no value that/);
  assert.match(await refuse({ body: { properties: { a: { pattern: '(a+)+$' } } } }), /pattern is refused/);
  assert.match(await refuse({ body: { allOf: { type: 'string' } } }), /allOf/);
  const $defs: Record<string, object> = { d30: {} };
  for (let i = 0; i < 30; i++)
    $defs[`d${i}`] = { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] };
  assert.match(await refuse({ body: { $ref: '#/$defs/d0', $defs } }), /alternatives and references are more than/);
  assert.match(await refuse({ headers: { required: ['X-Tenant'] } }), /lower case/);
});
