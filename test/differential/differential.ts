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

export interface Failure {
  /** Of graph and operation: `--graph 7 --operation 3` runs it again. */
  readonly graph: number;
  readonly operation: number;
  readonly report: string;
}

export interface GeneratedGraph {
  readonly number: number;
  readonly model: GraphModel;
  readonly federated: FederatedGraph;
  readonly engines: Engines;
}

/** The graph of a number; null when it does not compose. */
export function createGeneratedGraph(number: number): GeneratedGraph | null {
  const model = generateGraph(number);
  const federated = composeIfPossible(model);
  return federated && { number, model, federated, engines: createEngines(federated) };
}

export interface OperationRun {
  readonly operation: number;
  /** Whether failures are cut down to what they need. */
  readonly shrink: boolean;
  /** Which verdicts count as failures. @default those about the planned engine */
  readonly kinds?: readonly string[];
}

export interface OperationOutcome {
  readonly verdicts: readonly string[];
  readonly failures: readonly Failure[];
}

/** Runs the operation of a number over a graph; every third one also with a service down. */
export async function runOperation(
  { number: graph, model, federated, engines }: GeneratedGraph,
  { operation: number, shrink, kinds = ['planned'] }: OperationRun,
): Promise<OperationOutcome> {
  const verdicts: string[] = [];
  const failures: Failure[] = [];
  const random = createRandom(hashText(`${graph}/${number}`));
  const operation = generateOperation({ schema: federated.publicSchema, random });
  const downs = [undefined, ...(number % 3 === 0 ? [random.pick(model.subgraphs)] : [])];
  for (const down of downs) {
    const verdict = await judge(engines, operation, down);
    verdicts.push(`${verdict.kind}: ${verdict.what}`);
    if (!kinds.includes(verdict.kind)) continue;
    const found: Case = { model, operation, down };
    const report = await describeFailure(shrink ? await shrinkCase(found, verdict) : found);
    failures.push({ graph, operation: number, report });
  }
  return { verdicts, failures };
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
  readonly down: string | undefined;
}

async function shrinkCase({ model, operation, down }: Case, verdict: Verdict): Promise<Case> {
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
  return { model: smallerModel, operation: smaller, down };
}

async function describeFailure({ model, operation, down }: Case): Promise<string> {
  const federated = createFederatedGraph(model);
  const engines = createEngines(federated);
  const verdict = await judge(engines, operation, down);
  const plan = await engines.plan(operation);
  return [
    `wrong: ${[verdict.what, verdict.detail].join(' ')}${down === undefined ? '' : ` (${down} is down)`}`,
    ...Object.entries(federated.sdls).map(([name, sdl]) => `# ${name}\n${sdl}`),
    describeOperation(operation),
    `plan:\n${plan === null ? '(none)' : printPlan(plan)}`,
    ...Object.entries(verdict.outcomes).map(([name, outcome]) => `${name}: ${describeOutcome(outcome)}`),
  ].join('\n\n');
}

function describeOutcome(outcome: Outcome): string {
  if ('mishap' in outcome) return `${outcome.mishap}: ${outcome.message}`;
  const errors = outcome.errors.map(({ path, code, message }) => `  ${path.join('/')} ${code} ${message}`);
  return [outcome.text, ...errors, ...outcome.changes.map((change) => `  changed: ${change}`)].join('\n');
}
