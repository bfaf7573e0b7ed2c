/**
 * Stands in for the planner's process: a document with `ABORT` ends it as a panic would, one with `SLEEP` keeps it busy
 * for good, one with `FAIL` is refused. All others get a plan that names this process, so that tests see its lives.
 */
import { appendFileSync } from 'node:fs';
import type { PlannerAnswer, PlannerMessage } from '../../schema/planner-process.ts';

const answer = (message: PlannerAnswer) => process.send?.(message);
const journal = process.env['PLANNER_DOUBLE_JOURNAL'];

process.once('disconnect', () => process.exit());
process.on('message', (message: PlannerMessage) => {
  if (journal !== undefined) appendFileSync(journal, `${JSON.stringify(message)}\n`);
  if (message.kind === 'unload') return;
  const text = message.kind === 'load' ? message.supergraphSdl : message.document;
  if (text.includes('ABORT')) {
    process.stderr.write("thread '<unnamed>' panicked at lib/query-planner/src/graph.rs:11:22:\nthe secret of Ulm\n");
    process.abort();
  }
  if (text.includes('SLEEP')) {
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
  if (text.includes('FAIL')) answer({ kind: 'failed', reason: 'as asked' });
  else if (message.kind === 'load') answer({ kind: 'loaded' });
  else answer({ kind: 'planned', plan: buildPlan(message.document) });
});
answer({ kind: 'ready' });

/** One fetch of all of it from the service `shop`. */
function buildPlan(document: string) {
  const node = { kind: 'Fetch', serviceName: 'shop', operationKind: 'query', operation: document } as const;
  return { kind: 'QueryPlan', node } as const;
}
