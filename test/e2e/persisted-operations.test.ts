import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { redisControlSkipReason, redisSkipReason, startRedis } from '../support/redis.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

type Start = Parameters<typeof startGateway>[0];

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
const [a, b, deep] = ['query A { a }', 'query B { b }', 'query D { me { me { me { id } } } }'];
const node = { id: '1', me: () => node };

async function open(t: Start, graphql: GatewayConfig['graphql'], config: GatewayConfig = {}): Promise<TestGateway> {
  const apiKeys = [{ name: 'ops', sha256: hashOf('ops') }];
  const gateway = await startGateway(t, { authentication: { apiKeys }, ...config, graphql: { ...graphql } });
  const service = await startSubgraph(
    t,
    'type Query { a: Int b: Int me: Node } type Node { id: ID me: Node } type Mutation { m: Int }',
    { Query: { a: () => 1, b: () => 2, me: () => node }, Mutation: { m: () => 3 } },
  );
  await registerGraphql(gateway, 'one', service.url);
  return gateway;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly data: unknown;
  readonly code: string | undefined;
  readonly message: string | undefined;
}

async function post({ url }: TestGateway, body: unknown, headers: object = {}): Promise<Answer> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
  return read(await fetch(`${url}/graphql`, init));
}

async function get({ url }: TestGateway, params: Record<string, string>): Promise<Answer> {
  return read(await fetch(`${url}/graphql?${new URLSearchParams(params)}`));
}

async function read(response: Response): Promise<Answer> {
  const { data, errors } = await response.json();
  const { status, headers } = response;
  return { status, headers, data, code: errors?.[0].extensions.code, message: errors?.[0].message };
}

const automatic = (text: string) => ({ extensions: { persistedQuery: { version: 1, sha256Hash: hashOf(text) } } });
const modern = { accept: 'application/graphql-response+json' };
const long = { accept: 'application/json; charset=utf-8' };

async function writeManifest(t: Start, manifest: unknown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-manifest-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'manifest.json');
  await writeFile(path, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  return path;
}

test('a client sends a hash, then the text once, then the hash only', async (t) => {
  const gateway = await open(t, {});
  const miss = await post(gateway, automatic(a));
  assert.deepEqual(
    [miss.status, miss.code, miss.message],
    [200, 'PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound'],
  );
  assert.equal(miss.headers.get('cache-control'), 'private, no-cache, must-revalidate');
  assert.equal((await post(gateway, automatic(a), modern)).status, 400);
  assert.deepEqual((await post(gateway, { query: a, ...automatic(a) })).data, { a: 1 });
  for (const headers of [{}, modern, long])
    assert.deepEqual((await post(gateway, automatic(a), headers)).data, { a: 1 });
  const extensions = JSON.stringify(automatic(a).extensions);
  assert.deepEqual((await get(gateway, { extensions })).data, { a: 1 });
  assert.deepEqual((await get(gateway, { documentId: `sha256:${hashOf(a)}` })).data, { a: 1 });
  assert.deepEqual((await post(gateway, { documentId: `sha256:${hashOf(a)}` })).data, { a: 1 });
});

test('a text is only kept under its own hash, and only when it is valid and within the limits', async (t) => {
  const gateway = await open(t, { limits: { depth: 3 } });
  const forged = await post(gateway, { query: b, ...automatic(a) });
  assert.deepEqual([forged.status, forged.code], [400, 'PERSISTED_QUERY_MISMATCH']);
  for (const text of ['{ unknown }', '{ a ', deep]) {
    assert.ok((await post(gateway, { query: text, ...automatic(text) })).code);
    assert.equal((await post(gateway, automatic(text))).code, 'PERSISTED_QUERY_NOT_FOUND', text);
  }
  const odd: readonly object[] = [
    { extensions: { persistedQuery: { version: 2, sha256Hash: hashOf(a) } } },
    { extensions: { persistedQuery: { version: 1, sha256Hash: 7 } } },
    { documentId: '' },
    { documentId: 'x'.repeat(1_000) },
    { documentId: {} },
    { documentId: 'one', id: 'two' },
  ];
  for (const body of odd) {
    for (const headers of [{}, long]) {
      const { status, code } = await post(gateway, body, headers);
      assert.deepEqual([status, code], [400, 'BAD_REQUEST'], JSON.stringify(body));
    }
  }
  assert.equal((await post(gateway, { extensions: { persistedQuery: null } })).code, 'BAD_REQUEST');
});

