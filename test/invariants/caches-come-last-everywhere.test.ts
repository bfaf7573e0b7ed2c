import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest, until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

// As caches-come-last.test.ts, for every other way out of a cache: parts, conditions, shared flights, stale answers.

const scopes: Record<string, string[]> = { ada: ['mail'], eve: [] };
const apiKeys = Object.entries(scopes).map(([name, own]) => ({
  name,
  sha256: createHash('sha256').update(`key of ${name}`).digest('hex'),
  scopes: own,
}));
const as = (name: string) => ({ 'x-api-key': `key of ${name}` });
const rateLimit = [{ name: 'few', limit: 2, window: '1h', key: 'header:x-count' as const }];
const config: GatewayConfig = { authentication: { apiKeys }, policies: { rateLimit, retry: { attempts: 0 } } };

/** Nobody gets through who may not, and who may gets no more than the limit. */
async function assertGuarded(
  ask: (headers: Record<string, string>) => Promise<number | string>,
  expected: readonly (number | string)[],
  refusals: readonly [
    unknown: number | string,
    wrong: number | string,
    forbidden: number | string,
    limited: number | string,
  ],
  name: string,
): Promise<void> {
  const count = { 'x-count': name };
  for (const one of expected) assert.equal(await ask({ ...as('ada'), ...count }), one, name);
  const [unknown, wrong, forbidden, limited] = refusals;
  const others = { 'x-count': `${name} of others` };
  assert.equal(await ask({ 'x-count': `${name} of nobody` }), unknown, name);
  assert.equal(await ask({ 'x-api-key': 'wrong', ...others }), wrong, name);
  assert.equal(await ask({ ...as('eve'), ...others }), forbidden, name);
  assert.equal(await ask({ ...as('ada'), ...count }), limited, name);
}

const restRefusals = [401, 401, 403, 429] as const;

async function startRest(t: TestContext, control: string, cache: object = {}) {
  const gateway = await startGateway(t, config);
  const state = { requests: 0, gate: Promise.resolve(), failing: false };
  const service = await startServer(t, async (_, response) => {
    state.requests += 1;
    await state.gate;
    response.writeHead(state.failing ? 503 : 200, { 'cache-control': control, etag: '"v1"' }).end('whole');
  });
  await registerRest(gateway, 'kept', service.url, [
    { match: { path: '/kept' }, cache, authorize: { scopes: ['mail'] } },
  ]);
  const ask =
    (more: Record<string, string>) =>
    async (headers: Record<string, string>): Promise<number> => {
      // Said because `fetch` adds `no-cache` to what is conditional.
      const all = { 'cache-control': 'max-stale', ...headers, ...more };
      return (await fetch(`${gateway.url}/kept`, { headers: all })).status;
    };
  return { state, ask };
}

test('parts and 304s of kept answers come after authentication, limits and authorization', async (t) => {
  const { state, ask } = await startRest(t, 'public, max-age=60');
  await ask({})({ ...as('ada'), 'x-count': 'first' });
  await assertGuarded(ask({ range: 'bytes=0-1' }), [206, 206], restRefusals, 'parts');
  await assertGuarded(ask({ range: 'bytes=99-' }), [416, 416], restRefusals, 'parts that are not there');
  await assertGuarded(ask({ 'if-none-match': '"v1"' }), [304, 304], restRefusals, 'conditions');
  assert.equal(state.requests, 1);
});

test('so do stale answers, while a new one is fetched and in place of a failure', async (t) => {
  const { state, ask } = await startRest(t, 'public, max-age=0, stale-while-revalidate=600');
  await ask({})({ ...as('ada'), 'x-count': 'first' });
  await assertGuarded(ask({}), [200, 200], restRefusals, 'stale');
  const failing = await startRest(t, 'public, max-age=0, stale-if-error=600');
  await failing.ask({})({ ...as('ada'), 'x-count': 'first' });
  failing.state.failing = true;
  await assertGuarded(failing.ask({ 'cache-control': 'max-age=0' }), [200, 200], restRefusals, 'instead');
  assert.ok(state.requests >= 1);
});

test('nobody joins the request of another one without having been let in', async (t) => {
  const { state, ask } = await startRest(t, 'public, max-age=60');
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const first = ask({})({ ...as('ada'), 'x-count': 'a' });
  await until(() => state.requests === 1, 'the request of the first');
  const joined = ask({})({ ...as('ada'), 'x-count': 'a' });
  // Refused while the others are still waiting.
  assert.equal(await ask({})({ 'x-count': 'b' }), 401);
  assert.equal(await ask({})({ 'x-api-key': 'wrong', 'x-count': 'b' }), 401);
  assert.equal(await ask({})({ ...as('eve'), 'x-count': 'b' }), 403);
  assert.equal(await ask({})({ ...as('ada'), 'x-count': 'a' }), 429);
  gate.resolve();
  assert.deepEqual([await first, await joined, state.requests], [200, 200, 1]);
});

