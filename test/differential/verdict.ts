/** Which engine is right about an operation, and whether that is as it should be. */
import { setTimeout as sleep } from 'node:timers/promises';
import { areSameErrors, findDifference, findPartialFault, type Truth } from './comparison.ts';
import { type Answer, type Engines, PlanRefusal } from './engines.ts';
import type { Operation } from './operation.ts';

export interface Verdict {
  /**
   * `same`: both right and alike. `choice`: both right, in one of the ways that the specification leaves open.
   * `stitched`: only the planned answer is right, a known limit of stitching. `refused`: there is no plan, only the
   * stitched engine answers. `planned`: the planned answer is wrong.
   */
  readonly kind: 'same' | 'choice' | 'stitched' | 'refused' | 'planned';
  readonly what: string;
  /** More to tell about this one case. */
  readonly detail?: string;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** An answer, or what there was instead. */
export type Outcome = Answer | { readonly mishap: 'refused' | 'threw' | 'hung'; readonly message: string };

/** Longer than any operation here takes on a busy machine: whoever has not answered then never will. */
const patienceMs = 3_000;

/** Judges one operation, with one service out of reach if `down` says so. */
export async function judge(engines: Engines, operation: Operation, down?: string): Promise<Verdict> {
  const planned = await attempt(engines.planned(operation, down));
  const stitched = await attempt(engines.stitched(operation, down));
  const outcomes = { planned, stitched };
  if (engines.whole === undefined || engines.lenient === undefined) {
    return judgeAlone(planned, stitched, outcomes, down !== undefined);
  }
  const truth = { whole: await engines.whole(operation), lenient: await engines.lenient(operation) };
  return judgeByTruth(planned, stitched, truth, { ...outcomes, whole: truth.whole }, down !== undefined);
}

type Outcomes = Verdict['outcomes'];

/** Where nobody else can tell, the engines have to agree. */
function judgeAlone(planned: Outcome, stitched: Outcome, outcomes: Outcomes, isDown: boolean): Verdict {
  if ('mishap' in planned && planned.mishap === 'refused') return { kind: 'refused', what: 'unchecked', outcomes };
  const difference = compare(planned, stitched);
  if (difference === null) return { kind: 'same', what: describe('answer', isDown), outcomes };
  return { kind: 'planned', what: describe(difference, isDown), outcomes };
}

function judgeByTruth(planned: Outcome, stitched: Outcome, truth: Truth, outcomes: Outcomes, isDown: boolean): Verdict {
  const findFault = isDown ? findPartialFault : findDifference;
  const limit = 'mishap' in stitched ? stitched.mishap : findFault(stitched, truth);
  if ('mishap' in planned && planned.mishap === 'refused') {
    const what = limit === null ? 'stitched is right' : 'stitched is wrong';
    return { kind: 'refused', what, detail: describeRefusal(planned.message), outcomes };
  }
  const fault = 'mishap' in planned ? planned.mishap : findFault(planned, truth);
  if (fault !== null) return buildVerdict('planned', fault, outcomes, isDown);
  if (limit !== null) return buildVerdict('stitched', limit, outcomes, isDown);
  const difference = compare(planned, stitched);
  if (difference === null) return { kind: 'same', what: describe('answer', isDown), outcomes };
  return { kind: 'choice', what: describe(difference, isDown), outcomes };
}

/** The first line without what differs from case to case. */
function describeRefusal(message: string): string {
  const [line = ''] = message.split('\n');
  return line.replace(/'[^']*'/g, "'…'").replace(/\[\d+\]|\d+/g, '#');
}

function buildVerdict(kind: Verdict['kind'], fault: string, outcomes: Outcomes, isDown: boolean): Verdict {
  const [what = '', detail] = fault.split(': ');
  return { kind, what: describe(what, isDown), ...(detail !== undefined && { detail }), outcomes };
}

function describe(what: string, isDown: boolean): string {
  return isDown ? `${what} (with a service down)` : what;
}

function compare(planned: Outcome, stitched: Outcome): string | null {
  if ('mishap' in planned) return planned.mishap;
  if ('mishap' in stitched) return stitched.mishap;
  if (planned.text !== stitched.text) return 'data';
  if (planned.changes.join() !== stitched.changes.join()) return 'order of mutations';
  return areSameErrors(planned.errors, stitched.errors) ? null : 'errors';
}

async function attempt(answer: Promise<Answer>): Promise<Outcome> {
  const won = new AbortController();
  try {
    const hung = { mishap: 'hung', message: 'no answer' } as const;
    return await Promise.race([answer, sleep(patienceMs, hung, { signal: won.signal })]);
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { mishap: error instanceof PlanRefusal ? 'refused' : 'threw', message };
  } finally {
    won.abort();
  }
}
