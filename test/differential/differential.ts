/** Runs operations over generated graphs on both engines, and reports what is wrong as small as it can be made. */
import { validate } from 'graphql';
import { createEngines, type Engines } from './engines.ts';
import { createFederatedGraph, type FederatedGraph } from './federated-graph.ts';
import { generateGraph } from './graph-generator.ts';
import type { GraphModel } from './graph-model.ts';
import { describeOperation, type Operation } from './operation.ts';
import { generateOperation } from './operation-generator.ts';
import { printPlan } from './plan-text.ts';
import { createRandom, hashText } from './random.ts';
import { shrinkGraph, shrinkOperation } from './shrinking.ts';
import { judge, type Outcome, type Verdict } from './verdict.ts';

/** How many verdicts there were of each kind. */
export type Tally = Record<string, number>;

export interface Failure {
  /** Of graph and operation: `--graph 7 --operation 3` runs it again. */
  readonly graph: number;
  readonly operation: number;
  readonly report: string;
}

export interface GraphRun {
  readonly graph: number;
  readonly operations: readonly number[];
  /** How many failures are worth shrinking. */
  readonly shrinks: number;
  /** Which verdicts count as failures. @default those about the planned engine */
  readonly kinds?: readonly string[];
  /** Called before each operation: a planner that panics takes the process along. */
  readonly onOperation?: (operation: number) => void;
}

export interface GraphOutcome {
  readonly tally: Tally;
  readonly failures: readonly Failure[];
}

/** Runs operations over the generated graph of a seed; every third one also with a service down. */
export async function runGraph({
  graph,
  operations,
  shrinks,
  onOperation,
  kinds = ['planned'],
}: GraphRun): Promise<GraphOutcome> {
  const tally: Tally = {};
  const failures: Failure[] = [];
  const model = generateGraph(graph);
  const federated = composeIfPossible(model);
  if (federated === null) return { tally: { 'graphs that do not compose': 1 }, failures };
  const engines = createEngines(federated);
  for (const number of operations) {
    onOperation?.(number);
    const random = createRandom(hashText(`${graph}/${number}`));
    const operation = generateOperation({ schema: federated.publicSchema, random });
    const downs = [undefined, ...(number % 3 === 0 ? [random.pick(model.subgraphs)] : [])];
    for (const down of downs) {
      const verdict = await judge(engines, operation, down);
      const name = `${verdict.kind}: ${verdict.what}`;
      tally[name] = (tally[name] ?? 0) + 1;
      if (!kinds.includes(verdict.kind)) continue;
      const shrunk =
        failures.length < shrinks ? await shrinkCase(model, operation, down, verdict) : { model, operation };
      failures.push({ graph, operation: number, report: await describeFailure(shrunk.model, shrunk.operation, down) });
    }
  }
  return { tally, failures };
}

function composeIfPossible(model: GraphModel): FederatedGraph | null {
  try {
    return createFederatedGraph(model);
  } catch {
    return null;
  }
}

interface Case {
  readonly model: GraphModel;
  readonly operation: Operation;
}

async function shrinkCase(
  model: GraphModel,
  operation: Operation,
  down: string | undefined,
  verdict: Verdict,
): Promise<Case> {
  const failsAlike = async (engines: Engines, candidate: Operation): Promise<boolean> => {
    const { kind, what, detail } = await judge(engines, candidate, down);
    // Refusals are told apart by what the planner says; of faults the detail is where in the answer they are.
    return kind === verdict.kind && what === verdict.what && (kind !== 'refused' || detail === verdict.detail);
  };
  const federated = createFederatedGraph(model);
  const engines = createEngines(federated);
  const smaller = await shrinkOperation(federated.publicSchema, operation, (candidate) =>
    failsAlike(engines, candidate),
  );
  const smallerModel = await shrinkGraph(model, async (candidate) => {
    try {
      const rest = createFederatedGraph(candidate);
      return (
        validate(rest.publicSchema, smaller.document).length === 0 && (await failsAlike(createEngines(rest), smaller))
      );
    } catch {
      return false;
    }
  });
  return { model: smallerModel, operation: smaller };
}

async function describeFailure(model: GraphModel, operation: Operation, down: string | undefined): Promise<string> {
  const federated = createFederatedGraph(model);
  const engines = createEngines(federated);
  const verdict = await judge(engines, operation, down);
  return [
    `wrong: ${[verdict.what, verdict.detail].join(' ')}${down === undefined ? '' : ` (${down} is down)`}`,
    ...Object.entries(federated.sdls).map(([name, sdl]) => `# ${name}\n${sdl}`),
    describeOperation(operation),
    `plan: ${describePlan(engines, operation)}`,
    ...Object.entries(verdict.outcomes).map(([name, outcome]) => `${name}: ${describeOutcome(outcome)}`),
  ].join('\n\n');
}

function describePlan(engines: Engines, operation: Operation): string {
  try {
    return `\n${printPlan(engines.plan(operation))}`;
  } catch (error) {
    return String(error);
  }
}

function describeOutcome(outcome: Outcome): string {
  if ('mishap' in outcome) return `${outcome.mishap}: ${outcome.message}`;
  const errors = outcome.errors.map(({ path, code, message }) => `  ${path.join('/')} ${code} ${message}`);
  return [outcome.text, ...errors, ...outcome.changes.map((change) => `  changed: ${change}`)].join('\n');
}
