/** Plans for a new generation before it serves: the documents that the one before was asked most. */
import { type DocumentNode, parse, validate } from 'graphql';
import type { Admit } from './admission.ts';
import type { Graph } from './graph.ts';
import type { PlannedEngine, UsedOperation } from './planned-engine.ts';

export interface WarmUpOptions {
  readonly engineOf: (graph: Graph) => PlannedEngine;
  /** The generation that serves now; undefined before the first. */
  readonly serving: () => Graph | undefined;
  /** Whether other changes wait already: then the graph serves for a moment only, and is not worth the plans. @default never */
  readonly isSuperseded?: () => boolean;
  /** Operations that are planned. @default 200 */
  readonly maxOperations?: number;
  /** Time for all of them; the swap waits no longer. @default 2_000 */
  readonly budgetMs?: number;
  readonly now?: () => number;
}

/**
 * Admits like `admit`, and warms the plans of a graph that is new. A candidate is admitted before it is published, so
 * this is before the swap; a graph that is refused, or only tried out, costs its plans and changes nothing.
 */
export function createWarmAdmission(admit: Admit, options: WarmUpOptions): Admit {
  const { engineOf, serving, maxOperations = 200 } = options;
  /** What was asked of the generations that a storm of changes passed over. */
  let carried: readonly UsedOperation[] = [];
  return async (candidate, current, how) => {
    const admission = await admit(candidate, current, how);
    const before = serving();
    if (before === undefined || before.id === admission.graph.id) return admission;
    const used = joinOperations(engineOf(before).mostUsed(maxOperations), carried).slice(0, maxOperations);
    carried = (await warmUp(admission.graph, used, options)) ? [] : used;
    return admission;
  };
}

/** False when it was not worth to go on. */
async function warmUp(graph: Graph, operations: readonly UsedOperation[], options: WarmUpOptions): Promise<boolean> {
  const { engineOf, isSuperseded = () => false, budgetMs = 2_000, now = () => performance.now() } = options;
  const engine = engineOf(graph);
  const endsAtMs = now() + budgetMs;
  for (const { text, operationName } of operations) {
    if (isSuperseded()) return false;
    if (now() >= endsAtMs) return true;
    const document = parseValid(text, graph);
    if (document === null) continue;
    // Waits for one plan no longer than a request would.
    await engine.prepare(document, text, operationName === '' ? null : operationName);
    // Requests that are waiting come first: validation is work for this thread.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return true;
}

function joinOperations(first: readonly UsedOperation[], second: readonly UsedOperation[]): readonly UsedOperation[] {
  const keyOf = ({ text, operationName }: UsedOperation) => `${operationName}\n${text}`;
  const known = new Set(first.map(keyOf));
  return [...first, ...second.filter((operation) => !known.has(keyOf(operation)))];
}

/** A client may go on asking for what is gone; that is no reason to fail. */
function parseValid(text: string, graph: Graph): DocumentNode | null {
  try {
    const document = parse(text);
    return validate(graph.schema, document).length === 0 ? document : null;
  } catch {
    return null;
  }
}