test('a mutation is not executed by GET, by whatever name it goes', async (t) => {
  const gateway = await open(t, {});
  const text = 'mutation { m }';
  assert.deepEqual((await post(gateway, { query: text, ...automatic(text) })).data, { m: 3 });
  assert.equal((await get(gateway, { documentId: hashOf(text) })).status, 405);
});

test('where persisted queries are off the client is told so', async (t) => {
  const gateway = await open(t, { persistedOperations: { apq: false } });
  const refused = await post(gateway, automatic(a));
  assert.deepEqual(
    [refused.status, refused.code, refused.message],
    [400, 'PERSISTED_QUERY_NOT_SUPPORTED', 'PersistedQueryNotSupported'],
  );
  assert.deepEqual((await post(gateway, { query: a, ...automatic(a) })).data, { a: 1 });
});

test('trusted documents are answered in every form of the request, and nothing else is', async (t) => {
  const operations = [
    { id: hashOf(a), name: 'A', type: 'query', body: a },
    { id: 'b-1', name: 'B', type: 'query', body: b },
  ];
  const path = await writeManifest(t, { format: 'apollo-persisted-query-manifest', version: 1, operations });
  const source = `file:${path}`;
  const gateway = await open(t, {
    maxBatchSize: 5,
    persistedOperations: { mode: 'enforce', source, allowArbitrary: ['api-key:ops'] },
  });
  const allowed = [
    { documentId: 'b-1' },
    { id: 'b-1' },
    { extensions: { persistedQuery: { version: 1, sha256Hash: 'b-1' } } },
    { query: b },
    { query: b, documentId: 'b-1' },
  ];
  for (const headers of [{}, long, modern]) {
    for (const body of allowed)
      assert.deepEqual((await post(gateway, body, headers)).data, { b: 2 }, JSON.stringify(body));
    assert.deepEqual((await post(gateway, automatic(a), headers)).data, { a: 1 });
    assert.deepEqual((await post(gateway, { documentId: `sha256:${hashOf(a)}` }, headers)).data, { a: 1 });
    const refusals: readonly (readonly [object, string])[] = [
      [{ query: '{ a }' }, 'PERSISTED_QUERY_REQUIRED'],
      [{ query: '{ __schema { types { name } } }' }, 'PERSISTED_QUERY_REQUIRED'],
      [{ query: '{ a }', ...automatic('{ a }') }, 'PERSISTED_QUERY_REQUIRED'],
      [{}, 'PERSISTED_QUERY_REQUIRED'],
      [{ query: '{ a }', documentId: 'b-1' }, 'PERSISTED_QUERY_MISMATCH'],
      [{ documentId: 'c' }, 'PERSISTED_QUERY_NOT_FOUND'],
      [automatic('{ a }'), 'PERSISTED_QUERY_NOT_FOUND'],
    ];
    for (const [body, code] of refusals) {
      const refused = await post(gateway, body, headers);
      assert.deepEqual([refused.status, refused.code], [400, code], JSON.stringify(body));
    }
  }
  for (const params of [
    { documentId: 'b-1' },
    { id: 'b-1' },
    { extensions: '{"persistedQuery":{"version":1,"sha256Hash":"b-1"}}' },
  ] as const)
    assert.deepEqual((await get(gateway, { ...params })).data, { b: 2 });
  assert.equal((await get(gateway, { query: '{ a }' })).code, 'PERSISTED_QUERY_REQUIRED');
  const batch = [{ documentId: 'b-1' }, { query: '{ a }' }, { id: hashOf(a) }];
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(batch),
  });
  const answers: { data?: unknown; errors?: { extensions: { code: string } }[] }[] = await response.json();
  assert.deepEqual(
    answers.map(({ data, errors }) => data ?? errors?.[0]?.extensions.code),
    [{ b: 2 }, 'PERSISTED_QUERY_REQUIRED', { a: 1 }],
  );
  assert.deepEqual((await post(gateway, { query: '{ a }' }, { 'x-api-key': 'ops' })).data, { a: 1 });
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /selvage_graphql_trusted_documents 2/);
  assert.match(body, /selvage_graphql_persisted_operations_total\{outcome="refused",client=""\}/);
});

