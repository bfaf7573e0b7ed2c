import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

const routes = [{ match: { path: '/api/*' }, rewrite: '/*' }];

function named(name: string, delayMs = 0): RequestListener {
  return (request, response) => {
    request.resume();
    setTimeout(() => response.end(name), delayMs);
  };
}

/** So many requests, some at a time; what came of each: the body, or the status of an error. */
async function load(total: number, atOnce: number, ask: (turn: number) => Promise<Response>): Promise<string[]> {
  const results: string[] = [];
  let turn = 0;
  const work = async (): Promise<void> => {
    while (turn < total) {
      const response = await ask(turn++);
      const text = await response.text();
      results.push(response.ok ? text : String(response.status));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

function tally(results: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const result of results) counts[result] = (counts[result] ?? 0) + 1;
  return counts;
}

async function put(gateway: TestGateway, name: string, definition: object): Promise<void> {
  const answer = await gateway.admin('PUT', `/services/${name}`, definition);
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
}

test('an instance ten times slower gets under a tenth of the calls, and the admin API shows why', async (t) => {
  const gateway = await startGateway(t);
  const services = await Promise.all([20, 20, 200].map((ms, index) => startServer(t, named('abc'[index] ?? '', ms))));
  const instances = services.map(({ url }, index) => ({ id: 'abc'[index], url }));
  await put(gateway, 'shop', { routes, instances });
  const counts = tally(await load(600, 10, () => fetch(`${gateway.url}/api/x`)));
  assert.ok((counts['c'] ?? 0) < 60, JSON.stringify(counts));
  assert.ok((counts['a'] ?? 0) > 100 && (counts['b'] ?? 0) > 100, JSON.stringify(counts));
  const { body } = await gateway.admin('GET', '/services/shop');
  const [a, b, c] = body.instances;
  assert.ok(c.latencyMs > 3 * a.latencyMs && c.latencyMs > 3 * b.latencyMs, JSON.stringify(body.instances));
  assert.equal(c.weightInEffect, 1);
  const { body: metrics } = await gateway.admin('GET', '/metrics');
  assert.match(metrics, /selvage_instance_attempts_total\{service="shop",instance="a"\} \d+/);
});

test('one of three dies under load: no query and no GET fails, and at most one POST', async (t) => {
  const gateway = await startGateway(t);
  const sdl = 'type Query { name: String }';
  const graph = await Promise.all(
    ['a', 'b', 'c'].map((name) => startPlainGraphql(t, sdl, { Query: { name: () => name } })),
  );
  const rest = await Promise.all(['a', 'b', 'c'].map((name) => startServer(t, named(name, 2))));
  const list = (services: readonly { url: string }[]) => services.map(({ url }, index) => ({ id: 'abc'[index], url }));
  await put(gateway, 'graph', { graphql: {}, instances: list(graph) });
  await put(gateway, 'shop', { routes, instances: list(rest) });
  const query = () =>
    fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"{ name }"}',
    });
  const kill = async (turn: number): Promise<void> => {
    if (turn === 100) await Promise.all([graph[1]?.kill(), rest[1]?.kill()]);
  };
  const queries = await load(300, 4, async (turn) => {
    await kill(turn);
    return query();
  });
  assert.deepEqual(
    queries.filter((text) => !/^\{"data":\{"name":"[abc]"\}\}$/.test(text)),
    [],
  );
  await Promise.all([graph[1]?.restart(), rest[1]?.restart()]);
  await until(async () => {
    const { body } = await gateway.admin('GET', '/services');
    return body.services.every((service: { instances: { state: string }[] }) =>
      service.instances.every(({ state }) => state === 'healthy'),
    );
  }, 'all healthy');
  const gets = await load(300, 4, async (turn) => {
    await kill(turn);
    return fetch(`${gateway.url}/api/x`);
  });
  assert.deepEqual(
    gets.filter((text) => !/^[abc]$/.test(text)),
    [],
  );
  await rest[1]?.restart();
  await until(async () => {
    const { body } = await gateway.admin('GET', '/services/shop');
    return body.instances.every(({ state }: { state: string }) => state === 'healthy');
  }, 'all healthy again');
  // One after the other: what is under way at an instance when it dies can only fail.
  const posts = await load(300, 1, async (turn) => {
    await kill(turn);
    return fetch(`${gateway.url}/api/x`, { method: 'POST', body: '{"buy":1}' });
  });
  assert.ok(posts.filter((text) => !/^[abc]$/.test(text)).length <= 1, JSON.stringify(tally(posts)));
});

