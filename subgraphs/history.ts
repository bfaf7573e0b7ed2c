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
  /** Definitions and schemas that no entry before it has, by hash. */
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

/** The list with another generation at its end, and the oldest gone when there are more than `limit`. */
export function withGeneration(
  history: readonly HistoryEntry[],
  { graph, changes, snapshot, note, at }: NewGeneration,
  limit: number,
): readonly HistoryEntry[] {
  const known = new Set(history.flatMap(({ contents }) => Object.keys(contents)));
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
    contents,
  };
  return trim([...history, entry], limit);
}

/** Drops the oldest entries. What others still need of them goes to the oldest that stays. */
export function trim(history: readonly HistoryEntry[], limit: number): readonly HistoryEntry[] {
  const kept = history.slice(Math.max(0, history.length - limit));
  const [first, ...rest] = kept;
  if (first === undefined || kept.length === history.length) return kept;
  const needed = new Set(kept.flatMap(({ parts }) => parts.flatMap(({ definition, schema }) => [definition, schema])));
  const inherited = history
    .slice(0, history.length - kept.length)
    .flatMap(({ contents }) => Object.entries(contents))
    .filter(([hash]) => needed.has(hash));
  return [{ ...first, contents: { ...Object.fromEntries(inherited), ...first.contents } }, ...rest];
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
