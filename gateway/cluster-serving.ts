/**
 * Serving by several worker processes. This process stays the control plane: it composes to admit, probes instances,
 * counts rate limits, plans operations, and tells its workers. They share the public port by node:cluster.
 *
 * What each worker keeps to itself, and why that is right: circuit breakers (they judge by what a worker saw itself; asking
 * elsewhere would cost every call a message; that nobody can connect to an instance is shared at once), retry budgets
 * (each a share of the worker's own calls, so the sum is the same share of all), load by instance (each balances its
 * own calls; the sum is balanced as well), and `concurrency`, of which each worker has its part.
 */

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import { GatewayError } from '../policies/errors.ts';
import type { Graph } from '../schema/graph.ts';
import { createPlanner } from '../schema/planner.ts';
import type { InstanceStatus } from '../subgraphs/instance-status.ts';
import { emptySnapshot, type Snapshot } from '../subgraphs/snapshot.ts';
import { createUpstreams } from '../subgraphs/upstreams.ts';
import { findBoundSettings } from './bound-settings.ts';
import type { Settings } from './config.ts';
import { askFirst } from './first-answer.ts';
import { listen } from './listen.ts';
import { mergeReports } from './mirror-report.ts';
import { createCallObserver } from './observation.ts';
import { loadCertificates } from './server-certificates.ts';
import type { Serving, ServingOptions } from './serving-contract.ts';
import { createSharedPlanner } from './shared-planner.ts';
import { buildSnapshotDelta, buildWholeDelta } from './snapshot-delta.ts';
import { createPrimaryCounts } from './worker-counts.ts';
import type { HealthNews, MetricsJson, WorkerStart } from './worker-messages.ts';
import { createWorkerMetrics } from './worker-metrics.ts';
import { createWorkerPool, type WorkerHandle } from './worker-pool.ts';
import { mergeBreakers, mergeStatus } from './worker-status.ts';

/** How long an answer of the admin port waits for workers: a change that was admitted is made, whoever is slow. */
const appliedPatienceMs = 10_000;
const askPatienceMs = 1_000;
/** A credential may have to be asked for, and a plan to be made. */
const explainPatienceMs = 10_000;
/** Plugins have their own, shorter bounds; all of a list one after the other. */
const preparePatienceMs = 60_000;
/** Longer than a worker waits for Redis. */
const invalidationPatienceMs = 5_000;

