/**
 * Kept answers of GraphQL queries. It acts in `onExecute`, after authentication, limits, validation and authorization,
 * and before either engine: whoever gets an answer from here might have had it from the services.
 */
import { createHash } from 'node:crypto';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLSchema,
  getOperationAST,
  type OperationDefinitionNode,
  print,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { type CacheHints, type OperationCaching, readOperationCaching } from '../policies/cache-hints.ts';
import { formatCacheStatus } from '../policies/cache-status.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { fieldTag, readEntities, tagsOfAnswer, tagsOfChange } from '../policies/cached-entities.ts';
import { isInBraces, readAskerPart } from '../policies/header-template.ts';
import type { GraphqlContext, RequestContext } from '../policies/request-context.ts';
import { describeAsker } from '../schema/request-sharing.ts';
import type { CacheMetrics } from './metrics-cache.ts';
import { buildKeptAnswer, SerializedData } from './planned-execution.ts';

export interface ResponseCacheOptions {
  readonly graphId: string;
  readonly schema: GraphQLSchema;
  readonly store: CacheStore;
  readonly hints: CacheHints;
  /** Whether a field, as `Type.field`, asks something of the viewer. */
  readonly isAuthorized: (coordinate: string) => boolean;
  readonly idFields: readonly string[];
  readonly maxBodyBytes: number;
  /** In lower case, the client's headers that services get. */
  readonly forwardedHeaders: () => readonly string[];
  readonly metrics: Pick<CacheMetrics, 'onOperation' | 'onOperationStored'>;
  readonly now?: () => number;
}

/** What is known of an operation of a document, worked out once. */
interface Known {
  readonly operation: OperationDefinitionNode;
  /** Null for what is not kept. */
  readonly caching: OperationCaching | null;
  readonly hash: string;
}

interface Meta {
  readonly version: 1;
  readonly storedAt: number;
  readonly maxAgeMs: number;
}

/** Credentials; where the answer is for everyone, they say nothing about it. */
const credentials: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-api-key', 'proxy-authorization']);

/** Yoga plugin: answers queries from the store, keeps answers, and drops what mutations changed. */
export function useResponseCache(options: ResponseCacheOptions): Plugin<object, GraphqlContext> {
  const { store, schema, metrics, now = Date.now } = options;
  const know = createKnowledge(options);
  return {
    onExecute({ args, setResultAndStopExecution }) {
      const known = know(args);
      if (known === null) return undefined;
      const { gateway } = args.contextValue as unknown as GraphqlContext;
      if (known.operation.operation === 'mutation') return { onExecuteDone: ({ result }) => drop(args, known, result) };
      if (known.caching === null) return undefined;
      const { caching } = known;
      const key = buildKey(options, known, caching, args, gateway);
      // What is for one viewer is not kept for somebody whom nobody knows.
      if (key === null) {
        metrics.onOperation('bypass');
        return undefined;
      }
      return look(key, gateway, setResultAndStopExecution, args, known, caching);
    },
  };

  async function look(
    key: string,
    gateway: RequestContext,
    answer: (result: never) => void,
    args: ExecutionArgs,
    known: Known,
    caching: OperationCaching,
  ) {
    const { entry, epoch } = await store.get(key);
    const meta = entry?.meta as Meta | undefined;
    const ageMs = meta === undefined ? 0 : now() - meta.storedAt;
    if (entry != null && meta?.version === 1 && ageMs < meta.maxAgeMs) {
      metrics.onOperation('hit');
      gateway.cacheStatus = formatCacheStatus({ ttlSeconds: (meta.maxAgeMs - ageMs) / 1_000 });
      answer(buildKeptAnswer(entry.body.toString('utf8')) as never);
      return undefined;
    }
    metrics.onOperation('miss');
    gateway.cacheStatus = formatCacheStatus({ forward: 'uri-miss' });
    return {
      onExecuteDone: async ({ result }: { result: unknown }) => {
        const json = readWholeData(result);
        // A cookie is for one client, and then the answer may be so too.
        if (json === null || gateway.serviceHeaders?.setsCookies === true) return;
        const body = Buffer.from(json, 'utf8');
        if (body.length > options.maxBodyBytes) return;
        const { operation } = known;
        const { document } = args;
        const entities = readEntities({ schema, document, operation, idFields: options.idFields }, JSON.parse(json));
        const tags = [...caching.rootFields.map(fieldTag), ...tagsOfAnswer(entities)];
        const kept: Meta = { version: 1, storedAt: now(), maxAgeMs: caching.maxAgeMs };
        // Nobody waits for a store elsewhere.
        void Promise.resolve(store.set(key, { meta: kept, body }, { ttlMs: caching.maxAgeMs, tags, epoch })).then(
          (isStored) => isStored && metrics.onOperationStored(body.length),
        );
      },
    };
  }

  /** Also of a mutation that failed in part. Awaited: whoever has its answer gets no older one. */
  async function drop({ document }: ExecutionArgs, { operation }: Known, result: unknown): Promise<void> {
    const data = readData(result);
    if (data === null) return;
    const entities = readEntities({ schema, document, operation, idFields: options.idFields }, JSON.parse(data));
    const tags = tagsOfChange(entities);
    // A store that cannot be asked lets what it has run out.
    if (tags.length > 0) await Promise.resolve(store.invalidate(tags)).catch(() => {});
  }
}

