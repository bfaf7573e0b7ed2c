import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { RateLimitRule } from '../../policies/rate-limit-rule.ts';
import { offer } from '../support/offered-load.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

const limit = 150;
const offered = 1_500;
const share = 5;
const windowed = { limit, window: '1d', key: 'route' } as const;

const cases: Readonly<Record<string, Omit<RateLimitRule, 'name'>>> = {
  gcra: windowed,
  'sliding-window': { ...windowed, algorithm: 'sliding-window' },
  'fixed-window': { ...windowed, algorithm: 'fixed-window' },
  concurrency: { limit, key: 'route', algorithm: 'concurrency', lease: '1m' },
  shares: { ...windowed, algorithm: 'fixed-window', localShare: { share: `${share}%`, keep: '1m' } },
};

test('three gateway processes on one Redis let exactly the limit pass of what is offered at once', {
  skip: redisSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const held: ServerResponse[] = [];
  const service = createServer((request, response) => {
    if (request.url === '/concurrency') held.push(response);
    else response.end('ok');
  }).listen(0, '127.0.0.1');
  await once(service, 'listening');
  t.after(() => service.close());
  const { port } = service.address() as AddressInfo;
  // What Redis is too busy to answer in time is refused, so that nobody counts for himself: never more than the limit.
  const routes = Object.entries(cases).map(([name, rule]) => ({
    match: { path: `/${name}` },
    rateLimit: [{ name, onStoreError: 'deny' as const, ...rule }],
  }));
  const config = {
    store: 'memory',
    redis: redis.url,
    services: { counted: { routes, instances: [{ url: `http://127.0.0.1:${port}` }] } },
  };
  const gateways = await Promise.all(
    Array.from({ length: 3 }, async () => await startGatewayProcess(t, await makeFolder(t), config)),
  );

  for (const name of Object.keys(cases)) {
    await t.test(name, async () => {
      const urls = gateways.map(({ url }) => `${url}/${name}`);
      let answered = 0;
      const load = offer(urls, offered, { onStatus: () => answered++ });
      if (name === 'concurrency') {
        // A slot is held until its answer is out: only then all have been offered at once.
        while (held.length + answered < offered) await new Promise((resolve) => setTimeout(resolve, 10));
        for (const response of held) response.end();
      }
      const { statuses, failed } = await load;
      assert.equal(failed, 0);
      const passed = statuses.get(200) ?? 0;
      // On a machine that is too busy: Redis or the service did not answer in time, whatever had been counted.
      const unsure = offered - passed - (statuses.get(429) ?? 0);
      const unspent = name === 'shares' ? gateways.length * Math.floor((limit * share) / 100) : 0;
      const seen = JSON.stringify([...statuses]);
      assert.ok(passed <= limit, seen);
      assert.ok(passed + unspent + unsure >= limit, seen);
    });
  }
});
