/** Plugins of the operator's own in the pipeline of the GraphQL door. */
import { type DocumentNode, type ExecutionArgs, getOperationAST, Kind, print } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { GraphqlContext } from '../policies/request-context.ts';
import type { GatewayRequest } from './context.ts';
import type { OperationFacts } from './plugin.ts';

type Facts = Omit<OperationFacts, 'request' | 'viewer'>;

/** Yoga plugin: asks `onOperation` of operations that may be executed, whether or not a cache has their answer. */
export function usePluginOperations(): Plugin<object, GraphqlContext> {
  // Documents come from the parser's cache, so each is looked at once.
  const known = new WeakMap<DocumentNode, Map<string, Facts | null>>();
  function look({ document, operationName }: ExecutionArgs): Facts | null {
    const byName = known.get(document) ?? new Map<string, Facts | null>();
    known.set(document, byName);
    const name = operationName ?? '';
    let facts = byName.get(name);
    if (facts === undefined) {
      facts = buildFacts(document, operationName);
      byName.set(name, facts);
    }
    return facts;
  }
  const ask = ({ args }: { readonly args: ExecutionArgs }): Promise<void> | undefined => {
    const { plugins } = (args.contextValue as GraphqlContext).gateway as GatewayRequest;
    // Which operation it is, is not clear: execution makes an error of that.
    const facts = plugins === undefined ? null : look(args);
    return facts === null ? undefined : plugins?.atOperation(facts);
  };
  return { onExecute: ask as () => undefined, onSubscribe: ask as () => undefined };
}

function buildFacts(document: DocumentNode, operationName: string | null | undefined): Facts | null {
  const operation = getOperationAST(document, operationName);
  if (operation == null) return null;
  const names = new Set<string>();
  const fragments = new Set<string>();
  const collect = ({ selectionSet }: Pick<typeof operation, 'selectionSet'>): void => {
    for (const selection of selectionSet.selections) {
      if (selection.kind === Kind.FIELD) names.add(selection.name.value);
      else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection);
      else if (!fragments.has(selection.name.value)) {
        fragments.add(selection.name.value);
        for (const one of document.definitions) {
          if (one.kind === Kind.FRAGMENT_DEFINITION && one.name.value === selection.name.value) collect(one);
        }
      }
    }
  };
  collect(operation);
  return {
    type: operation.operation,
    name: operation.name?.value,
    document: document.loc?.source.body ?? print(document),
    rootFields: Object.freeze([...names]),
  };
}