test('limits hold for trusted documents too, unless they are trusted with that', async (t) => {
  const path = await writeManifest(t, { d: deep });
  for (const trustPersisted of [false, true]) {
    const persistedOperations = { mode: 'log', source: `file:${path}`, trustPersisted } as const;
    const gateway = await open(t, { limits: { depth: 2, tokens: 8, documentSize: '20b' }, persistedOperations });
    const answer = await post(gateway, { id: 'd' });
    assert.equal(answer.code, trustPersisted ? undefined : 'DOCUMENT_TOO_LARGE');
    assert.equal((await post(gateway, { query: '{ me { me { me { id } } } }' })).code, 'DOCUMENT_TOO_LARGE');
    assert.equal((await post(gateway, { query: '{a{b{c{d}}}}' })).code, 'TOO_MANY_TOKENS');
  }
});

test('in mode log everything passes, and what is not listed is told by the name of the client', async (t) => {
  const path = await writeManifest(t, { one: a });
  const gateway = await open(t, { persistedOperations: { mode: 'log', source: `file:${path}` } });
  for (let i = 0; i < 3; i++)
    assert.deepEqual((await post(gateway, { query: b }, { 'graphql-client-name': 'old app' })).data, { b: 2 });
  assert.deepEqual((await post(gateway, { query: a })).data, { a: 1 });
  const told = gateway.lines.filter(({ msg }) => msg === 'an operation is no trusted document');
  assert.deepEqual(
    told.map(({ client, sha256 }) => ({ client, sha256 })),
    [{ client: 'old app', sha256: hashOf(b) }],
  );
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /persisted_operations_total\{outcome="arbitrary",client="old app"\} 3/);
});

test('a manifest that is not right any more is refused, and the last good one serves', async (t) => {
  const path = await writeManifest(t, { one: a });
  const gateway = await open(t, { persistedOperations: { mode: 'enforce', source: `file:${path}`, reload: '20ms' } });
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
  await writeFile(path, '{"one": "{ a ');
  await until(() => gateway.lines.some(({ msg }) => String(msg).includes('is refused')), 'the refusal');
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
  await rm(path);
  await until(() => gateway.lines.some(({ msg }) => String(msg).includes('cannot be read')), 'the outage');
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
  await writeFile(path, JSON.stringify({ two: b }));
  await until(async () => (await post(gateway, { id: 'two' })).status === 200, 'the new manifest');
  assert.equal((await post(gateway, { id: 'one' })).code, 'PERSISTED_QUERY_NOT_FOUND');
});

test('while the server of the manifest was never reached nothing passes, and then it heals by itself', async (t) => {
  let manifest: string | null = null;
  const asked: (string | undefined)[] = [];
  const server = await startServer(t, (request, response) => {
    asked.push(request.headers['if-none-match']);
    if (manifest === null) return void response.writeHead(500).end();
    if (request.headers['if-none-match'] === '"1"') return void response.writeHead(304).end();
    response.writeHead(200, { etag: '"1"' }).end(manifest);
  });
  const persistedOperations = { mode: 'enforce', source: `${server.url}/m.json`, reload: '20ms' } as const;
  const gateway = await open(t, { persistedOperations });
  for (const body of [{ query: '{ a }' }, { query: a }, { id: 'one' }]) {
    const refused = await post(gateway, body);
    assert.deepEqual([refused.status, refused.code], [503, 'SERVICE_UNAVAILABLE'], JSON.stringify(body));
    assert.equal(refused.headers.get('retry-after'), '1');
  }
  manifest = JSON.stringify({ one: a });
  await until(async () => (await post(gateway, { id: 'one' })).status === 200, 'the manifest');
  await until(() => asked.includes('"1"'), 'a question for news only');
  await server.kill();
  await until(() => gateway.lines.filter(({ msg }) => String(msg).includes('cannot be read')).length > 1, 'the outage');
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
});

