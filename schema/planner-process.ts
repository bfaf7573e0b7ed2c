/**
 * The process in which the native planner runs. A panic in its Rust code aborts the process that it runs in (exit by
 * SIGABRT, which no try/catch sees): this one may die, the gateway may not. It does one thing at a time and answers
 * every message but `unload` with exactly one of its own.
 */
import type { QueryPlan, QueryPlanner } from '@graphql-hive/router-query-planner';

/** What the gateway asks. */
export type PlannerMessage =
  | { readonly kind: 'load'; readonly graph: string; readonly supergraphSdl: string }
  | { readonly kind: 'unload'; readonly graph: string }
  | { readonly kind: 'plan'; readonly graph: string; readonly document: string };

/** What this process answers. `ready` or `unavailable` comes first, unasked. */
export type PlannerAnswer =
  | { readonly kind: 'ready' }
  /** There is no binary of the planner for this platform. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'loaded' }
  | { readonly kind: 'planned'; readonly plan: QueryPlan }
  | { readonly kind: 'failed'; readonly reason: string };

type PlannerConstructor = typeof QueryPlanner;

/** Without labels and in the share of 100: a field overridden by label or by percentage stays where it was. */
const activeLabels: Set<string> = new Set();
const overridePercentage = 100;

/** Not `exit`: that would wait for the thread of a plan that may never be finished. */
const leave = (): boolean => process.kill(process.pid, 'SIGKILL');

async function main(): Promise<void> {
  // Whoever stops the gateway by Ctrl+C, or by its process group, must not take the planner away while it drains.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  process.once('disconnect', leave);
  try {
    const { QueryPlanner } = await import('@graphql-hive/router-query-planner');
    serve(QueryPlanner);
    send({ kind: 'ready' });
  } catch (error) {
    send({ kind: 'unavailable', reason: readMessage(error) });
  }
}

function serve(Planner: PlannerConstructor): void {
  const planners = new Map<string, QueryPlanner>();
  process.on('message', (message: PlannerMessage) => {
    if (message.kind === 'unload') planners.delete(message.graph);
    else answer(planners, Planner, message).catch((error) => send({ kind: 'failed', reason: readMessage(error) }));
  });
}

async function answer(
  planners: Map<string, QueryPlanner>,
  Planner: PlannerConstructor,
  message: Exclude<PlannerMessage, { kind: 'unload' }>,
): Promise<void> {
  if (message.kind === 'load') {
    planners.set(message.graph, new Planner(message.supergraphSdl));
    send({ kind: 'loaded' });
    return;
  }
  const planner = planners.get(message.graph);
  if (planner === undefined) throw new Error('the graph was not loaded');
  // Asynchronous, so that a gateway that ends meanwhile is noticed, however long the plan takes.
  const plan = await planner.planAsync(message.document, undefined, activeLabels, overridePercentage);
  send({ kind: 'planned', plan });
}

function send(message: PlannerAnswer): void {
  // Without a channel the gateway is gone, and this process about to be.
  process.send?.(message, undefined, {}, () => {});
}

function readMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

await main();
