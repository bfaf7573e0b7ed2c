/** Says in `extensions.degraded` where something stands in for a field below the root. */
import type { Plugin } from 'graphql-yoga';
import type { GraphqlContext } from '../policies/request-context.ts';

/**
 * Yoga plugin: stands before whoever keeps answers, which are not whole then. In a batch of operations each tells of all
 * of them.
 */
export function useDegradedAnswers(): Plugin<object, GraphqlContext> {
  return {
    onExecute: ({ args }) => ({
      onExecuteDone({ result, setResult }) {
        const { gateway } = args.contextValue as unknown as GraphqlContext;
        const { degraded = [] } = gateway;
        if (degraded.length === 0 || Symbol.asyncIterator in result) return;
        gateway.freshness = undefined;
        const { extensions = {} } = result;
        const known = (extensions['degraded'] ?? []) as unknown[];
        const texts = new Set(degraded.map((one) => JSON.stringify(one)));
        const own = [...texts].map((text): unknown => JSON.parse(text));
        setResult({ ...result, extensions: { ...extensions, degraded: [...known, ...own] } });
      },
    }),
  };
}
