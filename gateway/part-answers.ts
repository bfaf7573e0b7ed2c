/** The answers to the parts of a query, and one answer of them all. */
import type { ExecutionResult, GraphQLError } from 'graphql';
import type { Degradation, Substitute } from '../policies/degradation.ts';
import type { RootFieldPart, RootFieldParts } from '../schema/root-field-parts.ts';
import { type PlannedAnswer, SerializedData } from './planned-execution.ts';

export type Answer = ExecutionResult | PlannedAnswer;

/** What a part gave. */
export interface PartAnswer {
  readonly answer: Answer;
  readonly degraded: readonly Degradation[];
}

/** The data of an answer as an object, however it is held. */
export function readData(data: unknown): Record<string, unknown> | null {
  return (data instanceof SerializedData ? data.toJSON() : data) as Record<string, unknown> | null;
}

/** What goes out about the places at which something stands in for a field. */
export function describeDegraded(
  { field }: RootFieldPart,
  keys: RootFieldParts['keys'],
  code: string,
  substitute: Substitute,
): Degradation[] {
  const mine = [...keys].filter(([, name]) => name === field);
  return mine.map(([key]) => ({ path: [key], code, with: substitute }));
}

/** One answer of several, with the fields in the order of the query. */
export function mergeAnswers(answers: readonly PartAnswer[], keys: RootFieldParts['keys']): Answer {
  const [only] = answers;
  const degraded = answers.flatMap((part) => part.degraded);
  if (answers.length === 1 && only !== undefined && degraded.length === 0) return only.answer;
  const errors = answers.flatMap(({ answer }) => answer.errors ?? []);
  // A mistake of the client, e.g. in a variable that all parts use.
  if (answers.some(({ answer }) => answer.data === undefined)) return { errors: withoutRepetition(errors) };
  const all = answers.map(({ answer }) => readData(answer.data));
  return {
    data: all.some((data) => data === null) ? null : inOrder(Object.assign({}, ...all), keys),
    ...(errors.length > 0 && { errors }),
    ...(degraded.length > 0 && { extensions: { degraded } }),
  };
}

function inOrder(data: Record<string, unknown>, keys: RootFieldParts['keys']): Record<string, unknown> {
  return Object.fromEntries([...keys.keys()].filter((key) => Object.hasOwn(data, key)).map((key) => [key, data[key]]));
}

function withoutRepetition(errors: readonly GraphQLError[]): GraphQLError[] {
  return [...new Map(errors.map((error) => [error.message, error])).values()];
}
