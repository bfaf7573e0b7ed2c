/**
 * The generations of the graph: when each came to be, by whom, why, what it changed, and what it was made of. A bounded
 * list, kept with the registry. Definitions and schemas stand in it once, in the first entry that has them.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../policies/errors.ts';
import type { AuditNote } from './audit.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { isComposed, type Service, type ServiceSchema, type Snapshot } from './snapshot.ts';

/** What is known of a change for clients; `schema/change-policy.ts` has it whole. */
export interface HistoryChange {
  readonly path: string;
  readonly message: string;
  readonly criticality: 'breaking' | 'dangerous' | 'safe';
}

/** A generation, without what it is made of. */
export interface Generation {
  /** Counts from 1. */
  readonly number: number;
  readonly graph: string;
  /** Of the registry, when the generation was made. */
  readonly revision: number;
  /** ISO 8601. */
  readonly at: string;
  readonly author: string;
  readonly action: AuditNote['action'] | 'start';
  readonly targets: readonly string[];
  /** What the caller said. */
  readonly reason?: string;
  /** The most critical first, at most 100 of `changeCount`. */
  readonly changes: readonly HistoryChange[];
  readonly changeCount: number;
}

/** A service of a generation: what it said of itself and its schema, by hash. */
export interface GenerationPart {
  readonly name: string;
  readonly definition: string;
  /** Null when the service was no part of the graph. */
  readonly schema: string | null;
}

export interface HistoryEntry extends Generation {
  readonly parts: readonly GenerationPart[];
  /**
   * Definitions and schemas, by hash: those that no entry since the last whole one has. Of a whole one all, so that what
   * comes before it can be dropped without changing it.
   */
  readonly whole?: true;
  readonly contents: Readonly<Record<string, ServiceDefinition | ServiceSchema>>;
}

/** What becomes a generation. */
export interface NewGeneration {
  readonly graph: string;
  readonly changes: readonly HistoryChange[];
  readonly snapshot: Snapshot;
  readonly note: Omit<AuditNote, 'action'> & { readonly action: Generation['action'] };
  readonly at: Date;
}

const maxChanges = 100;
const maxTargets = 50;
const maxMessageLength = 500;

/** Of so many parts of the limit the oldest is dropped at once. */
const trimmedParts = 4;

/** The list with another generation at its end, and old ones gone when there are more than `limit`. */
export function withGeneration(
  history: readonly HistoryEntry[],
  { graph, changes, snapshot, note, at }: NewGeneration,
  limit: number,
): readonly HistoryEntry[] {
  const sinceWhole = history.slice(Math.max(0, history.findLastIndex(isWhole)));
  const whole = sinceWhole.length === 0 || sinceWhole.length >= Math.ceil(limit / trimmedParts);
  const known = new Set(whole ? [] : sinceWhole.flatMap((entry) => Object.keys(entry.contents)));
  const contents: Record<string, ServiceDefinition | ServiceSchema> = {};
  const keep = (hash: string, content: ServiceDefinition | ServiceSchema): string => {
    if (!known.has(hash)) contents[hash] = content;
    return hash;
  };
  const parts = snapshot.services.map((service): GenerationPart => {
    const definition = withoutSdl(service);
    return {
      name: service.name,
      definition: keep(hashOf(JSON.stringify(definition)), definition),
      schema: isComposed(service) ? keep(service.schema.hash, service.schema) : null,
    };
  });
  const entry: HistoryEntry = {
    number: (history.at(-1)?.number ?? 0) + 1,
    graph,
    revision: snapshot.revision,
    at: at.toISOString(),
    author: note.author,
    action: note.action,
    targets: note.targets.slice(0, maxTargets),
    ...(note.reason !== undefined && { reason: note.reason }),
    changes: changes.slice(0, maxChanges).map(shorten),
    changeCount: changes.length,
    parts,
    ...(whole && { whole }),
    contents,
  };
  return trim([...history, entry], limit);
}

/** Drops the oldest entries, up to a whole one, so that those that stay need none of them and none of them changes. */
export function trim(history: readonly HistoryEntry[], limit: number): readonly HistoryEntry[] {
  if (history.length <= limit) return history;
  const first = history.findIndex((entry, index) => index >= history.length - limit && isWhole(entry));
  return first === -1 ? history : history.slice(first);
}

function isWhole({ whole }: HistoryEntry): boolean {
  return whole === true;
}

/** What a store has; another version may have written other entries, which are no reason not to start. */
export function readHistory(stored: unknown): readonly HistoryEntry[] {
  const isEntry = ({ number, graph, parts, contents }: Partial<HistoryEntry>) =>
    Number.isSafeInteger(number) && typeof graph === 'string' && Array.isArray(parts) && typeof contents === 'object';
  return Array.isArray(stored) ? stored.filter((entry) => typeof entry === 'object' && entry && isEntry(entry)) : [];
}

function shorten({ path, message, criticality }: HistoryChange): HistoryChange {
  return { path, message: message.slice(0, maxMessageLength), criticality };
}

/** A schema that the definition brings along stands among the schemas already. */
function withoutSdl(service: Service): ServiceDefinition {
  const { definition } = service;
  const { graphql } = definition;
  if (graphql?.schema === undefined || !isComposed(service) || graphql.schema !== service.schema.sdl) return definition;
  const { schema: _, ...endpoint } = graphql;
  return { ...definition, graphql: endpoint };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** The generation with this number, or the latest with this graph id; ROUTE_NOT_FOUND when there is none. */
export function findGeneration(history: readonly HistoryEntry[], id: number | string): HistoryEntry {
  const isNumber = typeof id === 'number' || /^\d{1,15}$/.test(id);
  const found =
    history.findLast(({ graph }) => graph === id) ??
    (isNumber ? history.find(({ number }) => number === Number(id)) : undefined);
  if (found !== undefined) return found;
  throw new GatewayError('ROUTE_NOT_FOUND', `there is no generation ${JSON.stringify(id)} in the history`);
}

export interface RestoredPart {
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly schema: ServiceSchema | null;
}

/** What a generation was made of, by name. Throws CONFLICT when some of it was not kept. */
export function restoreParts(history: readonly HistoryEntry[], entry: HistoryEntry): ReadonlyMap<string, RestoredPart> {
  const contents = new Map(history.flatMap((known) => Object.entries(known.contents)));
  const read = (hash: string) => {
    const content = contents.get(hash);
    if (content !== undefined) return content;
    throw new GatewayError('CONFLICT', `generation ${entry.number} is not kept whole any more`);
  };
  return new Map(
    entry.parts.map(({ name, definition, schema }) => {
      const own = read(definition) as ServiceDefinition;
      const restored = schema === null ? null : (read(schema) as ServiceSchema);
      return [name, { name, definition: withSdl(own, restored), schema: restored }];
    }),
  );
}

function withSdl(definition: ServiceDefinition, schema: ServiceSchema | null): ServiceDefinition {
  if (schema?.source !== 'registration' || definition.graphql === undefined) return definition;
  return { ...definition, graphql: { ...definition.graphql, schema: schema.sdl } };
}

/** A generation as it is shown. */
export function describeGeneration({ contents: _, parts, ...generation }: HistoryEntry) {
  return { ...generation, services: parts.filter(({ schema }) => schema !== null).map(({ name }) => name) };
}