const sdl = `
  type Query { news: News secret: News @requiresScopes(scopes: [["mail"]]) }
  type News { id: ID! title: String }
`;
const graphqlRefusals = ['UNAUTHENTICATED', 'UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMIT_EXCEEDED'] as const;

async function startNews(t: TestContext, cache: object, ttl: string) {
  const gateway = await startGateway(t, { ...config, graphql: { cache: { types: { News: { ttl } }, ...cache } } });
  const state = { requests: 0, gate: Promise.resolve() };
  const resolve = async () => {
    state.requests += 1;
    await state.gate;
    return { id: '1', title: 'title' };
  };
  const service = await startSubgraph(t, sdl, { Query: { news: resolve, secret: resolve } });
  await registerGraphql(gateway, 'news', service.url);
  return { gateway, service, state };
}

function askSecret(gateway: TestGateway, method = 'POST') {
  return async (headers: Record<string, string>): Promise<string> => {
    const query = '{ secret { id title } }';
    const { errors, data } =
      method === 'POST' ? await gateway.graphql(query, { headers }) : await getQuery(gateway, query, headers);
    return errors === undefined ? data.secret.title : String(errors[0]?.extensions['code']);
  };
}

async function getQuery(gateway: TestGateway, query: string, headers: Record<string, string>) {
  const response = await fetch(`${gateway.url}/graphql?query=${encodeURIComponent(query)}`, { headers });
  return await response.json();
}

test('a GraphQL answer that is stale, or stands in for an outage, is given to nobody who may not have it', async (t) => {
  const stale = await startNews(t, { staleWhileRevalidate: '1h' }, '1ms');
  await askSecret(stale.gateway)({ ...as('ada'), 'x-count': 'first' });
  await new Promise((done) => setTimeout(done, 5));
  await assertGuarded(askSecret(stale.gateway), ['title', 'title'], graphqlRefusals, 'stale');
  await assertGuarded(askSecret(stale.gateway, 'GET'), ['title', 'title'], graphqlRefusals, 'stale by GET');
  const failing = await startNews(t, { staleIfError: '1h' }, '1ms');
  await askSecret(failing.gateway)({ ...as('ada'), 'x-count': 'first' });
  await failing.service.kill();
  await assertGuarded(askSecret(failing.gateway), ['title', 'title'], graphqlRefusals, 'instead');
});

test('nobody joins a query of another one without having been let in', async (t) => {
  const { gateway, state } = await startNews(t, {}, '1h');
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const ask = askSecret(gateway);
  const first = ask({ ...as('ada'), 'x-count': 'a' });
  await until(() => state.requests === 1, 'the query of the first');
  const joined = ask({ ...as('ada'), 'x-count': 'a' });
  assert.equal(await ask({ 'x-count': 'b' }), 'UNAUTHENTICATED');
  assert.equal(await ask({ 'x-api-key': 'wrong', 'x-count': 'b' }), 'UNAUTHENTICATED');
  assert.equal(await ask({ ...as('eve'), 'x-count': 'b' }), 'FORBIDDEN');
  assert.equal(await ask({ ...as('ada'), 'x-count': 'a' }), 'RATE_LIMIT_EXCEEDED');
  gate.resolve();
  assert.deepEqual([await first, await joined, state.requests], ['title', 'title', 1]);
});

test('a 304 of the GraphQL door is given to nobody who may not have the answer', async (t) => {
  const { gateway } = await startNews(t, {}, '1h');
  const ask = async (headers: Record<string, string>, etag = '') => {
    const url = `${gateway.url}/graphql?query=${encodeURIComponent('{ secret { id title } }')}`;
    const response = await fetch(url, { headers: { ...headers, ...(etag !== '' && { 'if-none-match': etag }) } });
    return { status: response.status, etag: response.headers.get('etag') ?? '' };
  };
  const { etag } = await ask({ ...as('ada'), 'x-count': 'first' });
  const status = async (headers: Record<string, string>) => (await ask(headers, etag)).status === 304;
  assert.equal(await status({ ...as('ada'), 'x-count': 'a' }), true);
  assert.equal(await status({ ...as('eve'), 'x-count': 'a' }), false);
  assert.equal(await status({ 'x-count': 'b' }), false);
  assert.equal(await status({ 'x-api-key': 'wrong', 'x-count': 'c' }), false);
});
