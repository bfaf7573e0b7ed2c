import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { redisControlSkipReason, redisSkipReason, startRedis, type TestRedis } from '../support/redis.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

async function startTwo(t: TestContext): Promise<{ redis: TestRedis; one: TestGateway; two: TestGateway }> {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const store = { redis: { url: redis.url, keyPrefix: `selvage-test:${randomUUID()}:` } };
  const [one, two] = await Promise.all([startGateway(t, { store }), startGateway(t, { store })]);
  return { redis, one, two };
}

const graphOf = async (gateway: TestGateway) => (await gateway.admin('GET', '/graph')).body;

function given(...fields: readonly string[]) {
  return { graphql: { schema: `type Query { ${fields.map((field) => `${field}: Int`).join(' ')} }`, kind: 'plain' } };
}

async function agree(...gateways: readonly TestGateway[]): Promise<void> {
  await until(async () => {
    const graphs = await Promise.all(gateways.map(graphOf));
    return graphs.every(({ id, revision }) => id === graphs[0]?.id && revision === graphs[0]?.revision);
  }, 'the gateways agree');
}

test('what registers at one gateway is served by the other, and both have composed the same graph', {
  skip: redisSkipReason,
}, async (t) => {
  const { one, two } = await startTwo(t);
  const service = await startServer(t, (_, response) => response.end('hello'));
  await registerRest(one, 'rest', service.url, [{ match: { path: '/hello' } }]);
  const registered = await one.admin('PUT', '/services/numbers', given('a', 'b'));
  assert.equal(registered.status, 201);
  await until(async () => (await graphOf(two)).id === registered.body.graph, 'the other gateway has the graph');
  assert.equal(await (await fetch(`${two.url}/hello`)).text(), 'hello');
  const changed = await two.admin('PUT', '/services/numbers', given('a', 'c'));
  await until(async () => (await graphOf(one)).id === changed.body.graph, 'and the first one, what the other changed');
  const entries = (await one.admin('GET', '/audit')).body.entries;
  assert.deepEqual(
    entries.slice(-3).map(({ targets }: { targets: string[] }) => targets[0]),
    ['rest', 'numbers', 'numbers'],
  );
});

test('a conflict is refused at whichever gateway the second team comes to, at once', {
  skip: redisSkipReason,
}, async (t) => {
  const { one, two } = await startTwo(t);
  await one.admin('PUT', '/services/a', {
    graphql: { schema: 'type Query { x: Int } type T { f: Int }', kind: 'plain' },
  });
  const answer = await two.admin('PUT', '/services/b', {
    graphql: { schema: 'type Query { y: Int } enum T { F }', kind: 'plain' },
  });
  assert.equal(answer.status, 422);
  assert.equal((await two.admin('DELETE', '/services/a')).status, 204);
});

test('teams that register at the same moment through two gateways lose no update, and every generation composes', {
  skip: redisSkipReason,
  timeout: 55_000,
}, async (t) => {
  const { one, two } = await startTwo(t);
  const rounds = 30;
  const teams = ['a', 'b', 'c', 'd', 'e', 'f'];
  const answers = await Promise.all(
    teams.map(async (team, index) => {
      const gateway = index % 2 === 0 ? one : two;
      const statuses: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const fields = Array.from({ length: 2 }, (_, field) => `${team}${round}_${field}`);
        statuses.push((await gateway.admin('PUT', `/services/${team}`, given(...fields))).status);
      }
      return statuses;
    }),
  );
  assert.deepEqual(
    answers.flat().filter((status) => status >= 300),
    [],
  );
  await agree(one, two);
  const { revision } = await graphOf(one);
  assert.equal(revision, 1 + teams.length * rounds, 'each change made a revision of its own');
  const sdl = (await two.admin('GET', '/graph/sdl')).body as string;
  for (const team of teams) assert.match(sdl, new RegExp(`${team}${rounds - 1}_0`), 'the last word of each team holds');
  const refused = (await one.admin('GET', '/audit')).body.entries.filter(
    (entry: { outcome: string }) => entry.outcome !== 'accepted',
  );
  assert.deepEqual(refused, []);
});

