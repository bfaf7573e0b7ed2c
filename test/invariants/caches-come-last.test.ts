import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

// Invariant 1 with caches: no answer crosses viewers, and none comes from a cache before authentication, limits and
// authorization.

const names = ['ada', 'bob', 'eve'];
const scopes: Record<string, string[]> = { ada: ['mail'], bob: ['mail'], eve: [] };
const apiKeys = names.map((name) => ({
  name,
  sha256: createHash('sha256').update(`key of ${name}`).digest('hex'),
  scopes: scopes[name] ?? [],
}));
const as = (name: string) => ({ 'x-api-key': `key of ${name}` });

const sdl = `
  enum CacheControlScope { PUBLIC PRIVATE }
  directive @cacheControl(maxAge: Int, scope: CacheControlScope, inheritMaxAge: Boolean) on FIELD_DEFINITION | OBJECT | INTERFACE | UNION
  type Query { news: News me: User @cacheControl(maxAge: 60, scope: PRIVATE) box: Box @cacheControl(maxAge: 60) now: Int }
  type Mutation { rename(id: ID!): News }
  type News @cacheControl(maxAge: 60) { id: ID! title: String }
  type User { id: ID! @cacheControl(maxAge: 60) }
  type Box @cacheControl(maxAge: 60) { mail: String @requiresScopes(scopes: [["mail"]]) }
`;

async function startNews(t: TestContext, engine: 'auto' | 'stitched', config: GatewayConfig = {}) {
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    graphql: { engine, cache: {} },
    ...config,
  });
  let count = 0;
  const whoami = (context: { headers: Record<string, string> }) => context.headers['x-user-id'] ?? 'nobody';
  const seen = (value: unknown) => {
    count += 1;
    return value;
  };
  const service = await startSubgraph(t, sdl, {
    Query: {
      news: () => seen({ id: '1', title: `title ${count}` }),
      me: (_: unknown, __: unknown, context: never) => seen({ id: whoami(context) }),
      box: (_: unknown, __: unknown, context: never) => seen({ mail: `mail of ${whoami(context)}` }),
      now: () => seen(count),
    },
    Mutation: { rename: (_: unknown, { id }: { id: string }) => ({ id, title: 'renamed' }) },
  });
  await registerGraphql(gateway, 'news', service.url);
  return { gateway, calls: () => count };
}

for (const engine of ['auto', 'stitched'] as const) {
  test(`public answers are shared, private ones are not, and a field that asks for a scope asks each time (${engine})`, async (t) => {
    const { gateway, calls } = await startNews(t, engine);
    const ask = (query: string, headers: Record<string, string>) => gateway.graphql(query, { headers });
    const first = await ask('{ news { id title } }', {});
    assert.equal(first.headers.get('cache-status'), 'Selvage; fwd=uri-miss');
    const second = await ask('query { news { id, title } }', as('ada'));
    assert.deepEqual(second.data, first.data);
    assert.match(second.headers.get('cache-status') ?? '', /^Selvage; hit; ttl=/);
    assert.equal(calls(), 1);
    for (let round = 0; round < 2; round++) {
      for (const name of names) assert.equal((await ask('{ me { id } }', as(name))).data.me.id, name);
      assert.equal((await ask('{ me { id } }', {})).data.me.id, 'nobody');
      for (const name of ['ada', 'bob'])
        assert.equal((await ask('{ box { mail } }', as(name))).data.box.mail, `mail of ${name}`);
      for (const headers of [as('eve'), {}])
        assert.notEqual((await ask('{ box { mail } }', headers)).errors, undefined);
    }
    // Of each viewer one, and of those that nobody knows each.
    assert.equal(calls(), 1 + 3 + 2 + 2);
  });

  test(`a mutation drops what holds the object it returns, and so does an administrator (${engine})`, async (t) => {
    const { gateway } = await startNews(t, engine);
    const titles = async () => (await gateway.graphql('{ news { id title } }')).data.news.title;
    const first = await titles();
    await gateway.graphql('mutation { rename(id: "2") { id } }');
    assert.equal(await titles(), first);
    await gateway.graphql('mutation { rename(id: "1") { id } }');
    const second = await titles();
    assert.notEqual(second, first);
    for (const body of [
      { entities: [{ type: 'News', id: '1' }] },
      { types: ['News'] },
      { fields: ['Query.news'] },
      { all: true },
    ]) {
      const before = await titles();
      assert.equal((await gateway.admin('POST', '/cache/invalidate', body)).status, 200);
      assert.notEqual(await titles(), before, JSON.stringify(body));
    }
  });

  test(`an operation with a field that says nothing is not kept (${engine})`, async (t) => {
    const { gateway, calls } = await startNews(t, engine);
    for (let i = 0; i < 2; i++) await gateway.graphql('{ news { id } now }');
    assert.equal(calls(), 4);
  });
}