test('a session stays at its instance, and moves when that is gone', async (t) => {
  const secrets = ['a secret of more than thirty-two characters'];
  const gateway = await startGateway(t, { sessions: { secrets } });
  const services = await Promise.all(['a', 'b', 'c'].map((name) => startServer(t, named(name))));
  const instances = services.map(({ url }, index) => ({ id: 'abc'[index], url }));
  await put(gateway, 'shop', { routes, instances, loadBalancing: { algorithm: 'round-robin', sticky: {} } });
  const visit = async (cookie?: string) => {
    const response = await fetch(`${gateway.url}/api/x`, { headers: cookie === undefined ? {} : { cookie } });
    const [set] = response.headers.getSetCookie();
    return { name: await response.text(), set };
  };
  const first = await visit();
  assert.match(first.set ?? '', /^selvage-shop=\S+; Path=\/; HttpOnly; SameSite=Lax$/);
  const cookie = first.set?.split(';')[0] ?? '';
  for (let i = 0; i < 6; i++) assert.deepEqual(await visit(cookie), { name: first.name, set: undefined });
  const others = await Promise.all(Array.from({ length: 6 }, () => visit(`${cookie}x`)));
  assert.ok(new Set(others.map(({ name }) => name)).size > 1);
  // Another gateway with the same secret knows the session.
  const second = await startGateway(t, {
    sessions: { secrets: ['a new secret, also longer than thirty-two', ...secrets] },
  });
  await put(second, 'shop', { routes, instances, loadBalancing: { algorithm: 'round-robin', sticky: {} } });
  const there = await fetch(`${second.url}/api/x`, { headers: { cookie } });
  assert.equal(await there.text(), first.name);
  assert.match(there.headers.getSetCookie()[0] ?? '', /^selvage-shop=/);
  await services['abc'.indexOf(first.name)]?.kill();
  const moved = await visit(cookie);
  assert.notEqual(moved.name, first.name);
  const next = moved.set?.split(';')[0] ?? '';
  for (let i = 0; i < 4; i++) assert.deepEqual(await visit(next), { name: moved.name, set: undefined });
});

test('a consistent hash by header holds at both doors', async (t) => {
  const gateway = await startGateway(t);
  const sdl = 'type Query { name: String }';
  const services = await Promise.all(
    ['a', 'b', 'c'].map((name) => startPlainGraphql(t, sdl, { Query: { name: () => name } })),
  );
  await put(gateway, 'graph', {
    graphql: {},
    instances: services.map(({ url }, index) => ({ id: 'abc'[index], url })),
    loadBalancing: { algorithm: 'consistent-hash', hash: { header: 'x-tenant' } },
  });
  const seen = new Set<string>();
  for (let tenant = 0; tenant < 12; tenant++) {
    const headers = { 'x-tenant': `tenant-${tenant}` };
    const names = [];
    for (let i = 0; i < 3; i++) names.push((await gateway.graphql('{ name }', { headers })).data.name);
    assert.equal(new Set(names).size, 1);
    seen.add(names[0]);
  }
  assert.equal(seen.size, 3);
});

test('what contradicts itself is refused with its place', async (t) => {
  const gateway = await startGateway(t);
  const refuse = async (loadBalancing: object) => {
    const answer = await gateway.admin('PUT', '/services/shop', { routes, loadBalancing });
    assert.equal(answer.status, 400);
    return answer.body.reasons.map(({ path, message }: { path: string; message: string }) => `${path}: ${message}`);
  };
  assert.deepEqual(await refuse({ algorithm: 'consistent-hash' }), [
    '/loadBalancing/hash: `consistent-hash` needs one of `header`, `cookie`, `claim` or `ip: true`',
  ]);
  assert.deepEqual(await refuse({ hash: { header: 'x-a' } }), [
    '/loadBalancing/hash: `hash` is for `consistent-hash`, not `p2c`',
  ]);
  assert.deepEqual(await refuse({ sticky: { sameSite: 'none', secure: false } }), [
    '/loadBalancing/sticky/secure: browsers refuse cookies with `sameSite: none` that are not `secure`',
  ]);
});
