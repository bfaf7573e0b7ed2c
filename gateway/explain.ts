/**
 * What would happen to a request, and why, without doing it: the admin API's `POST /explain`. It asks the same parts that
 * answer requests, so what it says is what they would do.
 */
import { explainOperation, type OperationExplanation } from './explain-operation.ts';
import { explainRoute } from './explain-route.ts';
import type { ExplainQuestion, ExplainSources } from './explanation.ts';
import type { RouteExplanation } from './route-explanation.ts';

export type Explanation = RouteExplanation | OperationExplanation;

/** Answers a question. A request that would be refused is no error but an answer. */
export async function explain(sources: ExplainSources, question: ExplainQuestion): Promise<Explanation> {
  return 'query' in question ? explainOperation(sources, question) : explainRoute(sources, question);
}
