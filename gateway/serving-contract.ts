/** What answers requests, as the control plane sees it: see `serving.ts` for this process, `cluster-serving.ts` for several. */
import type { LookupFunction } from 'node:net';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { ApiKeyStore } from '../policies/managed-api-keys.ts';
import type { RateLimitStore } from '../policies/rate-limit-count.ts';
import type { Admit } from '../schema/admission.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph, SubgraphExecutor } from '../schema/graph.ts';
import type { Planner } from '../schema/planner.ts';
import type { InstanceStatus } from '../subgraphs/instance-status.ts';
import type { PoolHealth } from '../subgraphs/pool-health.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Upstreams } from '../subgraphs/upstreams.ts';
import type { CacheTags } from './cache-invalidation.ts';
import type { Settings } from './config.ts';
import type { Explanation } from './explain.ts';
import type { ExplainQuestion } from './explanation.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { MirrorReport } from './mirror-report.ts';
import type { RouteUsage } from './route-usage.ts';
import type { DrainOptions, DrainOutcome } from './shutdown.ts';

export interface Serving extends AsyncDisposable {
  /** How graphs that the control plane composes call services. */
  readonly execute: SubgraphExecutor;
  /**
   * Lets admission prepare a new graph before it serves. `isSuperseded`: whether other changes wait, so that the graph
   * will not serve for long.
   */
  warm(admit: Admit, isSuperseded?: () => boolean): Admit;
  /** What shall be served from now on. Never throws. */
  publish(snapshot: Snapshot, graph: Graph): void;
  /** Resolves when everything published before is served everywhere. Never rejects, and waits within bounds. */
  applied(): Promise<void>;
  /** Loads what settings name and is not loaded yet. Throws, and changes nothing, when something cannot be. */
  prepare(settings: Settings): Promise<void>;
  /** Drops what was prepared. */
  abandon(): Promise<void>;
  /** Takes other settings, with what was prepared. Resolves with the names of those that need a restart. */
  configure(settings: Settings): Promise<readonly string[]>;
  /** Opens the public port; resolves with its base URL. */
  open(): Promise<string>;
  /** The instances of a service as they are now; none for an unknown service. */
  status(service: string): Promise<readonly InstanceStatus[]>;
  /** The instances of a service as a whole; undefined for an unknown service. */
  poolHealth(service: string): PoolHealth | undefined;
  /** The breaker of a service as a whole; null where it has none. */
  serviceBreaker(service: string): Promise<BreakerState | null>;
  /** Looks at all instances of a service now, then as {@link status}. */
  probe(service: string): Promise<readonly InstanceStatus[]>;
  /** What would happen to a request, and why. */
  explain(question: ExplainQuestion): Promise<Explanation>;
  /** The OpenAPI document of all REST routes. */
  openapi(): Promise<Readonly<Record<string, unknown>>>;
  /** What became of copies of requests, in all processes. */
  mirrors(): Promise<readonly MirrorReport[]>;
  renderMetrics(): ReturnType<Metrics['render']>;
  /** Drops cached answers by tags, or all of them; the number of those dropped. Rejects when that is not sure. */
  invalidate(tags: CacheTags): Promise<number>;
  /** Ends requests in flight and closes the public port. */
  drain(options: DrainOptions): Promise<DrainOutcome>;
}

export interface ServingOptions {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Name resolution for connections to instances, which may refuse addresses. */
  readonly lookup: LookupFunction;
  /** Who uses what of the graph. */
  readonly usage: FieldUsage;
  /** Who calls routes that are retired. */
  readonly routeUsage: RouteUsage;
  /** Makes plans; is disposed with this. @default a process of its own */
  readonly planner?: Planner;
  /** Counts where no Redis does; is closed with this. @default counts in this process */
  readonly counts?: RateLimitStore;
  /** API keys that are managed in this process. @default opened here, where they are managed */
  readonly apiKeyStore?: ApiKeyStore | undefined;
  /** When set, instances are not probed here, see {@link Upstreams.tellHealth}. */
  readonly onEject?: (service: string, instance: string, why: string) => void;
  /** Where `onEject` is set: hears of connections that broke in the middle of a call. */
  readonly onDoubt?: (service: string, instance: string) => void;
  /** Hears what a mutation or an unsafe request made untrue: other processes keep answers as well. */
  readonly onInvalidate?: (tags: readonly string[]) => void;
  /** Processes that share the concurrency of a service. @default 1 */
  readonly processes?: number;
}

/** Serving by this very process, with the parts that a worker deals with directly. */
export interface LocalServing extends Serving {
  readonly upstreams: Upstreams;
}
