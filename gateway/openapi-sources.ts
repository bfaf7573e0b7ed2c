/**
 * OpenAPI documents that routes validate by, compiled: those that stand in the configuration, and those that services have,
 * which are fetched in the background. Requests never wait for one.
 */
import { hash, randomUUID } from 'node:crypto';
import { parse } from 'yaml';
import { compileOpenapi, type OpenapiValidator } from '../policies/openapi.ts';
import { findOpenapiMistakes } from '../policies/openapi-document.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { OpenapiOptions } from '../policies/validate-options.ts';
import { BufferedAnswer } from '../subgraphs/buffered-answer.ts';
import type { Call } from '../subgraphs/call.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Log } from './log.ts';

export interface OpenapiSourcesOptions {
  readonly call: Call;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** Between two looks at a document. @default a minute */
  readonly intervalMs?: number;
}

/** How a route wants its document. */
export interface WantedDocument {
  readonly openapi?: OpenapiOptions | undefined;
  readonly maxSteps?: number | undefined;
}

const maxBytes = 4_000_000;
const maxDepth = 200;
const timeoutMs = 10_000;
const firstRetryMs = 1_000;

interface Source {
  readonly service: string;
  readonly path: string;
  readonly maxSteps: number | undefined;
  validator: OpenapiValidator | null;
  /** As the service has it. */
  document: object | null;
  /** Of its text. */
  digest: string | undefined;
  etag: string | undefined;
  /** What was wrong the last time: told once. */
  failure: string | null;
  retryMs: number;
  timer: NodeJS.Timeout | undefined;
  stopped: boolean;
}

export class OpenapiSources {
  readonly #call: Call;
  readonly #log: OpenapiSourcesOptions['log'];
  readonly #intervalMs: number;
  readonly #fetched = new Map<string, Source>();
  readonly #given = new WeakMap<object, OpenapiValidator>();
  #revision = 0;