function createKnowledge({ schema, hints, isAuthorized }: ResponseCacheOptions): (args: ExecutionArgs) => Known | null {
  // Documents come from the parser's cache, so each is looked at once.
  const known = new WeakMap<DocumentNode, Map<string, Known | null>>();
  function read(document: DocumentNode, name: string): Known | null {
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
    const byName = known.get(document) ?? new Map<string, Known | null>();
    known.set(document, byName);
    let found = byName.get(name);
    if (found === undefined) {
      found = read(document, name);
      byName.set(name, found);
    }
    return found;
  };
}

/** Null where the answer is for a viewer and there is none. */
function buildKey(
  { graphId, forwardedHeaders }: ResponseCacheOptions,
  { hash, operation }: Known,
  { isPrivate, isAuthorized }: OperationCaching,
  { operationName, variableValues }: ExecutionArgs,
  gateway: RequestContext,
): string | null {
  const isForViewer = isPrivate || isAuthorized;
  if (isForViewer && gateway.viewer === null) return null;
  const names = isForViewer ? forwardedHeaders() : forwardedHeaders().filter((name) => !credentials.has(name));
  const asker = describeAsker(isForViewer ? gateway : { ...gateway, headers: gateway.headers, viewer: null }, names);
  // What rules for headers tell services of a viewer they may answer by, also where the answer is called public.
  const told = isForViewer ? [] : names.filter(isInBraces).map((name) => readAskerPart(name, gateway));
  // Of the variables those that the operation has: others change nothing, and would only make more keys.
  const variables = (operation.variableDefinitions ?? []).map(({ variable }) => {
    const { value } = variable.name;
    const isGiven = variableValues != null && Object.hasOwn(variableValues, value);
    return isGiven ? [value, sortKeys(variableValues[value])] : [value];
  });
  const identity = JSON.stringify([graphId, hash, operationName ?? '', variables, asker, ...told]);
  return `g:${createHash('sha256').update(identity).digest('base64url')}`;
}

/** The data of an answer without errors and substitutes, as JSON; null for any other. */
function readWholeData(result: unknown): string | null {
  const isWhole =
    typeof result === 'object' &&
    result !== null &&
    'data' in result &&
    !('errors' in result && result.errors) &&
    !('extensions' in result && result.extensions);
  return isWhole ? readData(result) : null;
}

function readData(result: unknown): string | null {
  if (typeof result !== 'object' || result === null || !('data' in result)) return null;
  const { data } = result;
  if (typeof data !== 'object' || data === null) return null;
  return data instanceof SerializedData ? data.json : JSON.stringify(data);
}

/** The order of keys says nothing. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}