test('nothing is answered from a cache before authentication, limits and authorization', async (t) => {
  const limit = [{ name: 'few', limit: 3, window: '1h', key: 'header:x-count' as const }];
  const { gateway } = await startNews(t, 'auto', {
    authentication: { apiKeys },
    policies: { rateLimit: limit },
  });
  const service = await startServer(t, (_, response) => {
    response.writeHead(200, { 'cache-control': 'public, max-age=60' }).end('kept');
  });
  await registerRest(gateway, 'kept', service.url, [
    { match: { path: '/kept' }, cache: {}, authorize: { scopes: ['mail'] } },
  ]);
  const rest = async (headers: Record<string, string>) => (await fetch(`${gateway.url}/kept`, { headers })).status;
  const graphql = async (headers: Record<string, string>) => {
    const { errors } = await gateway.graphql('{ news { id } }', { headers });
    return errors?.[0]?.extensions['code'] ?? 'none';
  };
  assert.equal(await rest({ ...as('ada'), 'x-count': 'a' }), 200);
  assert.equal(await rest({ ...as('bob'), 'x-count': 'a' }), 200);
  assert.equal(await rest({ 'x-count': 'b' }), 401);
  assert.equal(await rest({ 'x-api-key': 'wrong', 'x-count': 'b' }), 401);
  assert.equal(await rest({ ...as('eve'), 'x-count': 'b' }), 403);
  assert.equal(await rest({ ...as('ada'), 'x-count': 'a' }), 200);
  assert.equal(await rest({ ...as('ada'), 'x-count': 'a' }), 429);
  for (const expected of ['none', 'none', 'none', 'RATE_LIMIT_EXCEEDED'])
    assert.equal(await graphql({ 'x-count': 'c' }), expected);
  assert.equal(await graphql({ 'x-api-key': 'wrong', 'x-count': 'd' }), 'UNAUTHENTICATED');
});

test('what a service answers to somebody reaches nobody else, unless the service says that it is for everyone', async (t) => {
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const service = await startServer(t, (request, response) => {
    const control = request.url === '/public' ? 'public, max-age=60' : 'max-age=60';
    response.writeHead(200, { 'cache-control': control });
    response.end(
      `${request.headers['x-user-id'] ?? request.headers.cookie ?? request.headers.authorization ?? 'nobody'}`,
    );
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/*' }, cache: {} }]);
  const ask = async (path: string, headers: Record<string, string>) =>
    (await fetch(gateway.url + path, { headers })).text();
  for (let round = 0; round < 2; round++) {
    for (const name of names) assert.equal(await ask('/own', as(name)), name);
    assert.equal(await ask('/own', { cookie: 'session=1' }), 'session=1');
    assert.equal(await ask('/own', {}), 'nobody');
  }
  const answers = await Promise.all([...names, ...names].map((name) => ask('/own?at=once', as(name))));
  assert.deepEqual(answers, [...names, ...names]);
  assert.equal(await ask('/public', as('ada')), 'ada');
  assert.equal(await ask('/public', as('bob')), 'ada');
});
