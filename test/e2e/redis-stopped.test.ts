import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { offer } from '../support/offered-load.ts';
import { redisControlSkipReason, startRedis } from '../support/redis.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

async function countOutcome(gateway: TestGateway, outcome: string): Promise<number> {
  const { body } = await gateway.admin('GET', '/metrics');
  const line = String(body)
    .split('\n')
    .find((each) => each.startsWith('selvage_rate_limit_decisions_total') && each.includes(`outcome="${outcome}"`));
  return Number(line?.split(' ').at(-1) ?? 0);
}

test('Redis that is stopped under load fails no request, is hardly asked meanwhile, and counts again when it goes on', {
  skip: redisControlSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const limit = 100_000;
  const rule = { name: 'stopped', algorithm: 'fixed-window', limit, window: '1d', key: 'ip' } as const;
  const gateway = await startGateway(t, { redis: redis.url, policies: { rateLimit: [rule] } });
  const service = await startServer(t, (_, response) => response.end('ok'));
  await registerRest(gateway, 'rest', service.url, [{ match: { path: '/rest' } }]);
  const url = `${gateway.url}/rest`;
  const remaining = async () => Number(/r=(\d+)/.exec((await fetch(url)).headers.get('ratelimit') ?? '')?.[1]);
  const shared = async () => {
    const before = await countOutcome(gateway, 'store-error');
    const left = await remaining();
    return (await countOutcome(gateway, 'store-error')) === before ? left : undefined;
  };
  await until(async () => (await shared()) !== undefined, 'Redis counts');
  const before = (await shared()) ?? 0;

  let answered = 0;
  const load = offer([url], 600, {
    clients: 20,
    onStatus: () => {
      if (++answered === 200) redis.pause();
    },
  });
  const { statuses, failed } = await load;
  assert.deepEqual([[...statuses], failed], [[[200, 600]], 0]);
  assert.ok((await countOutcome(gateway, 'store-error')) > 0, 'counted in this process');
  // Those that were on their way when it stopped, and one for each pause after that, waited for it; the others did not ask.
  const failures = gateway.lines.filter(({ msg }) => String(msg).startsWith('Redis cannot be asked'));
  assert.ok(failures.length >= 1 && failures.length < 60, `${failures.length}`);

  redis.resume();
  await until(async () => ((await shared()) ?? limit) < before, 'Redis counts again');
  const after = (await shared()) ?? 0;
  assert.equal(await remaining(), after - 1);
});
