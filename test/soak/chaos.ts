/** What is done to services and to the gateway while clients ask: processes die and freeze, teams and operators change things. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import type { GatewayUnderSoak } from './gateway-process.ts';
import type { ServiceProcess } from './instances.ts';
import { varyConfig } from './landscape.ts';
import { below, pick, pickWeighted, type World } from './world.ts';

export interface Scene {
  readonly world: World;
  readonly gateway: GatewayUnderSoak;
  readonly processes: readonly ServiceProcess[];
  readonly config: GatewayConfig;
}

type Deed = (scene: Scene) => Promise<void>;

const deeds: readonly (readonly [weight: number, name: string, deed: Deed])[] = [
  [8, 'kill -9', killOne],
  [3, 'freeze', ({ world, processes }) => pick(world.random, processes).freeze(world.random() * 3_000)],
  [4, 'an instance joins or leaves', changeInstance],
  [3, 'a service comes or goes', changeService],
  [3, 'the graph changes', changeGraph],
  [4, 'a policy is put or deleted', changePolicy],
  [3, 'the configuration changes', changeConfig],
  [2, 'the cache is invalidated', ({ world }) => callAdmin(world, 'POST', '/cache/invalidate', { all: true })],
  [1, 'everything is looked at', lookAround],
];

/** Deed after deed, some at the same time. Resolves when all are done, and everything runs again. */
export async function runChaos(scene: Scene, isOver: () => boolean): Promise<void> {
  const { world, processes } = scene;
  const underWay = new Set<Promise<void>>();
  while (!isOver()) {
    const [, name, deed] = pickWeighted(
      world.random,
      deeds.map((each) => [each[0], each] as const),
    );
    world.tally.count(`chaos: ${name}`);
    const done = deed(scene)
      .catch((error: unknown) => world.tally.blame(`chaos, ${name}: ${error}`))
      .finally(() => underWay.delete(done));
    underWay.add(done);
    await sleep(100 + world.random() * 900);
  }
  await Promise.all(underWay);
  for (const each of processes) if (!each.isRunning) await each.start();
  await scene.gateway.configure(JSON.stringify(scene.config));
  for (const path of ['/services/rest/instances/guest', '/services/passing', '/services/extra', '/policies/whim']) {
    await callAdmin(world, 'DELETE', path);
  }
}

async function killOne({ world, processes }: Scene): Promise<void> {
  const victim = pick(world.random, processes);
  if (!victim.isRunning) return;
  await victim.kill();
  await sleep(world.random() * 3_000);
  await victim.start();
}

/** A further name for an instance that is there: it comes with a lease, and leaves by word, by drain, or by silence. */
async function changeInstance({ world, processes }: Scene): Promise<void> {
  const path = '/services/rest/instances/guest';
  const host = pick(
    world.random,
    processes.filter(({ kind }) => kind === 'rest'),
  );
  await pick(world.random, [
    () => callAdmin(world, 'PUT', path, { url: host.url, leaseSeconds: 2 }),
    () => callAdmin(world, 'POST', `${path}/drain`),
    () => callAdmin(world, 'DELETE', path),
  ])();
}

async function changeService({ world, processes }: Scene): Promise<void> {
  if (world.random() < 0.3) return callAdmin(world, 'DELETE', '/services/passing');
  await callAdmin(world, 'PUT', '/services/passing', {
    routes: [{ match: { path: '/passing/*' }, rewrite: '/*' }],
    instances: processes.filter(({ kind }) => kind === 'rest').map(({ url }) => ({ url })),
    timeout: `${1 + below(world.random, 3)}s`,
  });
}

async function changeGraph({ world }: Scene): Promise<void> {
  if (world.random() < 0.3) return callAdmin(world, 'DELETE', '/services/extra');
  const schema = `type Query { extra${below(world.random, 1_000)}: Int }`;
  await callAdmin(world, 'PUT', '/services/extra', { graphql: { kind: 'plain', schema } });
}

async function changePolicy({ world }: Scene): Promise<void> {
  if (world.random() < 0.4) return callAdmin(world, 'DELETE', '/policies/whim');
  const services = [pick(world.random, ['rest', 'items', 'offers', 'passing'])];
  const kind = pick<object>(world.random, [
    { timeout: '1500ms' },
    { rateLimit: [{ name: 'whim', limit: 30, window: '1s', key: 'ip' }] },
    { retry: { attempts: 3, budget: '100%' } },
    { concurrency: 2 },
    { hedging: { budget: '50%', minimumDelay: '5ms' } },
  ]);
  await callAdmin(world, 'PUT', '/policies/whim', { bind: { services }, ...kind });
}

async function changeConfig({ world, gateway, config }: Scene): Promise<void> {
  await gateway.configure(varyConfig(config, world.random));
}

async function lookAround({ world }: Scene): Promise<void> {
  for (const path of ['/services', '/graph', '/routes', '/metrics', '/audit']) await callAdmin(world, 'GET', path);
}

/** Fails unless the answer is a success, or says that there is nothing of that name. */
async function callAdmin({ adminUrl, tally }: World, method: string, path: string, body?: unknown): Promise<void> {
  const response = await fetch(adminUrl + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  tally.count(`admin: ${response.status}`);
  if (!response.ok && response.status !== 404) throw new Error(`${method} ${path}: ${response.status} ${text}`);
}
