import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { GraphQLError, graphql, parse } from 'graphql';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { writeModule } from '../support/plugins.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { federated, startServer, startSubgraph } from '../support/subgraph.ts';

// Kept GraphQL answers beside what else may change an answer, or say for whom it is.

const apiKeys = ['ada', 'bob'].map((name) => ({
  name,
  sha256: createHash('sha256').update(`key of ${name}`).digest('hex'),
  ...(name === 'ada' && { roles: ['editor'] }),
}));
const as = (name: string) => ({ 'x-api-key': `key of ${name}` });

const newsSdl = federated(
  'type Query { news: News } type News @key(fields: "id") { id: ID! title: String note: String }',
);
const news = '{ news { id title } }';
const types = { News: { ttl: '1h' } };

/** A service whose answers carry headers of its own, and whose titles count its answers. */
async function startNews(t: TestContext, config: GatewayConfig, definition: object = {}) {
  const sent: { headers: Record<string, string> } = { headers: {} };
  const seen: (string | undefined)[] = [];
  const schema = buildSubgraphSchema([
    {
      typeDefs: parse(newsSdl),
      resolvers: { Query: { news: () => ({ id: '1', title: `title ${seen.length}`, note: 'secret' }) } },
    },
  ]);
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { query, variables } = JSON.parse(body || '{}');
    if (!/_service|__schema/.test(query ?? '')) seen.push(request.headers['x-told']?.toString());
    const text = JSON.stringify(await graphql({ schema, source: query, variableValues: variables }));
    response.writeHead(200, { 'content-type': 'application/json', ...sent.headers }).end(text);
  });
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    ...config,
    graphql: { cache: { types }, ...config.graphql },
  });
  const instances = [{ id: 'news-1', url: service.url }];
  const registered = await gateway.admin('PUT', '/services/news', { graphql: {}, instances, ...definition });
  assert.equal(registered.status, 201);
  const ask = async (query = news, headers: Record<string, string> = {}) => {
    const answer = await gateway.graphql(query, { headers });
    const of = (name: string) => answer.headers.get(name) ?? '';
    return { ...answer, cache: of('cache-status'), control: of('cache-control'), vary: of('vary') };
  };
  return { gateway, sent, seen, ask };
}

