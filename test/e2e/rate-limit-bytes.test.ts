import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RateLimitRule } from '../../policies/rate-limit-rule.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

const kilobyte = 1_024;

/** What is left by the header of an answer. */
function remainingOf({ headers }: { readonly headers: Headers }): number {
  return Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]);
}

/** A service that swallows what it gets and answers with as many bytes as the path says. */
async function startStore(t: TestContext, gateway: TestGateway): Promise<void> {
  const service = await startServer(t, async (incoming, response) => {
    for await (const _ of incoming);
    response.end('x'.repeat(Number(incoming.url?.split('/').at(-1))));
  });
  await registerRest(gateway, 'files', service.url, [{ match: { path: '/files/:size' } }]);
}

/** What an answer took is charged when it has ended, and other processes hear of it a moment later. */
async function untilCharged(gateway: TestGateway, atMost: number): Promise<void> {
  while (remainingOf(await fetch(`${gateway.url}/files/0`)) > atMost) await sleep(5);
}

async function startLimited(t: TestContext, rule: Partial<RateLimitRule>, more: object = {}): Promise<TestGateway> {
  const traffic = { name: 'traffic', limit: '100kb', window: '1h', key: 'ip', count: 'bytes', ...rule } as const;
  const gateway = await startGateway(t, { policies: { rateLimit: [traffic] }, ...more });
  await startStore(t, gateway);
  return gateway;
}

for (const where of ['one process', 'two workers', 'Redis', 'Redis with local shares'] as const) {
  test(`bytes are one budget for both doors, and a body under way is not cut (${where})`, {
    skip: where.startsWith('Redis') && redisSkipReason,
  }, async (t) => {
    const redis = where.startsWith('Redis') ? await startRedis() : undefined;
    t.after(() => redis?.[Symbol.asyncDispose]());
    const gateway = await startLimited(
      t,
      { algorithm: 'fixed-window', ...(where.endsWith('shares') && { localShare: { share: '5%', keep: '1h' } }) },
      { ...(redis && { redis: redis.url }), workers: where === 'two workers' ? 2 : 1 },
    );
    const graphql = await startSubgraph(t, 'type Query { text: String }', {
      Query: { text: () => 'y'.repeat(20_000) },
    });
    await registerGraphql(gateway, 'texts', graphql.url);

    const first = await fetch(`${gateway.url}/files/10240`, { method: 'POST', body: 'z'.repeat(5_120) });
    assert.equal((await first.text()).length, 10_240);
    await untilCharged(gateway, 102_400 - 15 * kilobyte);
    assert.equal(first.headers.get('ratelimit-policy'), '"traffic";q=102400;qu="content-bytes";w=3600');
    const second = await gateway.graphql('{ text }');
    assert.equal(second.data.text.length, 20_000);
    assert.ok(remainingOf(second) <= 102_400 - 15 * kilobyte - 1, `${remainingOf(second)}`);
    await untilCharged(gateway, 102_400 - 35_000);
    const whole = await fetch(`${gateway.url}/files/1000000`);
    assert.ok(remainingOf(whole) < 102_400 - 35_000 && remainingOf(whole) > 102_400 - 36_000, `${remainingOf(whole)}`);
    assert.equal((await whole.text()).length, 1_000_000, 'ten times of what was left');

    await untilCharged(gateway, 0);
    const refused = await fetch(`${gateway.url}/files/1`);
    assert.equal(refused.status, 429);
    assert.match((await refused.json()).detail, /102400 bytes per 1h/);
    assert.equal(remainingOf(refused), 0);
    assert.ok(Number(refused.headers.get('retry-after')) > 3_000);
    assert.equal((await gateway.graphql('{ text }')).status, 429);
  });
}

test('bytes of requests and of answers can be counted apart, chunked or not', async (t) => {
  const gateway = await startGateway(t);
  const rule = (name: string, count: string) => ({ name, limit: '1mb', window: '1h', key: 'ip', count });
  const service = await startServer(t, async (incoming, response) => {
    let size = 0;
    for await (const chunk of incoming) size += chunk.length;
    response.end('x'.repeat(size * 2));
  });
  await registerRest(gateway, 'echo', service.url, [
    { match: { path: '/in' }, rateLimit: [rule('in', 'requestBytes')] },
    { match: { path: '/out' }, rateLimit: [rule('out', 'responseBytes')] },
    { match: { path: '/safe' }, idempotencyKeys: true, rateLimit: [rule('safe', 'bytes')] },
  ]);
  const send = async (path: string, chunked: boolean) => {
    const body = chunked ? new Blob(['x'.repeat(1_000)]).stream() : Buffer.alloc(1_000);
    const headers = path === '/safe' ? { 'idempotency-key': 'k' } : {};
    const answer = await fetch(gateway.url + path, { method: 'POST', body, headers, duplex: 'half' } as RequestInit);
    assert.equal((await answer.arrayBuffer()).byteLength, 2_000);
    return remainingOf(answer);
  };
  for (const [path, each] of [
    ['/in', 1_000],
    ['/out', 2_000],
    ['/safe', 3_000],
  ] as const) {
    const left: number[] = [];
    for (const chunked of [false, true, false]) left.push(await send(path, chunked));
    // A little of a steady pace comes back while the test runs: 291 bytes a second.
    for (const [index, remaining] of left.entries()) {
      const spent = 1_048_576 - remaining;
      assert.ok(spent <= index * each + 1 && spent > index * each - 900, `${path}: ${spent} after ${index}`);
    }
  }
});

test('a client that leaves is charged for what it was sent', async (t) => {
  const gateway = await startGateway(t, {
    policies: {
      rateLimit: [
        { name: 'traffic', algorithm: 'fixed-window', limit: '100kb', window: '1h', key: 'ip', count: 'bytes' },
      ],
    },
  });
  const service = await startServer(t, (incoming, response) => {
    if (incoming.url === '/quick') response.end();
    else response.write('x'.repeat(200_000));
  });
  await registerRest(gateway, 'endless', service.url, [{ match: { path: '/*' } }]);
  const leaving = request(`${gateway.url}/endless`, (response) => response.once('data', () => leaving.destroy()));
  leaving.on('error', () => {});
  leaving.end();
  while ((await fetch(`${gateway.url}/quick`)).status !== 429) await sleep(10);
});
