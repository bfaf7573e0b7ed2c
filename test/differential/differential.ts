/** Runs operations on both engines and says what is wrong, if anything is. */
import { areSameErrors, type Difference, findDifference, findPartialFault, type Truth } from './comparison.ts';
import type { Answer, Engines } from './engines.ts';
import { createEngines } from './engines.ts';
import { createFederatedGraph, type FederatedGraph } from './federated-graph.ts';
import { generateGraph } from './graph-generator.ts';
import type { GraphModel } from './graph-model.ts';
import { describeOperation, type Operation } from './operation.ts';
import { generateOperation } from './operation-generator.ts';
import { createRandom, hashText } from './random.ts';
import { shrinkGraph, shrinkOperation } from './shrinking.ts';

export interface Verdict {
  /**
   * `same`: both right and alike. `choice`: both right, in one of the ways that the specification leaves open.
   * `stitched`: only the planned answer is right, a known limit of stitching. `planned`: the planned answer is wrong.
   */
  readonly kind: 'same' | 'choice' | 'stitched' | 'planned';
  readonly what: string;
  readonly answers: Readonly<Record<string, Answer | string>>;
}

/** How many verdicts there were of each kind. */
export type Tally = Record<string, number>;

export interface Failure {
  /** Of graph and operation: `--graph 7 --operation 3` runs it again. */
  readonly graph: number;
  readonly operation: number;
  readonly report: string;
}

/** Judges one operation, with one service out of reach if `down` says so. */
export async function judge(engines: Engines, operation: Operation, down?: string): Promise<Verdict> {
  const planned = await attempt(engines.planned, operation, down);
  const stitched = await attempt(engines.stitched, operation, down);
  const answers = { planned, stitched };
  if (engines.whole === undefined || engines.lenient === undefined) return judgeAlone(planned, stitched, answers);
  const truth = { whole: await engines.whole(operation), lenient: await engines.lenient(operation) };
  const all = { ...answers, whole: truth.whole };
  if (typeof planned === 'string') return { kind: 'planned', what: 'threw', answers: all };
  if (down !== undefined) return judgePartial(planned, stitched, truth, all);
  const fault = findDifference(planned, truth);
  if (fault !== null) return { kind: 'planned', what: fault, answers: all };
  if (typeof stitched === 'string') return { kind: 'stitched', what: 'threw', answers: all };
  const limit = findDifference(stitched, truth);
  if (limit !== null) return { kind: 'stitched', what: limit, answers: all };
  const same = areSameErrors(planned.errors, stitched.errors);
  return { kind: same ? 'same' : 'choice', what: same ? 'answer' : 'errors', answers: all };
}

type Answers = Verdict['answers'];

/** Where nobody else can tell, the engines have to agree. */
function judgeAlone(planned: Answer | string, stitched: Answer | string, answers: Answers): Verdict {
  const difference = compare(planned, stitched);
  return { kind: difference === null ? 'same' : 'planned', what: difference ?? 'answer', answers };
}

/** With a service down the engines may lose different things: they may have asked different services for the same. */
function judgePartial(planned: Answer, stitched: Answer | string, truth: Truth, answers: Answers): Verdict {
  const fault = findPartialFault(planned, truth);
  if (fault !== null) return { kind: 'planned', what: `down: ${fault}`, answers };
  const difference = compare(planned, stitched);
  if (difference === null) return { kind: 'same', what: 'answer with a service down', answers };
  const limit = typeof stitched === 'string' ? 'threw' : findPartialFault(stitched, truth);
  if (limit !== null) return { kind: 'stitched', what: 'answer with a service down', answers };
  return { kind: 'choice', what: `${difference} with a service down`, answers };
}

function compare(planned: Answer | string, stitched: Answer | string): Difference | 'threw' | null {
  if (typeof planned === 'string' || typeof stitched === 'string') return planned === stitched ? null : 'threw';
  return (
    findDifference(planned, { whole: stitched, lenient: stitched }) ??
    (areSameErrors(planned.errors, stitched.errors) ? null : 'errors')
  );
}

async function attempt(run: Engines['planned'], operation: Operation, down?: string): Promise<Answer | string> {
  try {
    return await run(operation, down);
  } catch (error) {
    return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

export interface GraphRun {
  readonly graph: number;
  readonly operations: readonly number[];
  /** How many failures are worth shrinking. */
  readonly shrinks: number;
  /** Called before each operation: a planner that panics takes the process along. */
  readonly onOperation?: (operation: number) => void;
}

export interface GraphOutcome {
  readonly tally: Tally;
  readonly failures: readonly Failure[];
}

/** Runs operations over the generated graph of a seed; every third one also with a service down. */
export async function runGraph({ graph, operations, shrinks, onOperation }: GraphRun): Promise<GraphOutcome> {
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
      const name = `${verdict.kind}: ${verdict.what.replace(/ (at|:) .*/, '')}`;
      tally[name] = (tally[name] ?? 0) + 1;
      if (verdict.kind !== 'planned') continue;
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
    const { kind, what } = await judge(engines, candidate, down);
    return kind === verdict.kind && what.split(' at ')[0] === verdict.what.split(' at ')[0];
  };
  const federated = createFederatedGraph(model);
  const engines = createEngines(federated);
  const smaller = await shrinkOperation(federated.publicSchema, operation, (candidate) =>
    failsAlike(engines, candidate),
  );
  const smallerModel = await shrinkGraph(model, async (candidate) => {
    try {
      return await failsAlike(createEngines(createFederatedGraph(candidate)), smaller);
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
    `wrong: ${verdict.what}${down === undefined ? '' : ` (${down} is down)`}`,
    ...Object.entries(federated.sdls).map(([name, sdl]) => `# ${name}\n${sdl}`),
    describeOperation(operation),
    `plan: ${describePlan(engines, operation)}`,
    ...Object.entries(verdict.answers).map(([name, answer]) => `${name}: ${describeAnswer(answer)}`),
  ].join('\n\n');
}

function describePlan(engines: Engines, operation: Operation): string {
  try {
    return JSON.stringify(engines.plan(operation), null, 1);
  } catch (error) {
    return String(error);
  }
}

function describeAnswer(answer: Answer | string): string {
  if (typeof answer === 'string') return answer;
  const errors = answer.errors.map(({ path, code, message }) => `  ${path.join('/')} ${code} ${message}`);
  return [answer.text, ...errors, ...answer.changes.map((change) => `  changed: ${change}`)].join('\n');
}
