import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { graphql, parse } from 'graphql';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { federated, startServer } from '../support/subgraph.ts';

const names = ['ada', 'bob'];
const apiKeys = names.map((name) => ({
  name,
  sha256: createHash('sha256').update(`key of ${name}`).digest('hex'),
}));
const as = (name: string) => ({ 'x-api-key': `key of ${name}` });

const sdl = federated(`
  type Query { news: News me: User other: Int rest: News }
  type Mutation { touch: Int }
  type News { id: ID! title: String }
  type User { id: ID! seen: Int }
`);
const types = { News: { ttl: '1h' }, User: { ttl: '1h', scope: 'private' as const } };

/** What the service does with the next requests. */
interface Behaviour {
  headers: Record<string, string>;
  failing: boolean;
  /** Answers are held back until it resolves. */
  gate: Promise<void>;
}

type Cache = NonNullable<NonNullable<GatewayConfig['graphql']>['cache']>;

async function startNews(t: TestContext, cache: Cache = {}, config: GatewayConfig = {}) {
  const behaviour: Behaviour = { headers: {}, failing: false, gate: Promise.resolve() };
  const queries: string[] = [];
  const schema = buildSubgraphSchema([
    {
      typeDefs: parse(sdl),
      resolvers: {
        Query: {
          news: () => ({ id: '1', title: `title ${queries.length}` }),
          rest: () => ({ id: '2', title: 'rest' }),
          me: (_: unknown, __: unknown, { user }: { user: string }) => ({ id: user, seen: queries.length }),
          other: () => 1,
        },
        Mutation: { touch: () => 1 },
      },
    },
  ]);
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { query, variables } = JSON.parse(body || '{}');
    // What the gateway asks when it gets to know the service is no request of a client.
    if (query?.includes('_service') === true || query?.includes('__schema') === true)
      return response.end(JSON.stringify(await graphql({ schema, source: query })));
    queries.push(query);
    const { gate, failing, headers } = behaviour;
    const contextValue = { user: request.headers['x-user-id'] };
    const text = JSON.stringify(await graphql({ schema, source: query, variableValues: variables, contextValue }));
    await gate;
    if (failing) return response.writeHead(503).end('down');
    return response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(text);
  });
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    policies: { retry: { attempts: 0 }, circuitBreaker: { minimumCalls: 10_000 } },
    ...config,
    graphql: { ...config.graphql, cache: { types, ...cache } },
  });
  await registerGraphql(gateway, 'news', service.url);
  const ask = async (query: string, headers: Record<string, string> = {}) => {
    const answer = await gateway.graphql(query, { headers });
    return { ...answer, cache: answer.headers.get('cache-status') ?? '', control: answer.headers.get('cache-control') };
  };
  const get = (query: string, headers: Record<string, string> = {}) =>
    fetch(`${gateway.url}/graphql?query=${encodeURIComponent(query)}`, {
      headers: { accept: 'application/json', ...headers },
    });
  return { gateway, behaviour, queries, ask, get };
}

const news = '{ news { id title } }';

