/**
 * The long run: `npm run test:differential -- --operations 10000 --seed 1`. One case again: `--graph 7 --operation 3`.
 * The engines run in a child process, because a panic in the planner ends the process that it is in.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { type GraphOutcome, runGraph, type Tally } from './differential.ts';

interface Order {
  readonly graph: number;
  readonly operations: readonly number[];
  readonly shrinks: number;
  readonly kinds: readonly string[];
}

type Message = { readonly operation: number } | { readonly outcome: GraphOutcome };

const operationsPerGraph = 30;
const maxShrinks = 5;

if (process.send === undefined) await main();
else serveOrders();

function serveOrders(): void {
  process.on('message', async (order: Order) => {
    const outcome = await runGraph({ ...order, onOperation: (operation) => void process.send?.({ operation }) });
    process.send?.({ outcome });
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      operations: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      graph: { type: 'string' },
      operation: { type: 'string' },
      // `--kind stitched` shows what stitching does wrong.
      kind: { type: 'string', default: 'planned' },
    },
  });
  const tally: Tally = {};
  const reports: string[] = [];
  const crashes: string[] = [];
  const orders =
    values.graph === undefined
      ? listOrders(Number(values.operations), Number(values.seed))
      : [
          {
            graph: Number(values.graph),
            operations: values.operation === undefined ? range(operationsPerGraph) : [Number(values.operation)],
          },
        ];
  let child = startChild();
  for (const { graph, operations } of orders) {
    let left: readonly number[] = operations;
    while (left.length > 0) {
      const shrinks = Math.max(0, maxShrinks - reports.length);
      const order: Order = { graph, operations: left, shrinks, kinds: [values.kind] };
      const { outcome, last } = await execute(child, order);
      if (outcome === null) {
        crashes.push(`--graph ${graph} --operation ${last}`);
        left = left.slice(left.indexOf(last) + 1);
        child = startChild();
        continue;
      }
      for (const [name, count] of Object.entries(outcome.tally)) tally[name] = (tally[name] ?? 0) + count;
      for (const failure of outcome.failures) {
        const title = `--graph ${failure.graph} --operation ${failure.operation}`;
        const isDetailed = reports.length < maxShrinks;
        reports.push(title);
        console.log(
          isDetailed
            ? `\n${'='.repeat(100)}\n${title}\n\n${failure.report}\n`
            : `${title} ${failure.report.split('\n')[0]}`,
        );
      }
      left = [];
    }
  }
  child.disconnect();
  console.table(Object.fromEntries(Object.entries(tally).sort()));
  for (const crash of crashes) console.log(`the process ended at ${crash}`);
  console.log(`${reports.length} verdicts of the kind "${values.kind}", ${crashes.length} crashes of the planner`);
  // The gateway survives a panic of its planner: the planner runs in a process of its own.
  process.exitCode = reports.length > 0 ? 1 : 0;
}

function listOrders(operations: number, seed: number): { graph: number; operations: number[] }[] {
  const graphs = Math.ceil(operations / operationsPerGraph);
  return range(graphs).map((index) => ({ graph: seed * 100_000 + index, operations: range(operationsPerGraph) }));
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function startChild(): ChildProcess {
  return fork(new URL(import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** Outcome null: the child is gone, and `last` was what it was at. */
async function execute(child: ChildProcess, order: Order): Promise<{ outcome: GraphOutcome | null; last: number }> {
  let last = order.operations[0] ?? 0;
  const finished = new Promise<GraphOutcome>((resolve) => {
    child.on('message', (message: Message) => {
      if ('operation' in message) last = message.operation;
      else resolve(message.outcome);
    });
  });
  const aborted = new AbortController();
  const gone = once(child, 'exit', { signal: aborted.signal }).then(
    () => null,
    () => null,
  );
  child.send(order);
  const outcome = await Promise.race([finished, gone]);
  aborted.abort();
  child.removeAllListeners('message');
  return { outcome, last };
}