test('an instance lives on heartbeats at any gateway, and without them it is gone at all of them', {
  skip: redisSkipReason,
}, async (t) => {
  const { one, two } = await startTwo(t);
  await one.admin('PUT', '/services/rest', { routes: [{ match: { path: '/x' } }] });
  const put = (gateway: TestGateway, id: string) =>
    gateway.admin('PUT', `/services/rest/instances/${id}`, {
      url: `http://127.0.0.1:${id === 'a' ? 1 : 2}`,
      leaseSeconds: 2,
    });
  assert.deepEqual([(await put(one, 'a')).status, (await put(one, 'b')).status], [201, 201]);
  const { revision } = await graphOf(one);
  const instancesAt = async (gateway: TestGateway): Promise<string[]> =>
    (await gateway.admin('GET', '/services/rest')).body.instances.map(({ id }: { id: string }) => id);
  // Heartbeats of `a` go to the other gateway; nobody renews `b`.
  await until(async () => {
    assert.equal((await put(two, 'a')).status, 200);
    return (await instancesAt(one)).length === 1 && (await instancesAt(two)).length === 1;
  }, 'b is gone at both');
  assert.deepEqual([await instancesAt(one), await instancesAt(two)], [['a'], ['a']]);
  assert.equal((await graphOf(two)).revision, revision + 1, 'its end is the only change: heartbeats make none');
});

test('Redis killed and started again under load: no request fails, registrations wait, and all converge', {
  skip: redisControlSkipReason,
  timeout: 55_000,
}, async (t) => {
  const { redis, one, two } = await startTwo(t);
  const service = await startServer(t, (_, response) => response.end('ok'));
  await registerRest(one, 'rest', service.url, [{ match: { path: '/x' } }]);
  await one.admin('PUT', '/services/leased', { routes: [{ match: { path: '/leased' } }] });
  const renew = () => two.admin('PUT', '/services/leased/instances/i', { url: service.url, leaseSeconds: 5 });
  await renew();
  await agree(one, two);

  let isOver = false;
  t.after(() => {
    isOver = true;
  });
  const codes = new Map<number, number>();
  const load = [one, two].flatMap(({ url }) =>
    ['/x', '/leased'].map(async (path) => {
      while (!isOver) {
        const { status } = await fetch(url + path);
        codes.set(status, (codes.get(status) ?? 0) + 1);
      }
    }),
  );
  await redis.stop();
  const refused = await one.admin('PUT', '/services/numbers', given('a'));
  assert.equal(refused.status, 503);
  assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/);
  assert.equal(refused.body.code, 'SERVICE_UNAVAILABLE');
  // Longer than the lease, which does not run meanwhile: nobody could have renewed it.
  await sleep(6_000);
  await redis.start();
  const heartbeats: number[] = [];
  const beating = (async () => {
    for (; !isOver; await sleep(500)) heartbeats.push((await renew()).status);
  })();
  await until(async () => (await two.admin('PUT', '/services/numbers', given('a'))).status < 300, 'it registers again');
  await agree(one, two);
  const names = ((await one.admin('GET', '/services')).body.services as { name: string }[]).map(({ name }) => name);
  assert.deepEqual(names, ['leased', 'numbers', 'rest'], 'a Redis that came back empty was filled again');
  assert.equal((await one.admin('GET', '/services/leased')).body.instances.length, 1);
  isOver = true;
  await Promise.all([...load, beating]);
  assert.deepEqual(new Set(heartbeats), new Set([200]), 'heartbeats are taken with Redis and without');
  assert.deepEqual([...codes.keys()], [200]);
});

test('a gateway starts with its copy while Redis is away, and joins the others when it is back', {
  skip: redisControlSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const copy = await mkdtemp(join(tmpdir(), 'selvage-copy-'));
  t.after(() => rm(copy, { recursive: true }));
  const store = { redis: { url: redis.url }, copy };
  const first = await startGateway(t, { store });
  await first.admin('PUT', '/services/numbers', given('a'));
  const { id } = await graphOf(first);
  await first.gateway.stop();
  await redis.stop();
  const again = await startGateway(t, { store });
  assert.equal((await graphOf(again)).id, id);
  assert.equal((await again.admin('PUT', '/services/more', given('b'))).status, 503);
  await redis.start();
  await until(async () => (await again.admin('PUT', '/services/more', given('b'))).status < 300, 'it registers again');
  const other = await startGateway(t, { store: { redis: { url: redis.url } } });
  assert.deepEqual((await graphOf(other)).services, ['more', 'numbers']);
});

test('a registry of another format is refused, and left alone', { skip: redisSkipReason }, async (t) => {
  const { Redis } = await import('ioredis');
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const keyPrefix = `selvage-test:${randomUUID()}:`;
  const client = new Redis(redis.url);
  t.after(() => client.disconnect());
  await client.hset(`${keyPrefix}{registry}:meta`, { format: '99', revision: '7', stamp: 'x' });
  await assert.rejects(startGateway(t, { store: { redis: { url: redis.url, keyPrefix } } }), /format 99/);
  assert.equal(await client.hget(`${keyPrefix}{registry}:meta`, 'format'), '99');
});