  constructor({ call, log, intervalMs = 60_000 }: OpenapiSourcesOptions) {
    this.#call = call;
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** Null where there is none yet. */
  find(service: string, { openapi, maxSteps }: WantedDocument): OpenapiValidator | null {
    if (openapi?.document !== undefined) return this.#compileGiven(openapi.document, maxSteps);
    return this.#fetched.get(keyOf(service, openapi?.service, maxSteps))?.validator ?? null;
  }

  /** Counts the documents that were fetched: where it is the same, {@link findDocument} gives the same. */
  get revision(): number {
    return this.#revision;
  }

  /** The document itself; null where there is none yet. */
  findDocument(service: string, { openapi, maxSteps }: WantedDocument): object | null {
    return openapi?.document ?? this.#fetched.get(keyOf(service, openapi?.service, maxSteps))?.document ?? null;
  }

  /** Begins to look for the documents that a snapshot names, and ends it for all others. */
  follow({ services }: Pick<Snapshot, 'services'>): void {
    const wanted = new Set<string>();
    for (const { name, definition } of services) {
      for (const { validate } of definition.routes ?? []) {
        if (validate?.openapi === undefined) continue;
        const { openapi, maxSteps } = validate;
        // Before the first request needs it.
        if (openapi.document !== undefined) this.#compileGiven(openapi.document, maxSteps);
        if (openapi.service === undefined) continue;
        const key = keyOf(name, openapi.service, maxSteps);
        wanted.add(key);
        if (!this.#fetched.has(key)) this.#fetched.set(key, this.#begin(name, openapi.service, maxSteps));
      }
    }
    for (const [key, source] of this.#fetched) {
      if (wanted.has(key)) continue;
      stop(source);
      this.#fetched.delete(key);
      this.#revision++;
    }
  }

  [Symbol.dispose](): void {
    for (const source of this.#fetched.values()) stop(source);
  }

  #compileGiven(document: object, maxSteps: number | undefined): OpenapiValidator {
    const before = this.#given.get(document);
    if (before !== undefined) return before;
    const validator = compileOpenapi(document, maxSteps);
    this.#given.set(document, validator);
    return validator;
  }

  #begin(service: string, path: string, maxSteps: number | undefined): Source {
    const source: Source = {
      ...{
        service,
        path,
        maxSteps,
        validator: null,
        document: null,
        digest: undefined,
        etag: undefined,
        failure: null,
      },
      ...{ retryMs: firstRetryMs, timer: undefined, stopped: false },
    };
    // Not at once: the instances of a new service are only being taken over.
    source.timer = setTimeout(() => void this.#look(source), 0);
    return source;
  }

  async #look(source: Source): Promise<void> {
    try {
      await this.#refresh(source);
      if (source.failure !== null && !source.stopped) {
        this.#log.info('the OpenAPI document is well again', { service: source.service });
      }
      source.failure = null;
      source.retryMs = firstRetryMs;
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      if (failure !== source.failure && !source.stopped) {
        const { service, path, validator } = source;
        this.#log.warn('an OpenAPI document cannot be used', { service, path, hasLast: validator !== null, error });
      }
      source.failure = failure;
      source.retryMs = Math.min(source.retryMs * 2, this.#intervalMs);
    }
    if (source.stopped) return;
    // Without a document it is urgent; with one the last still counts.
    const waitMs = source.validator === null ? Math.min(source.retryMs, this.#intervalMs) : this.#intervalMs;
    source.timer = setTimeout(() => void this.#look(source), waitMs);
    source.timer.unref();
  }

  async #refresh(source: Source): Promise<void> {
    const { service, path, etag } = source;
    const answer = new BufferedAnswer(maxBytes);
    const accept = 'application/json, application/vnd.oai.openapi+json, application/yaml;q=0.9';
    await this.#call(
      {
        ...{ service, path, method: 'GET', body: null, idempotent: true, bodyByDeadline: true, receiver: answer },
        headers: ['accept', accept, 'accept-encoding', 'identity', ...(etag ? ['if-none-match', etag] : [])],
      },
      createBackgroundContext(),
    );
    if (answer.status === 304 && source.validator !== null) return;
    if (answer.status !== 200) throw new Error(`the service answered with ${answer.status}`);
    // Without a tag the service sends what is known already, each time.
    const digest = hash('sha256', answer.body, 'base64url');
    if (digest === source.digest) return;
    const document = parseDocument(answer.body.toString('utf8'));
    assertModest(document);
    const [mistake] = findOpenapiMistakes(document);
    if (mistake !== undefined) throw new Error(`${mistake.path.join('/')}: ${mistake.message}`);
    source.validator = compileOpenapi(document, source.maxSteps);
    source.document = document as object;
    source.digest = digest;
    this.#revision++;
    source.etag = answer.header('etag');
  }
}

function stop(source: Source): void {
  source.stopped = true;
  clearTimeout(source.timer);
}

function keyOf(service: string, path: string | undefined, maxSteps: number | undefined): string {
  return JSON.stringify([service, path, maxSteps]);
}

/**
 * Aliases of YAML can make a small text a document that is large, or has no end, for whoever walks it. JSON has as many
 * values as its length allows.
 */
function assertModest(document: unknown): void {
  let left = maxBytes;
  const walk = (value: unknown, depth: number): void => {
    left -= typeof value === 'string' ? value.length + 1 : 1;
    if (left < 0) throw new Error('the document is too large');
    if (depth > maxDepth) throw new Error('the document is nested too deep');
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      left -= key.length;
      walk(inner, depth + 1);
    }
  };
  walk(document, 0);
}

/** JSON is YAML, but is read much faster as what it is. Aliases could make a small text a very large document. */
function parseDocument(text: string): unknown {
  return text.trimStart().startsWith('{') ? JSON.parse(text) : parse(text, { maxAliasCount: 100 });
}

function createBackgroundContext(): RequestContext {
  return {
    id: randomUUID(),
    door: 'rest',
    method: 'GET',
    headers: {},
    client: { address: '', protocol: 'http', host: '', forwardedFor: '' },
    viewer: null,
    deadlineAtMs: performance.now() + timeoutMs,
    departure: { happened: false, subscribe: () => () => {} },
    rateLimit: null,
    name: null,
    errorCode: null,
    atEnd: (listener) => listener(),
    attempts: [],
  };
}
