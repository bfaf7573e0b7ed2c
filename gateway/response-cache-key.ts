/** Which operations are the same for the cache of answers, and how long their answers may be kept. */
import { createHash } from 'node:crypto';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLSchema,
  getOperationAST,
  type OperationDefinitionNode,
  print,
} from 'graphql';
import { type CacheHints, type OperationCaching, readOperationCaching } from '../policies/cache-hints.ts';
import { isInBraces, readAskerPart } from '../policies/header-template.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { describeAsker } from '../schema/request-sharing.ts';

export interface OperationKnowledge {
  readonly schema: GraphQLSchema;
  readonly hints: CacheHints;
  /** Whether a field, as `Type.field`, asks something of the viewer. */
  readonly isAuthorized: (coordinate: string) => boolean;
}

/** What is known of an operation of a document, worked out once. */
export interface KnownOperation {
  readonly operation: OperationDefinitionNode;
  /** Null for what is not kept. */
  readonly caching: OperationCaching | null;
  readonly hash: string;
}

/** Credentials; where the answer is for everyone, they say nothing about it. */
const credentials: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-api-key', 'proxy-authorization']);

/** What tells apart answers which are for everyone: names of headers, and in braces, of what else services are told. */
export function withoutCredentials(names: readonly string[]): readonly string[] {
  return names.filter((name) => !credentials.has(name));
}

/** Looks operations up; null for those that neither are kept nor change what is. */
export function createOperationLookUp({
  schema,
  hints,
  isAuthorized,
}: OperationKnowledge): (args: ExecutionArgs) => KnownOperation | null {
  // Documents come from the parser's cache, so each is looked at once.
  const known = new WeakMap<DocumentNode, Map<string, KnownOperation | null>>();
  function read(document: DocumentNode, name: string): KnownOperation | null {
    const operation = getOperationAST(document, name === '' ? null : name);
    if (operation == null || operation.operation === 'subscription') return null;
    const isQuery = operation.operation === 'query';
    // Printed, and not the text that came: what authorization took out of it is another document.
    const hash = createHash('sha256').update(print(document)).digest('base64url');
    const caching = isQuery ? readOperationCaching(schema, document, operation, hints, isAuthorized) : null;
    return isQuery && caching === null ? null : { operation, caching, hash };
  }
  return ({ document, operationName }) => {
    const name = operationName ?? '';
    const byName = known.get(document) ?? new Map<string, KnownOperation | null>();
    known.set(document, byName);
    let found = byName.get(name);
    if (found === undefined) {
      found = read(document, name);
      byName.set(name, found);
    }
    return found;
  };
}

/** Whether the answer is for the viewer who asks alone. */
export function isForViewer({ isPrivate, isAuthorized }: OperationCaching): boolean {
  return isPrivate || isAuthorized;
}

/** Null where the answer is for a viewer and there is none. `forwarded`: what services are told, as `describeAsker` has it. */
export function buildOperationKey(
  graphId: string,
  { hash, operation }: KnownOperation,
  caching: OperationCaching,
  { operationName, variableValues }: ExecutionArgs,
  gateway: RequestContext,
  forwarded: readonly string[],
): string | null {
  const isOwn = isForViewer(caching);
  if (isOwn && gateway.viewer === null) return null;
  const names = isOwn ? forwarded : withoutCredentials(forwarded);
  const asker = describeAsker(isOwn ? gateway : { ...gateway, headers: gateway.headers, viewer: null }, names);
  // What rules for headers tell services of a viewer they may answer by, also where the answer is called public.
  const told = isOwn ? [] : names.filter(isInBraces).map((name) => readAskerPart(name, gateway));
  // Of the variables those that the operation has: others change nothing, and would only make more keys.
  const variables = (operation.variableDefinitions ?? []).map(({ variable }) => {
    const { value } = variable.name;
    const isGiven = variableValues != null && Object.hasOwn(variableValues, value);
    return isGiven ? [value, sortKeys(variableValues[value])] : [value];
  });
  const identity = JSON.stringify([graphId, hash, operationName ?? '', variables, asker, ...told]);
  return `g:${createHash('sha256').update(identity).digest('base64url')}`;
}

/** The order of keys says nothing. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}