for (const engine of ['auto', 'stitched'] as const) {
  const graphqlOf = { engine, shareSubgraphRequests: false };

  test(`those who ask the same at once wait for the first, each viewer for their own (${engine})`, async (t) => {
    const { gateway, behaviour, queries, ask } = await startNews(t, {}, { graphql: graphqlOf });
    await ask('{ other }');
    const { promise, resolve } = Promise.withResolvers<void>();
    behaviour.gate = promise;
    queries.length = 0;
    const publicly = Array.from({ length: 10 }, () => ask(news));
    const privately = Array.from({ length: 10 }, (_, index) => ask('{ me { id } }', as(names[index % 2] ?? '')));
    await until(() => queries.length === 3, 'one request for all, and one for each viewer');
    await new Promise((done) => setTimeout(done, 100));
    resolve();
    const answers = await Promise.all(publicly);
    assert.equal(new Set(answers.map(({ data }) => data.news.title)).size, 1);
    assert.equal(answers.filter(({ cache }) => cache === 'Selvage; fwd=uri-miss; collapsed').length, 9);
    const own = await Promise.all(privately);
    assert.deepEqual(
      own.map(({ data }) => data.me.id),
      own.map((_, index) => names[index % 2]),
    );
    assert.equal(queries.length, 3);
    const { body } = await gateway.admin('GET', '/metrics');
    assert.match(body, /selvage_cache_requests_total\{door="graphql",service="",outcome="collapsed"\} 17/);
  });

  test(`a first one that fails, or whose answer is not kept, holds nobody up (${engine})`, async (t) => {
    const { behaviour, queries, ask } = await startNews(t, {}, { graphql: graphqlOf });
    const { promise, resolve } = Promise.withResolvers<void>();
    Object.assign(behaviour, { gate: promise, failing: true });
    const asked = Array.from({ length: 5 }, () => ask(news));
    await until(() => queries.length === 1, 'the request of the first');
    // Those who waited ask themselves, and find the service well again.
    const others = until(() => queries.length > 1, 'the requests of the others');
    await new Promise((done) => setTimeout(done, 100));
    resolve();
    behaviour.gate = Promise.resolve();
    behaviour.failing = false;
    await others;
    const answers = await Promise.all(asked);
    assert.equal(answers.filter(({ errors }) => errors !== undefined).length, 1);
    behaviour.headers = { 'cache-control': 'no-store' };
    await ask('{ rest { id } }');
    const gate = Promise.withResolvers<void>();
    behaviour.gate = gate.promise;
    queries.length = 0;
    const passing = Array.from({ length: 5 }, () => ask('{ rest { id } }'));
    await until(() => queries.length === 5, 'nobody waits for what was not kept a moment ago');
    gate.resolve();
    for (const { control } of await Promise.all(passing)) assert.equal(control, 'no-store');
  });

  test(`when the first one leaves, another one asks for those who wait (${engine})`, async (t) => {
    const { gateway, behaviour, queries, ask } = await startNews(t, {}, { graphql: graphqlOf });
    await ask('{ other }');
    const gate = Promise.withResolvers<void>();
    behaviour.gate = gate.promise;
    queries.length = 0;
    const leaving = new AbortController();
    const body = JSON.stringify({ query: news });
    const headers = { 'content-type': 'application/json' };
    const first = fetch(`${gateway.url}/graphql`, { method: 'POST', headers, body, signal: leaving.signal });
    first.catch(() => {});
    await until(() => queries.length === 1, 'the request of the first');
    const others = Array.from({ length: 3 }, () => ask(news));
    await new Promise((done) => setTimeout(done, 100));
    leaving.abort();
    await until(() => queries.length === 2, 'the request of one of the others');
    gate.resolve();
    for (const { data } of await Promise.all(others)) assert.equal(data.news.id, '1');
    assert.equal(queries.length, 2);
  });

  test(`headers of services shorten what hints allow, and private ones keep an answer from others (${engine})`, async (t) => {
    const { behaviour, queries, ask } = await startNews(t, {}, { graphql: { ...graphqlOf, shareOperations: true } });
    let query = 0;
    const control = async (headers: Record<string, string>) => {
      behaviour.headers = headers;
      query += 1;
      return (await ask(`query Q${query} { news { id title } }`)).control;
    };
    assert.equal(await control({}), 'max-age=3600, public');
    assert.equal(await control({ 'cache-control': 'max-age=60' }), 'max-age=60, public');
    assert.equal(await control({ 'cache-control': 'max-age=60', age: '20' }), 'max-age=40, public');
    assert.equal(await control({ 'cache-control': 'max-age=60, s-maxage=30' }), 'max-age=30, public');
    assert.equal(await control({ 'cache-control': 'max-age=86400' }), 'max-age=3600, public');
    for (const refusal of ['no-store', 'private, max-age=60', 'No-Cache', 'max-age=0'])
      assert.equal(await control({ 'cache-control': refusal }), 'no-store', refusal);
    behaviour.headers = { 'cache-control': 'private' };
    const gate = Promise.withResolvers<void>();
    behaviour.gate = gate.promise;
    queries.length = 0;
    const asked = Array.from({ length: 6 }, (_, index) =>
      ask('query P { news { id title } }', as(names[index % 2] ?? '')),
    );
    await until(() => queries.length >= 1, 'the first request');
    gate.resolve();
    await Promise.all(asked);
    assert.equal((await ask('query P { news { id title } }')).cache, 'Selvage; fwd=uri-miss');
    assert.equal((await ask('{ me { id } }', as('ada'))).control, 'max-age=3600, private');
    assert.match((await ask('{ me { id } }', as('ada'))).cache, /^Selvage; hit/);
    assert.equal((await ask('{ me { id } }', as('bob'))).data.me.id, 'bob');
  });

  test(`a stale answer is given while a new one is made, and in place of an outage (${engine})`, async (t) => {
    const { behaviour, queries, ask } = await startNews(
      t,
      { types: { News: { ttl: '50ms' } }, staleWhileRevalidate: '1h', staleIfError: '1h' },
      { graphql: graphqlOf },
    );
    const first = await ask(news);
    const gate = Promise.withResolvers<void>();
    await new Promise((done) => setTimeout(done, 60));
    behaviour.gate = gate.promise;
    const before = queries.length;
    const stale = await Promise.all(Array.from({ length: 5 }, () => ask(news)));
    for (const { data, cache, headers, control } of stale) {
      assert.deepEqual(data, first.data);
      assert.match(cache, /^Selvage; hit; ttl=-\d+; detail=stale-while-revalidate$/);
      assert.ok(Number(headers.get('age')) >= 0);
      assert.equal(control, 'max-age=0, public');
    }
    await until(() => queries.length > before, 'the refresh in the background');
    assert.equal(queries.length, before + 1);
    gate.resolve();
    behaviour.gate = Promise.resolve();
    await until(async () => (await ask(news)).data.news.title !== first.data.news.title, 'the new answer');
  });

  test(`an outage is hidden for as long as is said, and nothing else is (${engine})`, async (t) => {
    const { behaviour, ask } = await startNews(
      t,
      { types: { News: { ttl: '50ms' } }, staleIfError: '1h' },
      { graphql: graphqlOf },
    );
    const first = await ask(news);
    behaviour.failing = true;
    await new Promise((done) => setTimeout(done, 60));
    const hidden = await ask(news);
    assert.deepEqual([hidden.data, hidden.errors], [first.data, undefined]);
    assert.equal(hidden.cache, 'Selvage; fwd=stale; detail=stale-if-error');
    assert.notEqual((await ask('{ rest { id } }')).errors, undefined);
    behaviour.failing = false;
    behaviour.headers = { 'cache-control': 'must-revalidate' };
    await until(async () => (await ask(news)).cache.startsWith('Selvage; fwd=stale; ') === false, 'a new answer');
    behaviour.failing = true;
    await new Promise((done) => setTimeout(done, 60));
    assert.notEqual((await ask(news)).errors, undefined);
  });
}

