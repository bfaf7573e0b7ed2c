/**
 * Back to an earlier generation, as a change like any other: admitted, saved, audited, and a generation of its own.
 * Definitions and schemas come back; instances stay as they are. What a rollback takes out of the graph stays out until
 * the service is registered again, or its instances have another schema.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AddressPolicy } from './address-policy.ts';
import { type AuditNote, type Author, buildAuthor } from './audit.ts';
import type { Change } from './change.ts';
import type { DesiredState } from './desired-state.ts';
import { findGeneration, type HistoryEntry, type RestoredPart, restoreParts } from './history.ts';
import type { Log } from './log.ts';
import { buildService } from './service-change.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { withRejected } from './service-versions.ts';
import { findService, isComposed, type Service, type Snapshot, withoutKeys, withServices } from './snapshot.ts';

export interface RollbackAuthor extends Author {
  readonly dryRun?: boolean | undefined;
  /** Whether the policy on changes of the schema is left aside. */
  readonly force?: boolean | undefined;
}

export interface RollbackOutcome<A> extends Change<A> {
  readonly generation: HistoryEntry;
  /** Services whose definition or schema is another one now. */
  readonly restored: readonly string[];
  /** Services that are back, without the instances that had registered themselves. */
  readonly recreated: readonly string[];
  /** Services whose schema was no part of that graph, and left this one. */
  readonly takenOut: readonly string[];
  /** Of all these, those of the configuration file: its next reload has its way again. */
  readonly configured: readonly string[];
}

export type Rollback<A> = (to: number | string, by: RollbackAuthor) => Promise<RollbackOutcome<A>>;

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly addressPolicy: AddressPolicy;
  readonly log: Log;
}

export function createRollback<A>({ state, addressPolicy, log }: Parts<A>): Rollback<A> {
  return (to, by) => {
    const note: AuditNote = { ...buildAuthor(by), action: 'graph.rollback', targets: [String(to)] };
    return state.noteRefusal(note, by, async () => {
      const generation = findGeneration(state.history, to);
      const parts = restoreParts(state.history, generation);
      for (const { definition } of parts.values()) {
        for (const { url } of definition.instances ?? []) addressPolicy.assertAllowed(url);
      }
      const change = await state.change(
        note,
        (current, revision) => ({ snapshot: restore(current, parts, generation.number, revision) }),
        by,
      );
      const done = describe(change, parts);
      if (by.dryRun !== true) log.warn('rolled back', { to: generation.number, author: by.name, ...done });
      return { ...change, generation, ...done };
    });
  };
}

function restore(
  current: Snapshot,
  parts: ReadonlyMap<string, RestoredPart>,
  generation: number,
  revision: number,
): Snapshot {
  const names = new Set([...parts.keys(), ...current.services.map(({ name }) => name)]);
  const changed = [...names].flatMap((name): Service[] => {
    const existing = findService(current, name);
    const part = parts.get(name);
    const next = restoreService(existing, part, generation, revision);
    return next === undefined || isDeepStrictEqual(next, existing) ? [] : [{ ...next, revision }];
  });
  return changed.length === 0 ? current : withServices(current, changed);
}

function restoreService(
  existing: Service | undefined,
  part: RestoredPart | undefined,
  generation: number,
  revision: number,
): Service | undefined {
  if (existing === undefined) return part && recreate(part, revision);
  if (part === undefined) return isComposed(existing) ? hold(existing, null, generation) : existing;
  const definition = withInstancesOf(part.definition, existing.definition);
  const next = hold({ ...existing, definition }, part.schema, generation);
  // An equal definition stays the same object: whoever compares sees at once that nothing changed.
  return isDeepStrictEqual(definition, existing.definition) ? { ...next, definition: existing.definition } : next;
}

function recreate({ name, definition, schema }: RestoredPart, revision: number): Service {
  const bare = buildService({
    name,
    definition,
    origin: 'admin',
    existing: undefined,
    asked: [],
    revision,
    retry: true,
  });
  return { ...bare, schema };
}

/** The service with this schema; the one that it had is held back. */
function hold(service: Service, schema: Service['schema'], generation: number): Service {
  if (service.schema === null || service.schema.hash === schema?.hash) {
    const isItself = schema !== null && service.rejected?.schema.hash === schema.hash;
    return {
      ...(isItself ? withoutKeys(service, 'rejected') : service),
      schema: schema ?? service.schema,
      quarantine: null,
    };
  }
  const message = `held back by the rollback to generation ${generation}; registering ${service.name} again brings it back`;
  const reasons = [{ message, service: service.name, code: 'ROLLED_BACK' }];
  const { rejected } = withRejected(service, service, reasons);
  const held = rejected !== undefined && { rejected: { ...rejected, held: true } };
  return { ...service, schema, quarantine: null, ...held };
}

/** Instances stay as they are now, those of the definition too; and so does where others are looked for. */
function withInstancesOf(definition: ServiceDefinition, present: ServiceDefinition): ServiceDefinition {
  const { instances: _, discovery: __, ...rest } = definition;
  const { instances, discovery } = present;
  return { ...rest, ...(instances !== undefined && { instances }), ...(discovery !== undefined && { discovery }) };
}

function describe<A>({ before, after }: Change<A>, parts: ReadonlyMap<string, RestoredPart>) {
  const changed = after.services.filter((service) => service !== findService(before, service.name));
  const isNew = ({ name }: Service) => findService(before, name) === undefined;
  const namesOf = (services: readonly Service[]) => services.map(({ name }) => name);
  return {
    restored: namesOf(changed.filter((service) => !isNew(service) && parts.has(service.name))),
    recreated: namesOf(changed.filter(isNew)),
    takenOut: namesOf(changed.filter(({ name }) => !parts.has(name))),
    configured: namesOf(changed.filter(({ origin }) => origin === 'config')),
  };
}
