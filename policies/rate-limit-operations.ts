/** Rate limits of the GraphQL door: every operation counts, and before it is even parsed. */
import type { Plugin } from 'graphql-yoga';
import { toGraphQLError } from './errors.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { RateLimitDecision } from './rate-limit-decision.ts';
import { buildSubject, noteDecision } from './rate-limit-documents.ts';
import type { CompiledRule } from './rate-limit-rule.ts';
import type { GraphqlContext } from './request-context.ts';

export interface UseRateLimitOptions {
  readonly limiter: RateLimiter;
  readonly rules: readonly CompiledRule[];
}

/**
 * A Yoga plugin that asks the limiter for each operation. It acts in `onParams`, which Yoga runs once per operation: a
 * batch counts as many as it holds, and a refused document is never parsed.
 */
export function useRateLimit({ limiter, rules }: UseRateLimitOptions): Plugin<object, GraphqlContext> {
  if (rules.length === 0) return {};
  return {
    onParams({ context, setResult }) {
      const { gateway } = context;
      const conclude = (decision: RateLimitDecision) => {
        noteDecision(limiter, gateway, decision);
        if (decision.error === null) return;
        context.isRefused = true;
        setResult({ errors: [toGraphQLError(decision.error, gateway.id)] });
      };
      const decision = limiter.check(rules, buildSubject(gateway));
      return decision instanceof Promise ? decision.then(conclude) : conclude(decision);
    },
  };
}
