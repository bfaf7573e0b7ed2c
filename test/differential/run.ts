/**
 * The long run: `npm run test:differential -- --operations 10000 --seed 1`. One case again: `--graph 7 --operation 3`.
 * The engines run in a child process, because a panic in the planner ends the process that it is in.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import {
  createGeneratedGraph,
  type GeneratedGraph,
  type OperationOutcome,
  type OperationRun,
  runOperation,
} from './differential.ts';

interface Order extends OperationRun {
  readonly graph: number;
}

/** Null: the graph does not compose. */
type Reply = OperationOutcome | null;

const operationsPerGraph = 30;
const maxShrinks = 5;
/** A planner that takes longer over a document has met one that it will not finish. */
const plannerPatienceMs = 10_000;
/** For some hundred smaller operations, each of which may take as long as a hung engine is waited for. */
const shrinkPatienceMs = 120_000;

if (process.send === undefined) await main();
else serveOrders();

function serveOrders(): void {
  let last: { readonly number: number; readonly graph: GeneratedGraph | null } | undefined;
  process.on('message', async ({ graph, ...run }: Order) => {
    if (last?.number !== graph) last = { number: graph, graph: createGeneratedGraph(graph) };
    process.send?.(last.graph && (await runOperation(last.graph, run)));
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      operations: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      graph: { type: 'string' },
      operation: { type: 'string' },
      // `--kind stitched` shows what stitching does wrong, `--kind refused` what has no plan.
      kind: { type: 'string', default: 'planned' },
    },
  });
  const tally = new Map<string, number>();
  const count = (name: string): void => void tally.set(name, (tally.get(name) ?? 0) + 1);
  const crashes: string[] = [];
  let failures = 0;
  await using worker = createWorker();
  for (const { graph, operation } of listCases(values)) {
    const order: Order = { graph, operation, shrink: false, kinds: [values.kind] };
    const found = await worker.execute(order);
    const worthShrinking = found != null && found.failures.length > 0 && failures < maxShrinks;
    // A crash while shrinking is one of another operation, and leaves the case as it was found.
    const shrunk = worthShrinking ? await worker.execute({ ...order, shrink: true }) : undefined;
    const reply = shrunk ?? found;
    const title = `--graph ${graph} --operation ${operation}`;
    if (reply === undefined) crashes.push(title);
    else if (reply === null) count('graph does not compose');
    else {
      reply.verdicts.forEach(count);
      failures += reply.failures.length;
      for (const { report } of reply.failures) {
        const text = worthShrinking
          ? `\n${'='.repeat(100)}\n${title}\n\n${report}\n`
          : `${title} ${report.split('\n')[0]}`;
        console.log(text);
      }
    }
  }
  console.table(Object.fromEntries([...tally].sort()));
  for (const crash of crashes) console.log(`the planner crashed or did not end at ${crash}`);
  console.log(`${failures} verdicts of the kind "${values.kind}", ${crashes.length} crashes of the planner`);
  // The gateway survives a crash of its planner, which runs in a process of its own there.
  process.exitCode = failures > 0 ? 1 : 0;
}

function* listCases(values: {
  readonly operations: string;
  readonly seed: string;
  readonly graph?: string;
  readonly operation?: string;
}): Generator<{ graph: number; operation: number }> {
  if (values.operation !== undefined) {
    yield { graph: Number(values.graph ?? 0), operation: Number(values.operation) };
    return;
  }
  const total = values.graph === undefined ? Number(values.operations) : operationsPerGraph;
  const first = Number(values.graph ?? Number(values.seed) * 100_000);
  for (let index = 0; index < total; index++) {
    yield { graph: first + Math.floor(index / operationsPerGraph), operation: index % operationsPerGraph };
  }
}

interface Worker extends AsyncDisposable {
  /** Undefined: the planner took the process along, or had to be stopped. */
  execute(order: Order): Promise<Reply | undefined>;
}

function createWorker(): Worker {
  let child: ChildProcess | undefined;
  return {
    async execute(order) {
      child ??= fork(new URL(import.meta.url), { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] });
      const reply = await ask(child, order);
      if (reply === undefined) child = undefined;
      return reply;
    },
    async [Symbol.asyncDispose]() {
      if (child?.connected) child.disconnect();
    },
  };
}

async function ask(child: ChildProcess, order: Order): Promise<Reply | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply | undefined>();
  const watchdog = setTimeout(() => child.kill('SIGKILL'), order.shrink ? shrinkPatienceMs : plannerPatienceMs);
  const onExit = (code: number | null, signal: string | null): void => {
    if (signal === 'SIGABRT' || signal === 'SIGKILL') resolve(undefined);
    else
      reject(
        new Error(`the engines ended with ${code ?? signal} at --graph ${order.graph} --operation ${order.operation}`),
      );
  };
  child.on('exit', onExit).on('message', resolve);
  child.send(order);
  try {
    return await promise;
  } finally {
    clearTimeout(watchdog);
    child.off('exit', onExit).off('message', resolve);
  }
}
