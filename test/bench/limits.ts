/**
 * Three gateways on one Redis: how many pass of what is offered at once, and how long requests wait while Redis is stopped.
 * `node test/bench/limits.ts [requests] [limit]`
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RateLimitRule } from '../../policies/rate-limit-rule.ts';
import { offer } from '../support/offered-load.ts';
import { startRedis } from '../support/redis.ts';
import { type BenchGateway, startBenchGateway } from './processes.ts';

const [requests = 10_000, limit = 1_000] = process.argv.slice(2).map(Number);
const gatewayCount = 3;
const loadedClients = 10;
const loadedRequests = 2_000;

const windowed = { limit, window: '1d', key: 'route' } as const;
const rules: readonly RateLimitRule[] = [
  { name: 'gcra', ...windowed },
  { name: 'sliding-window', ...windowed, algorithm: 'sliding-window' },
  { name: 'fixed-window', ...windowed, algorithm: 'fixed-window' },
  { name: 'concurrency', algorithm: 'concurrency', limit, key: 'route', lease: '1m' },
  ...['1%', '5%'].map((share) => ({
    name: `share-${Number.parseInt(share, 10)}`,
    ...windowed,
    localShare: { share, keep: '1m' },
  })),
];
const stopped: RateLimitRule = { name: 'stopped', limit: 1_000_000_000, window: '1s', key: 'ip' };

await using stack = new AsyncDisposableStack();
const folder = await mkdtemp(join(tmpdir(), 'selvage-limits-'));
stack.defer(() => rm(folder, { recursive: true, force: true }));
const redis = stack.use(await startRedis());
const held: ServerResponse[] = [];
const service = createServer((request, response) => {
  if (request.url?.startsWith('/concurrency')) held.push(response);
  else response.end('ok');
});
service.listen(0, '127.0.0.1', 20_000);
await once(service, 'listening');
stack.defer(() => void service.close());
const instances = [{ url: `http://127.0.0.1:${(service.address() as AddressInfo).port}` }];

// What Redis could not say in time is refused (`deny`) or counted by each gateway (`local`): both are shown.
const outcomes = ['deny', 'local'] as const;
const routes = [
  ...rules.flatMap((rule) =>
    outcomes.map((onStoreError) => ({
      match: { path: `/${rule.name}/${onStoreError}` },
      rateLimit: [{ ...rule, name: `${rule.name}-${onStoreError}`, onStoreError }],
    })),
  ),
  { match: { path: '/stopped' }, rateLimit: [stopped] },
  { match: { path: '/free' } },
];
const gateways: BenchGateway[] = [];
for (let index = 0; index < gatewayCount; index++) {
  const own = await mkdtemp(join(folder, 'gateway-'));
  // On a busy machine 10,000 connections take longer than services may by default.
  const policies = { deadline: '5m', timeout: '4m', circuitBreaker: { minimumCalls: 10_000 } };
  const config = { redis: redis.url, policies, services: { counted: { routes, instances } } };
  gateways.push(stack.use(await startBenchGateway(own, config, String(index % 2))));
}
const urlsOf = (path: string) => gateways.map(({ url }) => `${url}${path}`);
await offer(urlsOf('/stopped'), 3_000, { clients: 50 });

for (const { name } of rules) {
  for (const onStoreError of outcomes) {
    held.length = 0;
    let answered = 0;
    const load = offer(urlsOf(`/${name}/${onStoreError}`), requests, { onStatus: () => answered++ });
    if (name === 'concurrency') {
      while (held.length + answered < requests) await sleep(20);
      for (const response of held) response.end();
    }
    const { statuses, failed, durationsMs } = await load;
    const [passed, refused, unanswered] = await Promise.all(
      ['allowed', 'refused', 'store-error'].map((outcome) => readDecisions(`${name}-${onStoreError}`, outcome)),
    );
    const seen = [...statuses].map(([status, count]) => `${status}: ${count}`).join(', ');
    console.log(
      `${name} (${onStoreError}): of ${requests} at once, limit ${limit}: ${passed} pass, ${refused} refused; ` +
        `Redis not heard in time ${unanswered}; ${seen}, failed: ${failed}; longest ${durationsMs.at(-1)?.toFixed(0)} ms`,
    );
  }
}

const measure = async (title: string, path: string, during?: () => void): Promise<void> => {
  const timer = during === undefined ? undefined : setTimeout(during, 100);
  const { statuses, durationsMs } = await offer(urlsOf(path), loadedRequests, { clients: loadedClients });
  clearTimeout(timer);
  const at = (share: number) =>
    durationsMs[Math.min(durationsMs.length - 1, Math.floor(durationsMs.length * share))]?.toFixed(1);
  console.log(`${title}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms; ${JSON.stringify([...statuses])}`);
};
async function readDecisions(rule: string, outcome: string): Promise<number> {
  let sum = 0;
  for (const { adminUrl } of gateways) {
    const text = await (await fetch(`${adminUrl}/metrics`)).text();
    const line = text
      .split('\n')
      .find((each) => each.includes(`rule="${rule}"`) && each.includes(`outcome="${outcome}"`));
    sum += Number(line?.split(' ').at(-1) ?? 0);
  }
  return sum;
}
const askedNow = () => readDecisions('stopped', 'store-error');
for (let round = 1; round <= 3; round++) {
  await measure(`${round}. no limit`, '/free');
  await measure(`${round}. Redis answers`, '/stopped');
  await measure(`${round}. Redis is stopped under load`, '/stopped', () => redis.pause());
  await measure(`${round}. Redis stays stopped`, '/stopped');
  const before = await askedNow();
  redis.resume();
  await sleep(2_500);
  await measure(`${round}. Redis goes on`, '/stopped');
  // Each gateway needs one request that tries.
  const healing = await askedNow();
  await measure(`${round}. and is asked again`, '/stopped');
  console.log(
    `${round}. counted without Redis: ${before} until it went on, ${healing - before} while healing, ${(await askedNow()) - healing} after`,
  );
}
await stack.disposeAsync();
process.exit(0);
