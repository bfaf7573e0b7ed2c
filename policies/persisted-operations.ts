/**
 * Operations by an id in place of their text: trusted documents, which the operator lists, and automatic persisted
 * queries, which clients register themselves. Decides what a request's document is, and whether it may be asked for.
 */
import { hash } from 'node:crypto';
import type { AutomaticQueries } from './automatic-queries.ts';
import { readClientName } from './client-name.ts';
import { GatewayError } from './errors.ts';
import type { OperationManifest } from './operation-manifest.ts';
import type { Asker, IsInClass } from './viewer-class.ts';

/** What a request says of its operation. Nothing of it is checked yet. */
export interface OperationParams {
  readonly query?: unknown;
  readonly extensions?: unknown;
  readonly documentId?: unknown;
  readonly id?: unknown;
}

export interface ResolvedOperation {
  readonly text: string;
  readonly isTrusted: boolean;
  /** To be kept under its hash when it turns out to be valid. */
  readonly registers?: { readonly hash: string; readonly text: string };
}

export type PersistedOutcome = 'trusted' | 'arbitrary' | 'refused' | 'apq-hit' | 'apq-miss' | 'apq-registered';

export interface PersistedOperationsOptions {
  readonly mode: 'off' | 'log' | 'enforce';
  /** The trusted documents; undefined as long as they could not be read. */
  readonly manifest: () => OperationManifest | undefined;
  /** Undefined: off. */
  readonly automatic: AutomaticQueries | undefined;
  readonly allowArbitrary: readonly IsInClass[];
  readonly onOutcome: (outcome: PersistedOutcome, clientName: string | undefined, text: string | undefined) => void;
}

export interface PersistedOperations {
  /** The document; null where the request is to be taken as it is. Throws, or rejects, for what is refused. */
  resolve(params: OperationParams, asker: Asker): ResolvedOperation | null | Promise<ResolvedOperation | null>;
  /** The document of a request without text, if this process knows it. Decides nothing. */
  peek(params: OperationParams, asker: Asker): string | undefined;
  /** Keeps a document that came with its hash. */
  register(registered: { readonly hash: string; readonly text: string }): void;
}

/** A miss of APQ: the client sends the text next. Not an error of ours, so that plain JSON clients may have their 200. */
export class UnknownAutomaticQuery extends Error {}

const sha256Pattern = /^[0-9a-f]{64}$/;

