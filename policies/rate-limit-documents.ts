/** Rate limits of the GraphQL door that must know the operation: by its name, its fields or its cost. */
import {
  type ExecutionArgs,
  type GraphQLSchema,
  getOperationAST,
  isAbstractType,
  isInterfaceType,
  isObjectType,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { toGraphQLError } from './errors.ts';
import type { MeasureOperation, OperationDemand } from './operation-cost.ts';
import type { RateLimiter } from './rate-limit.ts';
import { meterBytes } from './rate-limit-bytes.ts';
import type { RateLimitDecision } from './rate-limit-decision.ts';
import type { RateLimitSubject } from './rate-limit-key.ts';
import type { CompiledRule } from './rate-limit-rule.ts';
import type { GraphqlContext, RequestContext } from './request-context.ts';

export interface UseOperationLimitsOptions {
  readonly limiter: RateLimiter;
  readonly schema: GraphQLSchema;
  /** Rules for every operation. */
  readonly rules: readonly CompiledRule[];
  /** Rules for operations with a field, by `Type.field`. */
  readonly fieldRules: ReadonlyMap<string, readonly CompiledRule[]>;
  readonly measure: MeasureOperation;
}

/** One question to the limiter. */
interface Question {
  readonly rules: readonly CompiledRule[];
  readonly field?: string;
  readonly times?: number;
}

/** A Yoga plugin that asks the limiter for operations that are valid, before anything of them is executed. */
export function useOperationLimits(options: UseOperationLimitsOptions): Plugin<object, GraphqlContext> {
  const { limiter, schema, rules, fieldRules, measure } = options;
  if (rules.length === 0 && fieldRules.size === 0) return {};
  const whole = rules.filter(({ perField }) => !perField);
  const perField = rules.filter((rule) => rule.perField);
  const coveredBy = createCoverage(schema, fieldRules);

  /** A field's rule takes the place of a general one of its name, for that field. */
  const isReplaced = (rule: CompiledRule, field: string): boolean =>
    coveredBy(field).some(([, covering]) => covering.some(({ name }) => name === rule.name));

  function listQuestions({ fields, rootFields }: OperationDemand): Question[] {
    const questions: Question[] = [];
    // An operation is left out only where all of it has a rule of its own: else one cheap field would lift the limit.
    const roots = [...rootFields.keys()];
    const open = whole.filter((rule) => roots.length === 0 || !roots.every((field) => isReplaced(rule, field)));
    if (open.length > 0) questions.push({ rules: open });
    for (const [field, times] of perField.length > 0 ? rootFields : []) {
      const asked = perField.filter((rule) => !isReplaced(rule, field));
      if (asked.length > 0) questions.push({ rules: asked, field, times });
    }
    if (fieldRules.size === 0) return questions;
    for (const [field, times] of fields) {
      for (const [coordinate, covering] of coveredBy(field)) {
        questions.push({ rules: covering, field: coordinate, times });
      }
    }
    return questions;
  }

  async function guard({ args, setResultAndStopExecution }: Event): Promise<void> {
    const operation = getOperationAST(args.document, args.operationName);
    if (operation === null || operation === undefined) return;
    const { gateway } = args.contextValue as GraphqlContext;
    const demand = measure(args.document, operation, args.variableValues ?? {});
    const name = `${operation.operation} ${operation.name?.value ?? 'anonymous'}`;
    for (const { rules: asked, ...part } of listQuestions(demand)) {
      const subject = { ...buildSubject(gateway), operation: name, cost: demand.cost, ...part };
      const decision = await limiter.check(asked, subject);
      noteDecision(limiter, gateway, decision);
      if (decision.error === null) continue;
      setResultAndStopExecution({ errors: [toGraphQLError(decision.error, gateway.id)] });
      return;
    }
  }
  return { onExecute: guard as never, onSubscribe: guard as never };
}

interface Event {
  readonly args: ExecutionArgs;
  readonly setResultAndStopExecution: (result: { errors: unknown[] }) => void;
}

/** What rules see of a request at the GraphQL door. */
export function buildSubject(gateway: RequestContext): RateLimitSubject {
  const { viewer, client, headers, departure } = gateway;
  return { viewer, address: client.address, headers, departure };
}

/** What was decided is told in the headers of the answer; what it holds, it holds until the end of the request. */
export function noteDecision(limiter: RateLimiter, gateway: RequestContext, decision: RateLimitDecision): void {
  if (decision.release !== null) gateway.atEnd(decision.release);
  meterBytes(gateway, decision.accounts);
  // Of a batch, a refusal is what the answer's headers tell.
  if (gateway.rateLimit?.allowed === false) return;
  gateway.rateLimit = limiter.merge(gateway.rateLimit, decision);
}

/**
 * The rules that a selected field falls under: those of its own coordinate, and those of the types behind it. A rule for
 * `User.posts` also covers `Node.posts` where Node may be a User, so that it cannot be read around.
 */
function createCoverage(schema: GraphQLSchema, fieldRules: ReadonlyMap<string, readonly CompiledRule[]>) {
  const known = new Map<string, readonly (readonly [string, readonly CompiledRule[]])[]>();
  return (coordinate: string) => {
    let found = known.get(coordinate);
    if (found === undefined) {
      const [parent = '', field = ''] = coordinate.split('.');
      found = [...fieldRules].filter(([written]) => {
        const [type = '', name] = written.split('.');
        return name === field && areRelated(schema, type, parent);
      });
      known.set(coordinate, found);
    }
    return found;
  };
}

function areRelated(schema: GraphQLSchema, written: string, selected: string): boolean {
  if (written === selected) return true;
  const [a, b] = [schema.getType(written), schema.getType(selected)];
  if (isAbstractType(b) && isObjectType(a)) return schema.isSubType(b, a);
  return isInterfaceType(a) && (isObjectType(b) || isInterfaceType(b)) && schema.isSubType(a, b);
}
