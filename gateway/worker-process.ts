/** A worker: serves the public port with what the primary tells it, and asks the primary for what all workers share. */
import cluster from 'node:cluster';
import { createFieldUsage } from '../schema/field-usage.ts';
import type { Planner, PlanOutcome } from '../schema/planner.ts';
import { createAddressPolicy } from '../subgraphs/address-policy.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createRouteUsage } from './route-usage.ts';
import { createServing } from './serving.ts';
import type { LocalServing } from './serving-contract.ts';
import { createWorkerCounts } from './worker-counts.ts';
import { createWorkerGenerations, type FollowSnapshots } from './worker-generations.ts';
import { createWorkerLink } from './worker-link.ts';
import type { ToPrimary, ToWorker, WorkerStart } from './worker-messages.ts';

/** A primary that composes a large graph answers nobody for that long; counting alone meanwhile would let more through. */
const limitPatienceMs = 1_000;
const planPatienceMs = 30_000;
/** How long the primary may not know that a field is in use. */
const usageIntervalMs = 1_000;

interface Running {
  readonly log: Log;
  readonly serving: LocalServing;
  readonly follow: FollowSnapshots;
  readonly names: () => readonly string[];
}

let running: Running | undefined;
const metrics = createMetrics();

const primary = createWorkerLink<ToWorker, ToPrimary>({
  // A primary that is gone takes this process along, see the end of this file.
  send: (message) => void process.send?.(message, undefined, {}, () => {}),
  onFailure: (error) => running?.log.error('a message of the primary failed', { error }),
  handlers: {
    start,
    publish: (news) => required().follow(news),
    prepare: (settings) => required().serving.prepare(settings),
    abandon: () => required().serving.abandon(),
    async configure(settings) {
      await required().serving.configure(settings);
    },
    health: ({ service, instance, healthy, why, reachable }) =>
      required().serving.upstreams.tellHealth(service, instance, healthy, why, reachable),
    metrics: () => metrics.collect(),
    status() {
      const { serving, names } = required();
      return Object.fromEntries(names().map((name) => [name, serving.upstreams.status(name)]));
    },
    mirrors: () => required().serving.mirrors(),
    openapi: () => required().serving.openapi(),
    explain: (question) => required().serving.explain(question),
    breakers() {
      const { serving, names } = required();
      return Object.fromEntries(names().map((name) => [name, serving.upstreams.serviceBreaker(name)]));
    },
    invalidate: (tags) => required().serving.invalidate(tags),
    ping() {},
    drain: (options) => running?.serving.drain(options) ?? 'drained',
    async end() {
      await running?.serving[Symbol.asyncDispose]();
      await running?.log.close();
      process.exit(0);
    },
  },
});

async function start({ worker, settings, news, unhealthy }: WorkerStart): Promise<string> {
  const log = createLog({ ...settings.log, worker });
  const { lookup } = createAddressPolicy(settings.registrationAllow);
  const usage = createFieldUsage({ windowMs: settings.registry.usageWindowMs });
  const routeUsage = createRouteUsage({ onRequest: metrics.routes.observeRetired });
  const serving = createServing({
    settings,
    log,
    metrics,
    lookup,
    planner: createRemotePlanner(),
    counts: createWorkerCounts({
      ask: (questions) => primary.ask('takeLimits', questions, limitPatienceMs),
      renew: (slots) => primary.tell('renewSlots', slots),
      release: (slot) => primary.tell('releaseSlot', slot),
      onFailure: (error) => log.warn('the primary cannot be asked: this worker counts rate limits alone', { error }),
    }),
    onEject: (service, instance, why) => primary.tell('ejected', { service, instance, why }),
    onDoubt: (service, instance) => primary.tell('doubted', { service, instance }),
    processes: settings.workers,
    onInvalidate: (tags) => primary.tell('invalidated', tags),
    usage,
    routeUsage,
  });
  setInterval(() => {
    const rows = usage.take();
    if (rows.length > 0) primary.tell('used', rows);
    const uses = routeUsage.take();
    if (uses.length > 0) primary.tell('usedRoutes', uses);
  }, usageIntervalMs).unref();
  let names: readonly string[] = [];
  const { subgraphErrors } = settings.graphql;
  // The first snapshot is taken in before anything is waited for: later ones are told in relation to it.
  const ready = serving.prepare(settings);
  const followGraph = createWorkerGenerations({ serving, subgraphErrors, log, ready });
  const follow: FollowSnapshots = (latest) => {
    names = latest.delta.names;
    return followGraph(latest);
  };
  running = { log, serving, follow, names: () => names };
  await follow(news);
  for (const { service, instance, healthy, why, reachable } of unhealthy) {
    serving.upstreams.tellHealth(service, instance, healthy, why, reachable);
  }
  return await serving.open();
}

function required(): Running {
  if (running === undefined) throw new Error('the worker has not begun');
  return running;
}

/** One planner serves all workers: each costs a process, and each document would be planned once for every worker. */
function createRemotePlanner(): Planner {
  const unavailable: PlanOutcome = { kind: 'unavailable' };
  return {
    pid: undefined,
    start() {},
    plan: ({ graph, document }) =>
      primary.ask('plan', { graph: graph.id, document }, planPatienceMs).catch(() => unavailable),
    [Symbol.dispose]() {},
  };
}

// A terminal signals the whole process group, but when to stop is for the primary to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// Nothing shared can be half done in a promise that nobody awaited, so the requests in flight need not suffer.
process.on('unhandledRejection', (error) =>
  running?.log.error('a promise was rejected and nobody handled it', { error }),
);
process.on('uncaughtException', (error) => {
  running?.log.error('an exception was not caught', { error });
  running?.log.flush();
  process.exit(1);
});
// Two gateways on one port would follow different registries: without its primary a worker does not go on.
process.on('disconnect', () => process.exit(0));
process.on('message', primary.receive);
if (cluster.isWorker) primary.tell('hello', null);