test('clients are told how long they may keep an answer, and a GET that has it gets a 304', async (t) => {
  const { behaviour, ask, get } = await startNews(t, {}, { graphql: { maxBatchSize: 5 } });
  const first = await get(news);
  assert.equal(first.headers.get('cache-control'), 'max-age=3600, public');
  assert.equal(first.headers.get('age'), '0');
  assert.match(first.headers.get('vary') ?? '', /accept/);
  const etag = first.headers.get('etag') ?? '';
  assert.match(etag, /^W\/"[\w-]{22}"$/);
  const text = await first.text();
  const known = await get(news, { 'if-none-match': `"x", ${etag}` });
  assert.deepEqual([known.status, await known.text(), known.headers.get('etag')], [304, '', etag]);
  assert.deepEqual([known.headers.get('content-type'), known.headers.get('content-length')], [null, null]);
  const other = await get(news, { 'if-none-match': '"x"' });
  assert.deepEqual([other.status, await other.text()], [200, text]);
  const post = await ask(news, { 'if-none-match': etag });
  assert.deepEqual([post.status, post.control, post.headers.get('etag')], [200, 'max-age=3600, public', null]);
  const own = await get('{ me { id } }', as('ada'));
  assert.equal(own.headers.get('cache-control'), 'max-age=3600, private');
  assert.match(own.headers.get('vary') ?? '', /x-api-key/);
  for (const query of ['{ other }', 'mutation { touch }', '{ unknown }', '{ me { id } }'])
    assert.equal((await ask(query)).control, 'no-store', query);
  assert.equal((await ask(news, { 'x-api-key': 'wrong' })).control, 'no-store');
  behaviour.failing = true;
  assert.equal((await ask('{ rest { id } }')).control, 'no-store');
  const batch = await fetch(first.url.split('?')[0] ?? '', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ query: news }, { query: '{ __typename }' }]),
  });
  assert.equal(batch.headers.get('cache-control'), 'no-store');
});

test('where everybody has to be known, no answer is for everyone', async (t) => {
  const { ask } = await startNews(t, {}, { authentication: { apiKeys, required: true } });
  assert.equal((await ask(news, as('ada'))).control, 'max-age=3600, private');
  assert.equal((await ask(news, as('bob'))).control, 'max-age=3600, private');
});

test('clients and services are not listened to where that is switched off', async (t) => {
  const { behaviour, ask, get } = await startNews(t, { clientHeaders: false, subgraphHeaders: false });
  behaviour.headers = { 'cache-control': 'no-store' };
  await ask(news);
  const second = await get(news);
  assert.match(second.headers.get('cache-status') ?? '', /^Selvage; hit/);
  for (const name of ['cache-control', 'etag', 'age']) assert.equal(second.headers.get(name), null, name);
});

test('tags that services give to their answers drop what was made of them', async (t) => {
  const { gateway, behaviour, ask } = await startNews(t);
  behaviour.headers = { 'surrogate-key': 'front page' };
  const first = await ask(news);
  await gateway.admin('POST', '/cache/invalidate', { tags: ['back'] });
  assert.deepEqual((await ask(news)).data, first.data);
  const dropped = await gateway.admin('POST', '/cache/invalidate', { tags: [{ service: 'news', tag: 'front' }] });
  assert.deepEqual(dropped.body, { invalidated: 1 });
  assert.notDeepEqual((await ask(news)).data, first.data);
});
