/**
 * Query plans for the federated part of a graph. The planner is native code that may take its process down, so it has a
 * process of its own, started when the first plan is wanted and again when it dies. It gets one document at a time:
 * whichever it had when it died is the one that killed it, and is not sent again.
 */
import { createHash } from 'node:crypto';
import { type Log, silentLog } from '../subgraphs/log.ts';
import { type Death, type PlannerChild, plannerProgram, startPlannerChild } from './planner-child.ts';
import type { PlannerAnswer } from './planner-process.ts';
import type { QueryPlan } from './query-plan.ts';

export interface PlanRequest {
  readonly graph: { readonly id: string; readonly supergraphSdl: string };
  /** One operation with its fragments, valid against the public schema of the supergraph, without introspection. */
  readonly document: string;
}

export type PlanOutcome =
  | { readonly kind: 'planned'; readonly plan: QueryPlan }
  /** There will never be a plan for this document in this graph. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Not now: the process is on its way back, or has more to do than it can; or this platform has no planner. */
  | { readonly kind: 'unavailable' };

export interface Planner extends Disposable {
  /** Id of the process that plans now. */
  readonly pid: number | undefined;
  /** Starts the process before it is needed. */
  start(): void;
  /** Never rejects. */
  plan(request: PlanRequest): Promise<PlanOutcome>;
}

export interface PlannerOptions {
  readonly log?: Log;
  /** The program of the child process. @default planner-process beside this file */
  readonly program?: URL;
  /** Time for one document, and for loading a graph. After it the process is killed. @default 5_000 */
  readonly timeoutMs?: number;
  /** Documents that wait for their turn; more than that are answered `unavailable`. @default 1_000 */
  readonly maxWaiting?: number;
  readonly now?: () => number;
}

interface Job extends PlanRequest {
  readonly key: string;
  readonly resolve: (outcome: PlanOutcome) => void;
  /** Processes that died over it. */
  deaths: number;
}

const unavailable: PlanOutcome = { kind: 'unavailable' };
/** Graphs whose planners the process keeps: the serving one, the one before, candidates. */
const maxGraphs = 4;
const maxPoisoned = 1_000;
const startTimeoutMs = 15_000;
const firstPauseMs = 100;
const longestPauseMs = 60_000;
/** A process that lived this long is no part of a series of deaths. */
const longLifeMs = 60_000;
/** Signals that come from outside: they say nothing about the document. */
const outsideSignals: ReadonlySet<string | null> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);

/** Creates the planner; its process is started when it is first needed. */
export function createPlanner(options: PlannerOptions = {}): Planner {
  return new ChildPlanner(options);
}

/** What the child is doing. */
type State =
  | { readonly kind: 'starting' }
  | { readonly kind: 'idle' }
  | { readonly kind: 'loading' | 'planning'; readonly job: Job };

class ChildPlanner implements Planner {
  readonly #log: Log;
  readonly #program: URL;
  readonly #timeoutMs: number;
  readonly #maxWaiting: number;
  readonly #now: () => number;
  readonly #waiting: Job[] = [];
  /** Documents and graphs that killed the process or kept it too long. */
  readonly #poisoned = new Set<string>();
  #child: PlannerChild | null = null;
  #state: State = { kind: 'starting' };
  #startedAtMs = 0;
  /** Graphs that the child has, the longest unused first. */
  #loaded: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #late = false;
  #deaths = 0;
  #pausedUntilMs = 0;
  /** Closed, or no planner for this platform. */
  #over = false;

  constructor(options: PlannerOptions) {
    this.#log = options.log ?? silentLog;
    this.#program = options.program ?? plannerProgram;
    this.#timeoutMs = options.timeoutMs ?? 5_000;
    this.#maxWaiting = options.maxWaiting ?? 1_000;
    this.#now = options.now ?? (() => performance.now());
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    if (this.#child !== null || this.#over || this.#now() < this.#pausedUntilMs) return;
    this.#state = { kind: 'starting' };
    this.#startedAtMs = this.#now();
    this.#loaded = [];
    // Answers and deaths of a child that was given up concern nobody.
    const child: PlannerChild = startPlannerChild(this.#program, {
      onAnswer: (answer) => child === this.#child && this.#onAnswer(answer),
      onDeath: (death) => child === this.#child && this.#onDeath(death),
    });
    this.#child = child;
    this.#watch(startTimeoutMs);
  }

