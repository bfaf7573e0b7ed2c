/**
 * The worker processes of a gateway: started, watched, replaced when they die, replaced one at a time when settings
 * change that a process keeps, and ended. What is said to them stands in `cluster-serving.ts`.
 */
import cluster, { type Worker as ClusterWorker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { Log } from './log.ts';
import type { DrainOptions, DrainOutcome } from './shutdown.ts';
import { createLineReader } from './worker-lines.ts';
import { createWorkerLink, type MessageHandlers, type WorkerLink } from './worker-link.ts';
import type { ToPrimary, ToWorker, WorkerStart } from './worker-messages.ts';

/** One worker as the primary knows it. */
export interface WorkerHandle {
  /** Numbers are never used twice. */
  readonly id: number;
  readonly pid: number | undefined;
  readonly link: WorkerLink<ToWorker>;
}

export interface WorkerPoolOptions {
  readonly log: Log;
  readonly handlers: Omit<MessageHandlers<ToPrimary>, 'hello'>;
  /** What a worker begins with, as things are when it begins. */
  readonly buildStart: (worker: WorkerHandle) => WorkerStart;
  /** From now on it must hear everything that is published. */
  readonly onGone: (worker: WorkerHandle) => void;
  readonly onCount: (serving: number) => void;
  /** A worker died that should not have. */
  readonly onDeath: () => void;
  /** The program of a worker. @default worker-process beside this file */
  readonly program?: URL;
}

export interface WorkerPool {
  /** Workers that have begun; those that drain are not among them. */
  readonly members: readonly WorkerHandle[];
  /** Starts the workers. Rejects, and leaves none, when the first one cannot open the port. */
  start(count: number): Promise<string>;
  /** Replaces every worker, one at a time, each when its successor serves. Rejects when a successor cannot. */
  replaceAll(count: number): Promise<void>;
  drain(options: DrainOptions): Promise<DrainOutcome>;
  /** Ends what is left at once. */
  close(): Promise<void>;
}

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

interface Member extends WorkerHandle {
  readonly process: ClusterWorker;
  readonly startedAtMs: number;
  readonly gone: Promise<Exit>;
  state: 'starting' | 'serving' | 'leaving';
}

const startPatienceMs = 60_000;
/** A worker that lived so long is no part of a series of deaths. */
const longLifeMs = 10_000;
const firstPauseMs = 100;
const longestPauseMs = 10_000;
const pingEveryMs = 10_000;
/** A large composition may keep a worker busy for seconds; one that is silent this long never comes back. */
const pingPatienceMs = 30_000;
const endPatienceMs = 5_000;
/** A worker that leaves while others stay. */
const replaced: DrainOptions = { delayMs: 0, graceMs: 30_000, handOverMs: 2_000 };
/** Options of Node that mean every process of the gateway, other than, say, a debugger or a program given as text. */
const inherited = /^--(max-|heap|expose-gc|enable-source-maps|use-|tls-|dns-result-order|secure-heap|network-family)/;

/** The program beside this file: sources end in `.ts`, the published package in `.js`. */
const workerProgram = new URL(`./worker-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { log, handlers, buildStart, program = workerProgram } = options;
  const members = new Set<Member>();
  let lastId = 0;
  let deaths = 0;
  let closing = false;
  const respawns = new Set<NodeJS.Timeout>();

  const pings = setInterval(() => {
    for (const member of members) if (member.state === 'serving') void watch(member);
  }, pingEveryMs).unref();

  function fork(): Member {
    cluster.setupPrimary({
      exec: fileURLToPath(program),
      args: [],
      execArgv: process.execArgv.filter((option) => inherited.test(option)),
      // Whole lines of all workers go through this process: written by several, long lines would break into each other.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    const worker = cluster.fork();
    const greeting = Promise.withResolvers<void>();
    const link = createWorkerLink<ToPrimary, ToWorker>({
      send: (message) => void worker.send(message, undefined, () => {}),
      handlers: { ...handlers, hello: () => greeting.resolve() },
      onFailure: (error) => log.error('a message of a worker failed', { error, worker: id }),
    });
    const id = ++lastId;
    worker.on('message', link.receive);
    worker.on('error', () => {});
    worker.process.stdout?.on('data', createLineReader(log.forward));
    // Not `once` of node:events: that would end at an error of the channel.
    const { promise: gone, resolve: leaveBehind } = Promise.withResolvers<Exit>();
    worker.on('exit', (code, signal) => leaveBehind({ code, signal }));
    const started = performance.now();
    const member: Member = {
      id,
      pid: worker.process.pid,
      link: { ...link, ask: (...question) => greeting.promise.then(() => link.ask(...question)) as never },
      process: worker,
      startedAtMs: started,
      gone,
      state: 'starting',
    };
    members.add(member);
    gone.then(({ code, signal }) => {
      link.close();
      greeting.reject(new Error(`the worker ended with ${signal ?? code}`));
      end(member, { code, signal });
    });
    greeting.promise.catch(() => {});
    return member;
  }

  async function spawn(): Promise<string> {
    const member = fork();
    try {
      const url = await member.link.ask('start', buildStart(member), startPatienceMs);
      if (member.state === 'starting') member.state = 'serving';
      count();
      log.info('a worker serves', { worker: member.id, pid: member.pid });
      return url;
    } catch (error) {
      member.state = 'leaving';
      member.process.process.kill('SIGKILL');
      throw error;
    }
  }

  function end(member: Member, { code, signal }: Exit): void {
    members.delete(member);
    options.onGone(member);
    count();
    if (member.state === 'leaving' || closing) return;
    // One that never served is spoken for by whoever started it.
    if (member.state === 'starting') return;
    log.error('a worker died and is replaced', { worker: member.id, pid: member.pid, code, signal });
    options.onDeath();
    deaths = performance.now() - member.startedAtMs < longLifeMs ? deaths + 1 : 0;
    respawn();
  }

  /** At once after a long life; ever more slowly when workers die young. */
  function respawn(): void {
    const pauseMs = deaths === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (deaths - 1));
    const timer = setTimeout(() => {
      respawns.delete(timer);
      if (closing) return;
      spawn().catch((error) => {
        if (closing) return;
        log.error('a worker cannot start', { error });
        deaths++;
        respawn();
      });
    }, pauseMs);
    respawns.add(timer);
  }

  async function watch(member: Member): Promise<void> {
    try {
      await member.link.ask('ping', null, pingPatienceMs);
    } catch {
      if (member.state !== 'serving' || !members.has(member)) return;
      log.error('a worker does not answer and is ended', { worker: member.id, pid: member.pid });
      member.process.process.kill('SIGKILL');
    }
  }

  async function leave(member: Member, drainOptions: DrainOptions): Promise<DrainOutcome> {
    member.state = 'leaving';
    count();
    const { delayMs, graceMs, handOverMs: lullMs = 0 } = drainOptions;
    const outcome = await member.link
      .ask('drain', drainOptions, delayMs + lullMs + graceMs + endPatienceMs)
      .catch((): DrainOutcome => 'cut');
    options.onGone(member);
    member.link.tell('end', null);
    const timer = setTimeout(() => member.process.process.kill('SIGKILL'), endPatienceMs);
    await member.gone;
    clearTimeout(timer);
    return outcome;
  }

  function count(): void {
    options.onCount(listServing().length);
  }

  function listServing(): Member[] {
    return [...members].filter(({ state }) => state === 'serving');
  }

  return {
    get members() {
      return [...members].filter(({ state }) => state !== 'leaving');
    },
    async start(wanted) {
      // One first: with port 0 it is told which port that became, and where none can be opened it alone fails.
      const url = await spawn();
      await Promise.all(Array.from({ length: wanted - 1 }, spawn));
      return url;
    },
    async replaceAll(wanted) {
      const old = listServing();
      for (let i = 0; i < Math.max(wanted, old.length) && !closing; i++) {
        if (i < wanted) await spawn();
        const member = old[i];
        if (member === undefined || closing || !members.has(member)) continue;
        await leave(member, replaced);
        log.info('a worker was replaced', { worker: member.id });
      }
      // One that died meanwhile has a successor of its own.
      for (const member of closing ? [] : listServing().slice(wanted)) await leave(member, replaced);
    },
    async drain(drainOptions) {
      closing = true;
      for (const timer of respawns) clearTimeout(timer);
      const outcomes = await Promise.all([...members].map((member) => leave(member, drainOptions)));
      return outcomes.includes('cut') ? 'cut' : 'drained';
    },
    async close() {
      closing = true;
      clearInterval(pings);
      for (const timer of respawns) clearTimeout(timer);
      const left = [...members];
      for (const member of left) member.process.process.kill('SIGKILL');
      await Promise.all(left.map(({ gone }) => gone));
    },
  };
}
