/** What became of copies of requests, and where answers differed. */
import type { AnswerDifference } from './answer-difference.ts';

export const mirrorOutcomes = ['sent', 'failed', 'busy', 'too-large', 'equal', 'different', 'not-compared'] as const;
export type MirrorOutcome = (typeof mirrorOutcomes)[number];

/** A pair of answers that differed. */
export interface DifferentAnswers {
  readonly time: string;
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly differences: readonly AnswerDifference[];
}

export interface MirrorReport {
  readonly service: string;
  /** The label of the route. */
  readonly route: string;
  /** Who gets the copies. */
  readonly mirror: string;
  readonly counts: Readonly<Record<MirrorOutcome, number>>;
  /** The newest first. */
  readonly last: readonly DifferentAnswers[];
}

/** Pairs that are remembered of a route. */
export const maxRemembered = 20;

/** One report for each route, of what several processes saw. */
export function mergeReports(reports: readonly MirrorReport[]): readonly MirrorReport[] {
  const merged = new Map<string, MirrorReport>();
  for (const report of reports) {
    const key = `${report.service} ${report.route}`;
    const known = merged.get(key);
    merged.set(key, known === undefined ? report : mergeTwo(known, report));
  }
  return [...merged.values()];
}

function mergeTwo(a: MirrorReport, b: MirrorReport): MirrorReport {
  const counts = Object.fromEntries(mirrorOutcomes.map((name) => [name, a.counts[name] + b.counts[name]]));
  const last = [...a.last, ...b.last].toSorted((one, two) => (one.time < two.time ? 1 : -1)).slice(0, maxRemembered);
  return { ...a, counts: counts as MirrorReport['counts'], last };
}
