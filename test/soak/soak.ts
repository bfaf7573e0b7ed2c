/** A gateway, services that fail in every way, and clients that check every byte; then what is left when all is quiet. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom } from '../support/random.ts';
import { runChaos, type Scene } from './chaos.ts';
import { makeVisit, runClient } from './clients.ts';
import { GatewayUnderSoak, type Holdings } from './gateway-process.ts';
import { buildConfig, createProcesses } from './landscape.ts';
import { Tally, type World } from './world.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Seconds of the same before the first measurement. */
  readonly warmUpSeconds: number;
  /** @default 24 */
  readonly clients?: number;
  /** @default 1 */
  readonly workers?: number;
  /** Where the gateway's log is kept, to look up the ids of requests. */
  readonly logFile?: string | undefined;
  /** Hears what goes on. */
  readonly tell?: (line: string) => void;
}

export interface SoakReport {
  readonly counts: ReadonlyMap<string, number>;
  /** Empty when all is well. */
  readonly violations: readonly string[];
  readonly before: Holdings;
  readonly after: Holdings;
}

/** The heap may differ by so much: caches of code, plans and names that fill up. */
const heapTolerance = { share: 0.1, bytes: 4_000_000 } as const;
const externalToleranceBytes = 8_000_000;
/** Timers that happen to run: probes, look-outs. */
const resourceTolerance = 6;
/** Breakers, ejections and health checks need their time. */
const recoveryMs = 30_000;
/** For idle connections to services to be closed. */
const settleMs = 30_000;

/** Runs one. The gateway and all services are gone when it resolves. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, seed, warmUpSeconds, clients = 24, workers = 1, tell = () => {} } = options;
  const random = createRandom(seed);
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'selvage-soak-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const processes = createProcesses(random);
  for (const each of processes) await stack.use(each).start();
  const tally = new Tally(tell);
  const config = buildConfig(processes, workers);
  const file = join(folder, 'selvage.json');
  const { gateway, url, adminUrl } = await GatewayUnderSoak.start(file, config, tally, options.logFile);
  stack.use(gateway);
  const world: World = { url, adminUrl, random, tally, isCalm: false };
  const scene: Scene = { world, gateway, processes, config };

  await storm(scene, clients, warmUpSeconds);
  tell(`all is well again: ${tally.counts.get('requests')} requests so far`);
  const before = await settle(scene, null);
  tell(`warmed up: ${describe(before)}`);
  await storm(scene, clients, seconds);
  tell(`all is well again: ${tally.counts.get('requests')} requests so far`);
  const after = await settle(scene, before);
  tell(`at the end: ${describe(after)}`);
  for (const wrong of compare(before, after)) tally.blame(wrong);
  const end = await gateway.stop();
  if (end !== 0) tally.blame(`the gateway ended with ${end}`);
  return { counts: tally.counts, violations: tally.violations, before, after };
}

/** Clients and chaos for a while, then a time in which everything must become well again. */
async function storm(scene: Scene, clients: number, seconds: number): Promise<void> {
  const { world, processes, gateway } = scene;
  world.isCalm = false;
  for (const each of processes) each.calm(false);
  const endsAt = performance.now() + seconds * 1_000;
  const isOver = (): boolean => performance.now() > endsAt || gateway.child.exitCode !== null;
  const all = Array.from({ length: clients }, (_, number) => runClient(world, number, isOver));
  await Promise.all([...all, runChaos(scene, isOver)]);
  for (const each of processes) each.calm(true);
  world.isCalm = true;
  await recover(world);
}

/** Requests, until fifty in a row end well. */
async function recover(world: World): Promise<void> {
  const endsAt = performance.now() + recoveryMs;
  for (let good = 0, visit = 0; good < 50; visit++) {
    const isGood = await makeVisit({ world, agent: false, id: `soak-recovery-${visit}` });
    good = isGood ? good + 1 : 0;
    // What ends well may take its time: the machine may be busy.
    if (isGood || performance.now() < endsAt) continue;
    world.tally.blame(`requests still fail ${recoveryMs} ms after everything became well`);
    return;
  }
}

/** Waits until sockets are back where they were, or, the first time, until their number stands still. */
async function settle({ gateway }: Scene, before: Holdings | null): Promise<Holdings> {
  const endsAt = performance.now() + settleMs;
  const quietMs = before === null ? 8_000 : 1_000;
  let [least, leastAt] = [Number.POSITIVE_INFINITY, performance.now()];
  for (;;) {
    await sleep(250);
    const sockets = gateway.countSockets();
    if (sockets < least) [least, leastAt] = [sockets, performance.now()];
    const isBack = before === null || least <= before.sockets;
    const isQuiet = sockets === least && performance.now() - leastAt > quietMs;
    if ((isBack && isQuiet) || performance.now() > endsAt) return gateway.measure();
  }
}

function* compare(before: Holdings, after: Holdings): Generator<string> {
  if (after.sockets > before.sockets) yield `${after.sockets} sockets, ${before.sockets} at the start`;
  const most = Math.max(before.heapBytes * (1 + heapTolerance.share), before.heapBytes + heapTolerance.bytes);
  if (after.heapBytes > most) yield `heap of ${after.heapBytes} bytes, ${before.heapBytes} at the start`;
  if (after.externalBytes > before.externalBytes + externalToleranceBytes) {
    yield `${after.externalBytes} bytes outside of the heap, ${before.externalBytes} at the start`;
  }
  for (const [name, count] of Object.entries(after.resources)) {
    const had = before.resources[name] ?? 0;
    if (count > had + resourceTolerance) yield `${count} times ${name}, ${had} at the start`;
  }
}

function describe({ sockets, heapBytes, externalBytes, resources }: Holdings): string {
  const kinds = Object.entries(resources).map(([name, count]) => `${name} ${count}`);
  return `${sockets} sockets, heap ${toMegabytes(heapBytes)}, outside of it ${toMegabytes(externalBytes)}; ${kinds.join(', ')}`;
}

function toMegabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
