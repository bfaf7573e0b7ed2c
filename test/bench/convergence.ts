/**
 * Several gateways on one Redis: how soon each has what was registered at one of them, and what the control plane costs
 * while instances send heartbeats. `node test/bench/convergence.ts [services] [instances] [changes]`
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startRedis } from '../support/redis.ts';
import { type BenchGateway, startBenchGateway } from './processes.ts';

const [serviceCount = 200, instanceCount = 2_000, changeCount = 100] = process.argv.slice(2).map(Number);
const gatewayCount = 3;
const heartbeatMs = 10_000;
const quietSeconds = 20;

const folder = await mkdtemp(join(tmpdir(), 'selvage-convergence-'));
await using stack = new AsyncDisposableStack();
stack.defer(() => rm(folder, { recursive: true }));
const redis = stack.use(await startRedis());
const store = redis.url;
const gateways: BenchGateway[] = [];
for (let index = 0; index < gatewayCount; index++) {
  const own = await mkdtemp(join(folder, 'gateway-'));
  gateways.push(stack.use(await startBenchGateway(own, { store, logging: { access: false } })));
}

async function send(
  gateway: BenchGateway,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ revision: number }> {
  const ask = () =>
    fetch(`${gateway.adminUrl}${path}`, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
  // An idle connection may be closed at the moment it is used again; every call here may be repeated.
  const response = await ask().catch(ask);
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as { revision: number };
}

function gatewayAt(index: number): BenchGateway {
  const gateway = gateways[index % gatewayCount];
  if (gateway === undefined) throw new Error('there is no gateway');
  return gateway;
}

const definitionOf = (index: number, version = 0) => ({
  graphql: { kind: 'plain', schema: `type Query { s${index}: S${index} } type S${index} { id: ID v${version}: Int }` },
});
const putInstance = (index: number, gateway: number) =>
  send(gatewayAt(gateway), 'PUT', `/services/s${index % serviceCount}/instances/i${index}`, {
    url: `http://127.0.0.1:${10_000 + (index % 50_000)}`,
    leaseSeconds: 30,
  });

console.log(`${gatewayCount} gateways, ${serviceCount} services, ${instanceCount} instances`);
let began = performance.now();
const services = Object.fromEntries(
  Array.from({ length: serviceCount }, (_, index) => [`s${index}`, definitionOf(index)]),
);
await send(gatewayAt(0), 'PUT', '/services', { services });
console.log(`services registered in ${Math.round(performance.now() - began)} ms`);
began = performance.now();
let isOver = false;
const beats: Promise<void>[] = [];
let heartbeats = 0;
for (let index = 0; index < instanceCount; index++) {
  await putInstance(index, index);
  beats.push(beat(index));
}
console.log(`instances registered in ${((performance.now() - began) / 1_000).toFixed(1)} s`);

async function beat(index: number): Promise<void> {
  await sleep(Math.random() * heartbeatMs);
  for (let turn = index; !isOver; turn++) {
    await putInstance(index, turn); // at another gateway each time
    heartbeats++;
    await sleep(heartbeatMs * (0.9 + 0.2 * Math.random()));
  }
}

await sleep(heartbeatMs);
const client = new Redis(redis.url);
stack.defer(() => client.disconnect());
const readRedisCpu = async (): Promise<number> => {
  const info = await client.info('cpu');
  return ['used_cpu_sys', 'used_cpu_user'].reduce(
    (sum, name) => sum + Number(new RegExp(`${name}:(.*)`).exec(info)?.[1]),
    0,
  );
};
const readCpu = async () => Promise.all([readRedisCpu(), ...gateways.map((gateway) => gateway.readCpuSeconds())]);
const before = await readCpu();
const beatsBefore = heartbeats;
await sleep(quietSeconds * 1_000);
const spent = (await readCpu()).map((seconds, index) =>
  (((seconds - (before[index] ?? 0)) / quietSeconds) * 100).toFixed(1),
);
console.log(
  `${((heartbeats - beatsBefore) / quietSeconds).toFixed(0)} heartbeats/s cost, in % of a core: Redis ${spent[0]}, gateways ${spent.slice(1).join(' ')}`,
);

for (const kind of ['instances', 'graph'] as const) {
  const times: number[] = [];
  for (let change = 0; change < changeCount; change++) {
    const { revision } =
      kind === 'graph'
        ? await send(
            gatewayAt(change),
            'PUT',
            `/services/s${change % serviceCount}`,
            definitionOf(change % serviceCount, change + 1),
          )
        : await putInstance(instanceCount + change, change);
    const answered = performance.now();
    await Promise.all(gateways.map((gateway) => untilAt(gateway, revision)));
    times.push(performance.now() - answered);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  console.log(
    `change of ${kind}: every gateway has it p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms after the answer`,
  );
}

async function untilAt(gateway: BenchGateway, revision: number): Promise<void> {
  while ((await send(gateway, 'GET', '/graph')).revision < revision) await sleep(5);
}

isOver = true;
const { revision } = await send(gatewayAt(0), 'GET', '/graph');
console.log(
  `revision ${revision}; ${await client.dbsize()} keys, ${(await client.info('memory')).match(/used_memory_human:(\S+)/)?.[1]} in Redis`,
);
await stack.disposeAsync();
process.exit(0); // heartbeats that sleep
