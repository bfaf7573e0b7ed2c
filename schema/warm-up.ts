/** Plans for a new generation before it serves: the documents that the one before was asked most. */
import { type DocumentNode, parse, validate } from 'graphql';
import type { Admit } from './admission.ts';
import type { Graph } from './graph.ts';
import type { PlannedEngine } from './planned-engine.ts';

export interface WarmUpOptions {
  readonly engineOf: (graph: Graph) => PlannedEngine;
  /** The generation that serves now; undefined before the first. */
  readonly serving: () => Graph | undefined;
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
  return async (candidate, current, how) => {
    const admission = await admit(candidate, current, how);
    const serving = options.serving();
    if (serving !== undefined && serving.id !== admission.graph.id) await warmUp(serving, admission.graph, options);
    return admission;
  };
}

async function warmUp(before: Graph, after: Graph, options: WarmUpOptions): Promise<void> {
  const { engineOf, maxOperations = 200, budgetMs = 2_000, now = () => performance.now() } = options;
  const engine = engineOf(after);
  const endsAtMs = now() + budgetMs;
  for (const { text, operationName } of engineOf(before).mostUsed(maxOperations)) {
    if (now() >= endsAtMs) return;
    const document = parseValid(text, after);
    if (document === null) continue;
    // Waits for one plan no longer than a request would.
    await engine.prepare(document, text, operationName === '' ? null : operationName);
    // Requests that are waiting come first: validation is work for this thread.
    await new Promise((resolve) => setImmediate(resolve));
  }
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