export function createPersistedOperations(options: PersistedOperationsOptions): PersistedOperations {
  const { mode, automatic, allowArbitrary, onOutcome } = options;
  const apq = mode === 'enforce' ? undefined : automatic;

  /** The listed documents. Nobody is let through because a list could not be read. */
  function listed(): OperationManifest {
    const manifest = options.manifest();
    if (manifest !== undefined) return manifest;
    throw new GatewayError('SERVICE_UNAVAILABLE', 'The trusted documents are not loaded yet', { retryAfterSeconds: 1 });
  }

  function judgeText(text: string, asker: Asker): ResolvedOperation | null {
    if (mode === 'off') return null;
    const clientName = readClientName(asker.headers);
    if (options.manifest()?.hasText(text) === true) {
      onOutcome('trusted', clientName, undefined);
      return { text, isTrusted: true };
    }
    if (mode === 'enforce' && !allowArbitrary.some((isIn) => isIn(asker))) {
      listed();
      onOutcome('refused', clientName, text);
      throw new GatewayError('PERSISTED_QUERY_REQUIRED');
    }
    onOutcome('arbitrary', clientName, text);
    return { text, isTrusted: false };
  }

  function automaticQuery(key: string, text: string | undefined, asker: Asker, queries: AutomaticQueries) {
    const clientName = readClientName(asker.headers);
    if (text !== undefined) {
      if (hash('sha256', text) !== key)
        throw new GatewayError('PERSISTED_QUERY_MISMATCH', 'provided sha does not match query');
      // In `log` it is looked at like any other text.
      const judged = judgeText(text, asker);
      onOutcome('apq-registered', clientName, undefined);
      return { isTrusted: false, ...judged, text, registers: { hash: key, text } };
    }
    const conclude = (found: string | undefined): ResolvedOperation => {
      onOutcome(found === undefined ? 'apq-miss' : 'apq-hit', clientName, undefined);
      if (found === undefined) throw new UnknownAutomaticQuery('PersistedQueryNotFound');
      return judgeText(found, asker) ?? { text: found, isTrusted: false };
    };
    const found = queries.find(key);
    return found instanceof Promise ? found.then(conclude) : conclude(found);
  }

  function findTrusted(id: string, asker: Asker): string | undefined {
    if (mode === 'off') return undefined;
    const manifest = options.manifest();
    const clientName = readClientName(asker.headers);
    return manifest?.find(id, clientName) ?? manifest?.find(id.replace(/^sha256:/, ''), clientName);
  }

  return {
    resolve(params, asker) {
      const text = typeof params.query === 'string' && params.query !== '' ? params.query : undefined;
      const asked = readId(params);
      if (asked === undefined) {
        if (text !== undefined) return judgeText(text, asker);
        if (mode === 'enforce' && params.query == null) throw new GatewayError('PERSISTED_QUERY_REQUIRED');
        return null;
      }
      const trusted = findTrusted(asked.id, asker);
      if (trusted !== undefined) {
        if (text !== undefined && text !== trusted) throw new GatewayError('PERSISTED_QUERY_MISMATCH');
        onOutcome('trusted', readClientName(asker.headers), undefined);
        return { text: trusted, isTrusted: true };
      }
      const key = asked.id.replace(/^sha256:/, '').toLowerCase();
      if (apq !== undefined && sha256Pattern.test(key) && (text === undefined || asked.isAutomatic))
        return automaticQuery(key, text, asker, apq);
      if (text !== undefined) return judgeText(text, asker) ?? { text, isTrusted: false };
      if (mode === 'off' && apq === undefined) throw new GatewayError('PERSISTED_QUERY_NOT_SUPPORTED');
      if (mode !== 'off') listed();
      onOutcome('refused', readClientName(asker.headers), undefined);
      throw new GatewayError('PERSISTED_QUERY_NOT_FOUND');
    },
    peek(params, asker) {
      const asked = peekId(params);
      if (asked === undefined) return undefined;
      return findTrusted(asked.id, asker) ?? apq?.peek(asked.id.replace(/^sha256:/, '').toLowerCase());
    },
    register: (registered) => apq?.keep(registered.hash, registered.text),
  };
}

const maxIdLength = 512;

interface AskedId {
  readonly id: string;
  /** Whether it came the way of Apollo's protocol. */
  readonly isAutomatic: boolean;
}

/** `documentId` (the appendix of GraphQL over HTTP), `id` (Relay and others), or Apollo's `persistedQuery`. */
function readId({ documentId, id, extensions }: OperationParams): AskedId | undefined {
  const automatic = readAutomatic(extensions);
  const given = [documentId, id, automatic].filter((one) => one !== undefined && one !== null);
  const [first] = given;
  if (first === undefined) return undefined;
  if (given.some((one) => typeof one !== 'string' || one === '' || one.length > maxIdLength))
    throw new GatewayError('BAD_REQUEST', `The id of an operation must be a text of 1 to ${maxIdLength} characters`);
  if (given.some((one) => one !== first))
    throw new GatewayError('BAD_REQUEST', 'The request names several operations by id');
  return { id: first as string, isAutomatic: automatic !== undefined };
}

/** What is wrong with an id is said where it is resolved. */
function peekId(params: OperationParams): AskedId | undefined {
  try {
    return readId(params);
  } catch {
    return undefined;
  }
}

function readAutomatic(extensions: unknown): unknown {
  if (typeof extensions !== 'object' || extensions === null) return undefined;
  const { persistedQuery } = extensions as { persistedQuery?: unknown };
  if (typeof persistedQuery !== 'object' || persistedQuery === null) return undefined;
  const { version, sha256Hash } = persistedQuery as { version?: unknown; sha256Hash?: unknown };
  if (version !== undefined && version !== 1)
    throw new GatewayError('BAD_REQUEST', 'Unsupported persisted query version');
  return sha256Hash;
}