test('a gateway starts with the copy of the last good manifest', async (t) => {
  const path = await writeManifest(t, { one: a });
  const copy = `${path}.copy`;
  const persistedOperations = { mode: 'enforce', source: `file:${path}`, copy } as const;
  await open(t, { persistedOperations });
  await rm(path);
  const gateway = await open(t, { persistedOperations });
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
});

test('two gateways share what clients registered, and trusted documents, in one Redis', {
  skip: redisSkipReason,
}, async (t) => {
  await using redis = await startRedis();
  const client = new Redis(redis.url);
  t.after(() => client.disconnect());
  const config = { redis: redis.url, cache: { store: 'redis' } } as const;
  const [first, second] = [await open(t, {}, config), await open(t, {}, config)];
  const text = `query A { a } # ${process.pid}`;
  assert.deepEqual((await post(first, { query: text, ...automatic(text) })).data, { a: 1 });
  await until(async () => (await client.exists(`selvage:apq:${hashOf(text)}`)) === 1, 'the text in Redis');
  assert.ok((await client.pttl(`selvage:apq:${hashOf(text)}`)) > 0);
  assert.deepEqual((await post(second, automatic(text))).data, { a: 1 });
  await client.set('selvage:trusted-documents', JSON.stringify({ one: a }));
  const gateway = await open(t, { persistedOperations: { mode: 'enforce', source: 'redis' } }, { redis: redis.url });
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
  await client.del('selvage:trusted-documents');
});

test('a Redis that hangs costs a client of automatic queries one more try', {
  skip: redisControlSkipReason,
}, async (t) => {
  await using redis = await startRedis();
  const gateway = await open(t, {}, { redis: redis.url, cache: { store: 'redis' } });
  redis.pause();
  t.after(() => redis.resume());
  assert.equal((await post(gateway, automatic(a))).code, 'PERSISTED_QUERY_NOT_FOUND');
  assert.deepEqual((await post(gateway, { query: a, ...automatic(a) })).data, { a: 1 });
  assert.deepEqual((await post(gateway, automatic(a))).data, { a: 1 });
  redis.resume();
});

test('other settings are taken without a restart, and the documents of before serve until theirs are read', async (t) => {
  const path = await writeManifest(t, { one: a });
  const before = { mode: 'enforce', source: `file:${path}` } as const;
  const gateway = await open(t, { persistedOperations: before });
  const reload = (graphql: GatewayConfig['graphql']) =>
    gateway.gateway.reload({ store: 'memory', graphql: { ...graphql } });
  await rm(path);
  await reload({ persistedOperations: { ...before, reload: '20ms' } });
  assert.deepEqual((await post(gateway, { id: 'one' })).data, { a: 1 });
  assert.equal((await post(gateway, { query: '{ a }' })).code, 'PERSISTED_QUERY_REQUIRED');
  await writeFile(path, JSON.stringify({ two: b }));
  await until(async () => (await post(gateway, { id: 'two' })).status === 200, 'the new manifest');
  await reload({ limits: { depth: 1 } });
  assert.deepEqual((await post(gateway, { query: '{ a }' })).data, { a: 1 });
  assert.equal((await post(gateway, { query: deep })).code, 'OPERATION_TOO_DEEP');
  await assert.rejects(reload({ persistedOperations: { mode: 'enforce' } }), /The configuration has a mistake/);
});

test('a subscription by id is answered as one by text', async (t) => {
  const path = await writeManifest(t, { s: 'subscription { e }' });
  const gateway = await startGateway(t, {
    graphql: { persistedOperations: { mode: 'log', source: `file:${path}` } },
  });
  const service = await startSubgraph(t, 'type Query { a: Int } type Subscription { e: Int }', {
    Query: { a: () => 1 },
    Subscription: { e: { subscribe: () => null } },
  });
  await registerGraphql(gateway, 'one', service.url);
  const text = 'subscription { e }';
  const status = async (body: object) => {
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
    await response.body?.cancel();
    return response.status;
  };
  const byText = await status({ query: text });
  assert.equal(await status({ query: text, ...automatic(text) }), byText);
  assert.equal(await status({ id: 's' }), byText);
  assert.ok(byText < 500 || byText === 502, String(byText));
  assert.equal(
    gateway.lines.some(({ msg }) => String(msg).includes('unexpected')),
    false,
  );
});
