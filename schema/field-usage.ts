/**
 * Who uses which parts of the graph, as this gateway saw it: what decides whether a breaking change breaks anybody. A
 * request adds to one counter, of its operation and client; counters become counts of fields now and then.
 */
import type { DocumentNode, GraphQLSchema } from 'graphql';
import { type OperationParts, readOperationParts, readVariableParts } from './operation-usage.ts';

/** Who asked, as the client itself says. */
export interface UsageClient {
  readonly name: string;
  readonly version: string;
}

/** One client's use of one coordinate. */
export interface FieldUse {
  readonly client: string;
  readonly version: string;
  /** Requests within the window. */
  readonly count: number;
  /** ISO 8601. */
  readonly lastSeen: string;
}

/** Counts that can be sent to another process. */
export interface UsageRow extends UsageClient {
  readonly coordinate: string;
  readonly count: number;
  readonly lastSeenMs: number;
}

/** Who used a coordinate within the window, the most frequent first. */
export type UsersOf = (coordinate: string) => readonly FieldUse[];

export interface FieldUsage {
  /** Notes one request. The document must be valid against the schema. */
  record(
    schema: GraphQLSchema,
    document: DocumentNode,
    operationName: string | null | undefined,
    variables: Readonly<Record<string, unknown>>,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void;
  /** What was noted since the last time, and forgets it: for a worker that reports to another process. */
  take(): readonly UsageRow[];
  /** Takes in what another process noted. */
  add(rows: readonly UsageRow[]): void;
  users(): UsersOf;
  /** Since when there are counts, in ISO 8601: the start, or the beginning of the window. */
  readonly since: string;
  /** Pairs of coordinate and client that are kept. */
  readonly size: number;
}

export interface FieldUsageOptions {
  readonly windowMs: number;
  /** Pairs of coordinate and client, the longest unused gone first. @default 50_000 */
  readonly maxEntries?: number;
  /** Clients that are told apart; whoever comes later counts as one. @default 500 */
  readonly maxClients?: number;
  readonly now?: () => number;
}

const maxNameLength = 64;
const nameHeaders = ['apollographql-client-name', 'x-graphql-client-name', 'graphql-client-name'] as const;
const versionHeaders = ['apollographql-client-version', 'x-graphql-client-version', 'graphql-client-version'] as const;
/** Clients above the bound. In angle brackets, which a sanitized name never has. */
const otherClients: UsageClient = { name: '<others>', version: '' };
const slots = 8;
const foldEveryMs = 10_000;
const maxDirty = 1_000;

interface Counter {
  readonly client: UsageClient;
  count: number;
  lastSeenMs: number;
  /** What the variables used, and how often. */
  readonly inputs: Map<string, number>;
}

interface KnownOperation {
  readonly parts: OperationParts | null;
  readonly counters: Map<string, Counter>;
}

export function createFieldUsage(options: FieldUsageOptions): FieldUsage {
  const { windowMs, maxEntries = 50_000, maxClients = 500, now = Date.now } = options;
  const startedAtMs = now();
  // By document: the cache of parsed documents decides how long one lives, and each graph validates its own.
  const operations = new WeakMap<DocumentNode, { schema: GraphQLSchema; byName: Map<string, KnownOperation> }>();
  const dirty = new Set<KnownOperation>();
  const clients = new Map<string, number>();
  const entries = new Map<string, Entry>();
  let foldedAtMs = startedAtMs;

  function find(schema: GraphQLSchema, document: DocumentNode, name: string | null | undefined): KnownOperation {
    const kept = operations.get(document);
    const known = kept?.schema === schema ? kept : { schema, byName: new Map<string, KnownOperation>() };
    if (known !== kept) operations.set(document, known);
    const operation = known.byName.get(name ?? '');
    if (operation !== undefined) return operation;
    const fresh = { parts: readOperationParts(schema, document, name), counters: new Map<string, Counter>() };
    known.byName.set(name ?? '', fresh);
    return fresh;
  }

  function counterOf(operation: KnownOperation, said: UsageClient, nowMs: number): Counter {
    const saidKey = `${said.name}\n${said.version}`;
    const client = admitClient(said, saidKey, nowMs);
    const key = client === said ? saidKey : client.name;
    const known = operation.counters.get(key);
    if (known !== undefined) return known;
    const counter: Counter = { client, count: 0, lastSeenMs: nowMs, inputs: new Map() };
    operation.counters.set(key, counter);
    dirty.add(operation);
    return counter;
  }

  /** Bounded: a client can say of itself what it likes, and must not push out what others really use. */
  function admitClient(client: UsageClient, key: string, nowMs: number): UsageClient {
    if (!clients.has(key) && clients.size >= maxClients) {
      for (const [known, seenMs] of clients) if (nowMs - seenMs > windowMs) clients.delete(known);
      if (clients.size >= maxClients) return otherClients;
    }
    clients.set(key, nowMs);
    return client;
  }

  function drain(): UsageRow[] {
    const rows: UsageRow[] = [];
    for (const { parts, counters } of dirty) {
      for (const { client, count, lastSeenMs, inputs } of counters.values()) {
        for (const coordinate of parts?.coordinates ?? []) rows.push({ coordinate, ...client, count, lastSeenMs });
        for (const [coordinate, used] of inputs) rows.push({ coordinate, ...client, count: used, lastSeenMs });
      }
      counters.clear();
    }
    dirty.clear();
    return rows;
  }

  function add(rows: readonly UsageRow[]): void {
    for (const row of rows) {
      const key = `${row.coordinate}\n${row.name}\n${row.version}`;
      const entry = entries.get(key) ?? new Entry(row);
      entries.delete(key);
      entries.set(key, entry);
      entry.add(row, windowMs);
    }
    for (const oldest of entries.keys()) {
      if (entries.size <= maxEntries) break;
      entries.delete(oldest);
    }
  }

  function fold(): void {
    foldedAtMs = now();
    add(drain());
  }

  return {
    record(schema, document, operationName, variables, headers) {
      const operation = find(schema, document, operationName);
      if (operation.parts === null) return;
      const nowMs = now();
      const counter = counterOf(operation, readClient(headers), nowMs);
      counter.count += 1;
      counter.lastSeenMs = nowMs;
      const { inputs } = counter;
      const { variables: typed } = operation.parts;
      if (typed.length > 0) readVariableParts(typed, variables, (at) => inputs.set(at, (inputs.get(at) ?? 0) + 1));
      if (dirty.size >= maxDirty || nowMs - foldedAtMs >= foldEveryMs) fold();
    },
    take: drain,
    add,
    users() {
      fold();
      const nowMs = now();
      const byCoordinate = new Map<string, FieldUse[]>();
      for (const entry of entries.values()) {
        const count = entry.countAt(nowMs, windowMs);
        if (count === 0) continue;
        const { coordinate, name, version } = entry.row;
        const uses = byCoordinate.get(coordinate) ?? [];
        byCoordinate.set(coordinate, uses);
        uses.push({ client: name, version, count, lastSeen: new Date(entry.lastSeenMs).toISOString() });
      }
      for (const uses of byCoordinate.values()) uses.sort((a, b) => b.count - a.count);
      return (coordinate) => byCoordinate.get(coordinate) ?? [];
    },
    get since() {
      return new Date(Math.max(startedAtMs, now() - windowMs)).toISOString();
    },
    get size() {
      return entries.size;
    },
  };
}

/** Counts in slots of an eighth of the window, so that old ones fall out of it without a list of requests. */
class Entry {
  readonly row: UsageRow;
  lastSeenMs = 0;
  readonly #counts = new Array<number>(slots + 1).fill(0);
  #slot = 0;