for (const engine of ['auto', 'stitched'] as const) {
  test(`an answer with a substitute for an entity's field is for nobody else, and drops no whole one (${engine})`, async (t) => {
    let failing = true;
    const users = await startSubgraph(
      t,
      'type Query { users: [User!]! } type User @key(fields: "id") { id: ID! name: String }',
      { Query: { users: () => [{ id: '1', name: 'ada' }] } },
    );
    const reviews = await startSubgraph(t, 'type User @key(fields: "id") { id: ID! score: Int }', {
      User: {
        score: () => {
          if (failing) throw new GraphQLError('out of order', { extensions: { code: 'OUT_OF_ORDER' } });
          return 5;
        },
      },
    });
    const gateway = await startGateway(t, {
      graphql: {
        engine,
        cache: { types: { User: { ttl: '50ms' } }, staleWhileRevalidate: '1h', staleIfError: '1h' },
      },
      fields: { 'User.score': { circuitBreaker: { minimumCalls: 10_000, errorCodes: ['OUT_OF_ORDER'] }, fallback: 0 } },
    });
    await registerGraphql(gateway, 'users', users.url);
    await registerGraphql(gateway, 'reviews', reviews.url);
    const ask = () => gateway.graphql('{ users { name score } }');
    for (let round = 0; round < 2; round++) {
      const degraded = await ask();
      assert.equal(degraded.data.users[0].score, 0);
      assert.equal(degraded.headers.get('cache-control'), 'no-store');
      assert.match(degraded.headers.get('cache-status') ?? '', /fwd=uri-miss/);
    }
    failing = false;
    assert.equal((await ask()).data.users[0].score, 5);
    failing = true;
    const before = reviews.requests.length;
    await new Promise((done) => setTimeout(done, 60));
    assert.equal((await ask()).data.users[0].score, 5);
    await until(() => reviews.requests.length > before, 'the refresh in the background');
    for (let round = 0; round < 5; round++) {
      const stale = await ask();
      assert.equal(stale.data.users[0].score, 5);
      assert.match(stale.headers.get('cache-status') ?? '', /detail=stale-while-revalidate/);
      await new Promise((done) => setTimeout(done, 20));
    }
  });

  test(`a cookie keeps a new answer from others also when nobody waits for it (${engine})`, async (t) => {
    const { sent, seen, ask } = await startNews(t, {
      graphql: {
        engine,
        cache: { types: { News: { ttl: '50ms' } }, staleWhileRevalidate: '1h' },
        responseHeaders: [{ name: 'set-cookie' }],
      },
    });
    const first = await ask();
    sent.headers = { 'set-cookie': 'a=1' };
    await new Promise((done) => setTimeout(done, 60));
    const stale = await ask();
    assert.deepEqual([stale.data, stale.headers.get('set-cookie')], [first.data, null]);
    await until(() => seen.length === 2, 'the refresh in the background');
    // What was kept is given up: the service has something else to say now, to each for themselves.
    await until(async () => (await ask()).headers.get('set-cookie') === 'a=1', 'an answer of the service');
    const own = await ask();
    assert.deepEqual([own.headers.get('set-cookie'), own.control], ['a=1', 'no-store']);
  });

  test(`where rules tell services of the viewer, caches on the way keep what is public for one client (${engine})`, async (t) => {
    const headers = { request: [{ set: 'x-told', value: '{viewer.id}' }] };
    const { seen, ask } = await startNews(t, { graphql: { engine } }, { headers });
    for (const name of ['ada', 'bob', 'ada', 'bob']) {
      const { control, vary } = await ask(news, as(name));
      assert.match(control, /^max-age=\d+, private$/);
      assert.match(vary, /x-api-key/);
      assert.doesNotMatch(vary, /[{}]/);
    }
    assert.deepEqual(seen, ['ada', 'bob']);
  });

  test(`an answer without what its viewer may not read is not kept anywhere (${engine})`, async (t) => {
    const { seen, ask } = await startNews(t, {
      authorization: { mode: 'filter' },
      graphql: { engine },
      fields: { 'News.note': { authorize: { roles: ['editor'] } } },
    });
    const query = '{ news { id title note } }';
    for (let round = 1; round <= 2; round++) {
      const { data, errors, control } = await ask(query, as('bob'));
      assert.deepEqual([data.news.note, errors?.length, control], [null, 1, 'no-store']);
      assert.equal(seen.length, round);
    }
    for (let round = 0; round < 2; round++) assert.equal((await ask(query, as('ada'))).data.news.note, 'secret');
    assert.equal(seen.length, 3);
  });

  test(`what plugins make of a kept answer is for one client (${engine})`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'selvage-'));
    t.after(() => rm(folder, { recursive: true }));
    const module = await writeModule(
      folder,
      'use-reader.mjs',
      `let asked = 0;
      export const useReader = () => ({
        onExecute({ executeFn, setExecuteFn }) {
          setExecuteFn(async (own) => {
            const result = await executeFn(own);
            if (result.data?.news) result.data.news.title += ' around';
            return result;
          });
          return { onExecuteDone({ result }) { if (result.data?.news) result.data.news.title += ' for ' + ++asked; } };
        },
      });`,
    );
    const plugins = [{ module, export: 'useReader' }];
    const { seen, ask } = await startNews(t, { graphql: { engine, plugins } });
    for (const number of [1, 2, 3]) {
      const { data, control } = await ask();
      assert.equal(data.news.title, `title 1 around for ${number}`);
      assert.match(control, /^max-age=\d+, private$/);
    }
    assert.equal(seen.length, 1);
  });
}

test('what services say of how long they may be kept reaches clients once, and makes it only stricter', async (t) => {
  const { sent, ask } = await startNews(t, {
    graphql: {
      cache: { types, subgraphHeaders: false },
      responseHeaders: [{ name: 'cache-control', merge: 'strictest' }],
    },
  });
  sent.headers = { 'cache-control': 'max-age=60, private' };
  assert.equal((await ask()).control, 'private, max-age=60');
  sent.headers = { 'cache-control': 'max-age=60, public' };
  assert.equal((await ask('{ __typename news { id } }')).control, 'public, max-age=60');
  assert.equal((await ask('{ nothing }')).control, 'no-store');
});
