/** What the primary and its workers say to each other. All of it is plain data. */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { CountResult, CountRule } from '../policies/rate-limit-count.ts';
import type { HeldSlot } from '../policies/rate-limit-slots.ts';
import type { UsageRow } from '../schema/field-usage.ts';
import type { PlanOutcome } from '../schema/planner.ts';
import type { InstanceStatus } from '../subgraphs/instance-status.ts';
import type { CacheTags } from './cache-invalidation.ts';
import type { Settings } from './config.ts';
import type { Explanation } from './explain.ts';
import type { ExplainQuestion } from './explanation.ts';
import type { MirrorReport } from './mirror-report.ts';
import type { RouteUse } from './route-usage.ts';
import type { DrainOptions, DrainOutcome } from './shutdown.ts';
import type { SnapshotDelta } from './snapshot-delta.ts';

/** What a worker begins with. */
export interface WorkerStart {
  /** Its number, for the log. */
  readonly worker: number;
  readonly settings: Settings;
  readonly news: SnapshotNews;
  readonly unhealthy: readonly HealthNews[];
}

export interface SnapshotNews {
  readonly delta: SnapshotDelta;
  /** Id of the graph that the primary admitted for this snapshot. */
  readonly graph: string;
}

export interface HealthNews {
  readonly service: string;
  readonly instance: string;
  readonly healthy: boolean;
  readonly why: string;
  /** Whether it can at least be connected to. */
  readonly reachable: boolean;
}

export type MetricsJson = readonly MetricObjectWithValues<MetricValue<string>>[];

/** Requests that rate limits are asked about, several at once. */
export interface LimitQuestion {
  readonly key: string;
  readonly rule: CountRule;
  readonly cost: number;
  /** It has happened already, and is counted whether there is room or not. */
  readonly isCharge?: true;
  /** Of a concurrency rule: who shall hold the slot. */
  readonly holder?: string;
}

/** What a worker understands. */
export interface ToWorker {
  /** Composes, opens the public port, and answers with its base URL. */
  start(body: WorkerStart): string;
  /** Answered when this snapshot, or a later one, is served. */
  publish(body: SnapshotNews): void;
  /** Loads what settings name; fails when something cannot be loaded. */
  prepare(body: Settings): void;
  abandon(body: null): void;
  configure(body: Settings): void;
  health(body: HealthNews): void;
  metrics(body: null): MetricsJson;
  /** The instances of every service, as this worker calls them. */
  status(body: null): Readonly<Record<string, readonly InstanceStatus[]>>;
  /** What would happen to a request. */
  explain(body: ExplainQuestion): Explanation;
  /** The OpenAPI document of all REST routes. */
  openapi(body: null): Readonly<Record<string, unknown>>;
  /** What became of copies of requests. */
  mirrors(body: null): readonly MirrorReport[];
  /** The breakers of services as a whole; null where there is none. */
  breakers(body: null): Readonly<Record<string, BreakerState | null>>;
  /** Drops cached answers. */
  invalidate(body: CacheTags): number;
  ping(body: null): void;
  drain(body: DrainOptions): DrainOutcome;
  /** Ends the process. */
  end(body: null): void;
}

/** What the primary understands. */
export interface ToPrimary {
  /** The worker listens to its channel. */
  hello(body: null): void;
  takeLimits(body: readonly LimitQuestion[]): readonly CountResult[];
  /** Requests that hold slots go on; one of them is over. */
  renewSlots(body: readonly HeldSlot[]): void;
  releaseSlot(body: HeldSlot): void;
  plan(body: { readonly graph: string; readonly document: string }): PlanOutcome;
  /** What clients used of the graph since the last time. */
  used(body: readonly UsageRow[]): void;
  /** Who called retired routes since the last time. */
  usedRoutes(body: readonly RouteUse[]): void;
  /** A mutation changed what others may keep. */
  invalidated(body: CacheTags): void;
  /** A call could not connect to an instance. */
  ejected(body: { readonly service: string; readonly instance: string; readonly why: string }): void;
  /** A connection to an instance broke in the middle of a call. */
  doubted(body: { readonly service: string; readonly instance: string }): void;
}