/** Serves by workers. Takes the place of `createServing` where `workers` is more than 1. */
export function createClusterServing(options: ServingOptions): Serving {
  const { log, metrics, lookup } = options;
  const stack = new AsyncDisposableStack();
  // One for all workers: the cookie of one must hold at the others.
  const randomSecrets = [randomBytes(32).toString('base64url')];
  const withSecrets = (given: Settings): Settings =>
    given.sessionSecrets.length > 0 ? given : { ...given, sessionSecrets: randomSecrets };
  let settings = withSecrets(options.settings);
  let published: { snapshot: Snapshot; graph: Graph } | undefined;
  let { port } = settings.listen;
  let statuses: Promise<readonly Statuses[]> | undefined;
  /** What each worker was sent last, and what it has not acknowledged. */
  const sent = new Map<number, Snapshot>();
  const unacknowledged = new Set<Promise<void>>();
  const workerMetrics = createWorkerMetrics();

  const observer = createCallObserver(log, metrics);
  // Calls nobody: it is here for the probes, of which one process per machine is enough.
  const upstreams = stack.use(
    createUpstreams({
      defaults: settings.resilience,
      zone: settings.zone,
      bodyIdleTimeoutMs: settings.limits.bodyIdleTimeoutMs,
      lingerMs: 0,
      lookup,
      observer: {
        ...observer,
        onHealthChange(service, instance, healthy, why, reachable) {
          observer.onHealthChange(service, instance, healthy, why, reachable);
          tellAll((worker) => worker.link.tell('health', { service, instance, healthy, why, reachable }));
        },
      },
    }),
  );
  const counts = createPrimaryCounts();
  stack.defer(() => counts.close());
  const planner = stack.use(createPlanner({ log }));
  const plans = createSharedPlanner(planner);

  const pool = createWorkerPool({
    log,
    buildStart,
    handlers: {
      takeLimits: (questions) => questions.map(counts.take),
      renewSlots: counts.renew,
      releaseSlot: counts.release,
      plan: ({ graph, document }) => plans.plan(graph, document),
      ejected: ({ service, instance, why }) => upstreams.eject(service, instance, why),
      doubted: ({ service, instance }) => upstreams.doubt(service, instance),
      invalidated(tags) {
        // Whoever tells it has dropped its own, and finds nothing any more.
        tellAll((worker) => void worker.link.ask('invalidate', tags, askPatienceMs).catch(() => {}));
      },
      used: (rows) => options.usage.add(rows),
      usedRoutes: (uses) => options.routeUsage.add(uses),
    },
    onGone(worker) {
      sent.delete(worker.id);
      workerMetrics.retire(worker.id);
    },
    onCount: metrics.observeWorkers,
    onDeath: metrics.observeWorkerDeath,
  });
  stack.defer(() => pool.close());

  function buildStart(worker: WorkerHandle): WorkerStart {
    if (published === undefined) throw new TypeError('there is nothing to serve yet');
    const { snapshot, graph } = published;
    sent.set(worker.id, snapshot);
    return {
      worker: worker.id,
      settings: { ...settings, listen: { ...settings.listen, port } },
      news: { delta: buildWholeDelta(snapshot), graph: graph.id },
      unhealthy: listUnhealthy(snapshot),
    };
  }

  function listUnhealthy(snapshot: Snapshot): readonly HealthNews[] {
    return snapshot.services.flatMap(({ name }) =>
      upstreams
        .status(name)
        .filter(({ state }) => state !== 'healthy' && state !== 'draining')
        .map(({ id, state, reachable, lastFailure }) => ({
          service: name,
          instance: id,
          healthy: false,
          reachable,
          why: lastFailure ?? state,
        })),
    );
  }

  /** Those that were sent a first snapshot; the others get what holds when they begin. */
  function tellAll(tell: (worker: WorkerHandle) => void): void {
    for (const worker of pool.members) if (sent.has(worker.id)) tell(worker);
  }

  function send(worker: WorkerHandle, snapshot: Snapshot, graph: Graph): void {
    const delta = buildSnapshotDelta(sent.get(worker.id) ?? emptySnapshot, snapshot);
    sent.set(worker.id, snapshot);
    const acknowledged = worker.link
      .ask('publish', { delta, graph: graph.id })
      // One that is gone is replaced, and its successor begins with what holds then.
      .catch((error) => log.debug('a worker did not take over a snapshot', { error, worker: worker.id }))
      .finally(() => unacknowledged.delete(acknowledged));
    unacknowledged.add(acknowledged);
  }

  async function collect(): Promise<void> {
    const asked = pool.members.map(async ({ id, link }) => {
      const collected: MetricsJson = await link.ask('metrics', null, askPatienceMs);
      // Gone meanwhile, it is in the sums of those that were before.
      if (sent.has(id)) workerMetrics.observe(id, collected);
    });
    await Promise.allSettled(asked);
  }

  /** All services in one question: a list of them asks for each. */
  function gatherStatuses(): Promise<readonly Statuses[]> {
    statuses ??= Promise.allSettled(pool.members.map(({ link }) => link.ask('status', null, askPatienceMs)))
      .then((settled) => settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])))
      .finally(() => {
        statuses = undefined;
      });
    return statuses;
  }

  async function status(service: string): Promise<readonly InstanceStatus[]> {
    const gathered = await gatherStatuses();
    return mergeStatus(
      upstreams.status(service),
      gathered.map((one) => one[service] ?? []),
    );
  }

  async function abandon(): Promise<void> {
    await Promise.allSettled(pool.members.map(({ link }) => link.ask('abandon', null, askPatienceMs)));
  }

  async function serviceBreaker(service: string): Promise<BreakerState | null> {
    const asked = await Promise.allSettled(pool.members.map(({ link }) => link.ask('breakers', null, askPatienceMs)));
    return mergeBreakers(asked.map((one) => (one.status === 'fulfilled' ? (one.value[service] ?? null) : null)));
  }

  return {
    // Graphs are composed here to see whether they can be; nobody asks them anything.
    execute: () => Promise.reject(new TypeError('the primary executes nothing')),
    // Workers prepare what they serve.
    warm: (admit) => admit,
    publish(snapshot, graph) {
      published = { snapshot, graph };
      plans.add(graph);
      upstreams.apply(snapshot);
      tellAll((worker) => send(worker, snapshot, graph));
    },
    async applied() {
      if (unacknowledged.size === 0) return;
      const { promise: late, resolve } = Promise.withResolvers<'late'>();
      const timer = setTimeout(() => resolve('late'), appliedPatienceMs);
      const outcome = await Promise.race([Promise.all([...unacknowledged]), late]);
      clearTimeout(timer);
      if (outcome === 'late')
        log.warn('not every worker serves the change yet', { revision: published?.snapshot.revision });
    },
    async prepare(given) {
      // Those that start later load for themselves.
      const loading = pool.members.filter(({ id }) => sent.has(id));
      const asked = loading.map(({ link }) => link.ask('prepare', withSecrets(given), preparePatienceMs));
      const failed = (await Promise.allSettled(asked)).find(({ status }) => status === 'rejected');
      if (failed?.status !== 'rejected') return;
      await abandon();
      // The stack of a message says nothing; what the worker says is about the configuration.
      const { message } = failed.reason as Error;
      throw new GatewayError('BAD_REQUEST', message, { cause: failed.reason });
    },
    abandon,
    async configure(given) {
      const next = withSecrets(given);
      const bound = findBoundSettings(settings, next);
      const before = settings;
      settings = next;
      upstreams.configure({ defaults: next.resilience, zone: next.zone });
      if (next.workers === 1) return ['workers'];
      if (bound.length === 0) {
        await Promise.allSettled(pool.members.map(({ link }) => link.ask('configure', next, appliedPatienceMs)));
        return [];
      }
      log.info('workers are replaced for settings that a process keeps', { changed: bound });
      const portBefore = port;
      try {
        if (next.listen.tls !== undefined) await loadCertificates(next.listen.tls);
        if (before.listen.port !== next.listen.port) port = await choosePort(next.listen);
        await pool.replaceAll(next.workers);
      } catch (error) {
        settings = before;
        port = portBefore;
        throw error;
      }
      return [];
    },
    async open() {
      if (settings.graphql.engine === 'auto') planner.start();
      // Told once, before every worker fails over it.
      if (settings.listen.tls !== undefined) await loadCertificates(settings.listen.tls);
      port = await choosePort(settings.listen);
      return await pool.start(settings.workers);
    },
    status,
    poolHealth: upstreams.poolHealth,
    serviceBreaker,
    async probe(service) {
      await upstreams.probe(service);
      return await status(service);
    },
    explain: (question) => askFirst(pool.members, (link) => link.ask('explain', question, explainPatienceMs)),
    openapi: () => askFirst(pool.members, (link) => link.ask('openapi', null, explainPatienceMs)),
    async mirrors() {
      const reports = pool.members.map(({ link }) => link.ask('mirrors', null, askPatienceMs).catch(() => []));
      return mergeReports((await Promise.all(reports)).flat());
    },
    async renderMetrics() {
      await collect();
      return await workerMetrics.render(await metrics.collect());
    },
    async invalidate(tags) {
      const counts = await Promise.all(
        pool.members.map(({ link }) => link.ask('invalidate', tags, invalidationPatienceMs)),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    },
    drain: pool.drain,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

type Statuses = Readonly<Record<string, readonly InstanceStatus[]>>;

/**
 * With port 0, the free port that all workers shall open: node:cluster keeps one socket for each address that is asked
 * for, and a worker that comes later must ask for the same.
 */
async function choosePort({ host, port }: Settings['listen']): Promise<number> {
  if (port !== 0) return port;
  const server = createServer();
  const url = await listen(server, { host, port });
  await new Promise((resolve) => server.close(resolve));
  return Number(new URL(url).port);
}
