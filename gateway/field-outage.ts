/** What the answer to a part of a query says about the field that the part is for. */
import type { GraphQLError } from 'graphql';
import { GatewayError } from '../policies/errors.ts';
import type { OutageGuard } from '../policies/outage-guard.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { findGatewayError } from './graphql-errors.ts';
import { type Answer, readData } from './part-answers.ts';

/** What an answer says about the field. That a client left, or was in more of a hurry than the field may be, says nothing. */
export function judge(answer: Answer, guard: OutageGuard, gateway: RequestContext): 'succeeded' | 'failed' | 'unknown' {
  if (!hasFailure(answer, guard)) return gateway.departure.happened ? 'unknown' : 'succeeded';
  const outOfTime = gateway.isHurried === true && performance.now() >= gateway.deadlineAtMs - 1;
  return gateway.departure.happened || outOfTime ? 'unknown' : 'failed';
}

/** Whether anything in the answer is missing through the fault of a service: also far below the field. */
function hasFailure({ errors = [] }: Answer, guard: OutageGuard): boolean {
  return errors.some((error) => guard.isFailure(...readCode(error)));
}

/** The code of the outage that made a root field null; undefined when there is none. */
export function findOutage({ data, errors = [] }: Answer, guard: OutageGuard): string | undefined {
  // Without `data` nothing was executed: the client's mistake.
  if (data === undefined || errors.length === 0) return undefined;
  const values = readData(data);
  if (values !== null && Object.values(values).every((value) => value !== null)) return undefined;
  for (const error of errors) {
    const [code, own] = readCode(error);
    const key = String(error.path?.[0] ?? '');
    if ((values === null || values[key] === null) && guard.isOutage(code, own)) return code;
  }
  return undefined;
}

function readCode(error: GraphQLError): [code: string | undefined, own: boolean] {
  const ours = findGatewayError(error);
  if (ours instanceof GatewayError) return [ours.code, true];
  const code = error.extensions?.['code'];
  return [typeof code === 'string' ? code : undefined, false];
}