  constructor(row: UsageRow) {
    this.row = row;
  }

  add({ count, lastSeenMs }: UsageRow, windowMs: number): void {
    this.#moveTo(lastSeenMs, windowMs);
    this.lastSeenMs = Math.max(this.lastSeenMs, lastSeenMs);
    const at = this.#slot % this.#counts.length;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
  }

  countAt(nowMs: number, windowMs: number): number {
    if (nowMs - this.lastSeenMs > windowMs) return 0;
    this.#moveTo(nowMs, windowMs);
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  #moveTo(timeMs: number, windowMs: number): void {
    const slot = Math.floor((timeMs * slots) / windowMs);
    const passed = Math.min(slot - this.#slot, this.#counts.length);
    for (let step = 1; step <= passed; step += 1) this.#counts[(slot - passed + step) % this.#counts.length] = 0;
    this.#slot = Math.max(slot, this.#slot);
  }
}

/** Name and version as the common client libraries send them. */
function readClient(headers: Readonly<Record<string, string | string[] | undefined>>): UsageClient {
  return { name: readFirst(headers, nameHeaders) || 'unnamed', version: readFirst(headers, versionHeaders) };
}

function readFirst(headers: Readonly<Record<string, string | string[] | undefined>>, names: readonly string[]): string {
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string' && value !== '') return value.slice(0, maxNameLength).replaceAll(/[^!-~]|[<>]/g, '_');
  }
  return '';
}