  plan(request: PlanRequest): Promise<PlanOutcome> {
    const { graph, document } = request;
    if (this.#over || this.#waiting.length >= this.#maxWaiting) return Promise.resolve(unavailable);
    if (this.#child === null && this.#now() < this.#pausedUntilMs) return Promise.resolve(unavailable);
    const key = createHash('sha256').update(`${graph.id}\n${document}`).digest('base64url');
    const { promise, resolve } = Promise.withResolvers<PlanOutcome>();
    this.#waiting.push({ graph, document, key, resolve, deaths: 0 });
    this.start();
    this.#next();
    return promise;
  }

  [Symbol.dispose](): void {
    this.#end();
  }

  #next(): void {
    const child = this.#child;
    if (child === null) return;
    // Whoever waits for a plan keeps the process alive; a planner that waits for documents does not.
    child.hold(this.#waiting.length > 0 || this.#state.kind === 'loading' || this.#state.kind === 'planning');
    if (this.#state.kind !== 'idle') return;
    const job = this.#waiting.shift();
    if (job === undefined) return;
    child.hold(true);
    const { id } = job.graph;
    if (this.#poisoned.has(job.key) || this.#poisoned.has(id)) {
      this.#conclude(job, { kind: 'refused', reason: 'it ended the planner before' });
    } else if (this.#loaded.includes(id)) this.#plan(child, job);
    else this.#load(child, job);
  }

  #load(child: PlannerChild, job: Job): void {
    const { id, supergraphSdl } = job.graph;
    if (this.#loaded.length >= maxGraphs) {
      const oldest = this.#loaded.shift();
      if (oldest !== undefined) child.send({ kind: 'unload', graph: oldest });
    }
    this.#state = { kind: 'loading', job };
    this.#watch(this.#timeoutMs);
    child.send({ kind: 'load', graph: id, supergraphSdl });
  }

  #plan(child: PlannerChild, job: Job): void {
    const { id } = job.graph;
    this.#loaded = [...this.#loaded.filter((graph) => graph !== id), id];
    this.#state = { kind: 'planning', job };
    this.#watch(this.#timeoutMs);
    child.send({ kind: 'plan', graph: id, document: job.document });
  }

  #onAnswer(answer: PlannerAnswer): void {
    clearTimeout(this.#timer);
    const state = this.#state;
    if (answer.kind === 'unavailable') {
      this.#log.warn('no query planner for this platform: every operation is stitched', { reason: answer.reason });
      this.#end();
    } else if (state.kind === 'starting') {
      this.#state = { kind: 'idle' };
      this.#log.info('the query planner runs', { pid: this.pid });
      this.#next();
    } else if (state.kind === 'loading' && answer.kind === 'loaded') {
      this.#loaded.push(state.job.graph.id);
      if (this.#child !== null) this.#plan(this.#child, state.job);
    } else if (state.kind === 'loading' || state.kind === 'planning') {
      const reason = answer.kind === 'failed' ? answer.reason : answer.kind;
      // The next document would fare no better.
      if (state.kind === 'loading') this.#poison(state.job.graph.id, { graph: state.job.graph.id, reason });
      this.#conclude(state.job, answer.kind === 'planned' ? answer : { kind: 'refused', reason });
    }
  }

  #conclude(job: Job, outcome: PlanOutcome): void {
    this.#state = { kind: 'idle' };
    job.resolve(outcome);
    this.#next();
  }

  #onDeath({ code, signal, panickedAt }: Death): void {
    clearTimeout(this.#timer);
    this.#child = null;
    const state = this.#state;
    const late = this.#late;
    this.#late = false;
    this.#log.warn('the query planner ended', { code, signal, late, panickedAt });
    this.#deaths = this.#now() - this.#startedAtMs > longLifeMs ? 1 : this.#deaths + 1;
    if ('job' in state) this.#blame(state.job, state.kind === 'loading', !late && outsideSignals.has(signal));
    // The first time at once, so that nobody notices; then ever more slowly.
    if (this.#deaths > 1) {
      this.#pausedUntilMs = this.#now() + Math.min(longestPauseMs, firstPauseMs * 2 ** (this.#deaths - 2));
      for (const job of this.#waiting.splice(0)) job.resolve(unavailable);
    } else if (this.#waiting.length > 0) this.start();
    this.#next();
  }

  /** Killed from outside, a process says nothing about its document; twice over the same one it does. */
  #blame(job: Job, loading: boolean, fromOutside: boolean): void {
    job.deaths += 1;
    if (fromOutside && job.deaths === 1) {
      this.#waiting.unshift(job);
      return;
    }
    const { id } = job.graph;
    const reason = 'it ended the planner';
    if (loading) this.#poison(id, { graph: id, reason });
    else this.#poison(job.key, { graph: id, document: job.key, reason });
    job.resolve({ kind: 'refused', reason });
  }

  #poison(key: string, fields: Readonly<Record<string, unknown>>): void {
    this.#poisoned.add(key);
    for (const oldest of this.#poisoned) if (this.#poisoned.size > maxPoisoned) this.#poisoned.delete(oldest);
    this.#log.warn('not planned, but stitched from now on', fields);
  }

  #watch(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#child?.kill();
    }, ms).unref();
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    const state = this.#state;
    if ('job' in state) state.job.resolve(unavailable);
    this.#state = { kind: 'idle' };
    for (const job of this.#waiting.splice(0)) job.resolve(unavailable);
    this.#child?.hold(false);
    this.#child?.kill();
    this.#child = null;
  }
}
