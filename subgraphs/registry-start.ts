/** The first snapshot: what was stored, with the configuration laid over it, as far as it composes. */
import { isDeepStrictEqual } from 'node:util';
import type { ErrorReason } from '../policies/errors.ts';
import type { AddressPolicy } from './address-policy.ts';
import type { Admit, Beginning } from './change.ts';
import { readHistory } from './history.ts';
import type { Log } from './log.ts';
import { assertNoRouteConflicts, findRouteConflicts } from './route-conflicts.ts';
import { selectComposable } from './schema-selection.ts';
import { buildService } from './service-change.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { withRejected } from './service-versions.ts';
import {
  isComposed,
  type Service,
  type Snapshot,
  sortByName,
  withoutKeys,
  withPolicies,
  withServices,
} from './snapshot.ts';
import type { Store, StoredState } from './store.ts';
import { readStoredPolicies } from './stored-policies.ts';
import { readStoredServices } from './stored-services.ts';

export interface StartOptions<A> {
  readonly store: Store;
  readonly config: ReadonlyMap<string, ServiceDefinition>;
  readonly admit: (candidate: Snapshot) => ReturnType<Admit<A>>;
  readonly addressPolicy: AddressPolicy;
  readonly log: Log;
}

export interface FirstState<A> extends Beginning<A> {
  /** Services whose schema is known from before; it may have changed meanwhile. */
  readonly unverified: ReadonlySet<string>;
}

/**
 * Builds the first state. Bad stored data and schemas that do not compose cost only the services concerned; a
 * contradiction within the configuration throws.
 */
export async function buildFirstState<A>(options: StartOptions<A>): Promise<FirstState<A>> {
  const { store, config, admit, addressPolicy, log } = options;
  const stored = await store.load();
  const known = readStoredServices(stored, addressPolicy, log);
  const before = readRevision(stored);
  const services = buildServices(config, known, before + 1, log);
  const first = withPolicies({ revision: before + 1, services }, readStoredPolicies(stored, log));
  const { snapshot, admission } = await compose(first, known, admit, log);
  const isSame =
    stored !== null &&
    isDeepStrictEqual(snapshot.services, stored.snapshot?.services) &&
    isDeepStrictEqual(snapshot.policies, stored.snapshot?.policies);
  return {
    snapshot: isSame ? { ...snapshot, revision: before } : snapshot,
    admission,
    storedRevision: before,
    audit: Array.isArray(stored?.audit) ? stored.audit : [],
    history: readHistory(stored?.history),
    unverified: new Set(snapshot.services.filter(isVerifiable).map((service) => service.name)),
  };
}

/** Revisions go on counting, or an ETag from before the restart could fit another state. */
function readRevision(stored: StoredState | null): number {
  const revision: unknown = stored?.snapshot?.revision;
  return Number.isSafeInteger(revision) ? Number(revision) : 0;
}

function isVerifiable(service: Service): boolean {
  return service.schema !== null && service.definition.graphql?.schema === undefined;
}

/** The services of the configuration, and those of teams that do not get in their way. */
function buildServices(
  config: ReadonlyMap<string, ServiceDefinition>,
  known: ReadonlyMap<string, Service>,
  revision: number,
  log: Log,
): readonly Service[] {
  const services = [...config].map(([name, definition]) =>
    buildService({
      name,
      definition,
      origin: 'config',
      existing: known.get(name),
      asked: [],
      revision,
      retry: false,
    }),
  );
  assertNoRouteConflicts(services);
  for (const existing of known.values()) {
    const { name, definition, origin } = existing;
    if (origin === 'config' || config.has(name)) continue;
    const service = buildService({ name, definition, origin, existing, asked: [], revision, retry: false });
    const reasons = findRouteConflicts([...services, service]);
    if (reasons.length === 0) services.push(service);
    else log.error('a stored service has routes of another one and is dropped', { service: name, reasons });
  }
  return sortByName(services);
}

/** All schemas together, as every day; else those that served before, then as many of the others as fit. */
async function compose<A>(
  snapshot: Snapshot,
  known: ReadonlyMap<string, Service>,
  admit: (candidate: Snapshot) => Promise<A>,
  log: Log,
): Promise<{ snapshot: Snapshot; admission: A }> {
  const offers = snapshot.services
    .filter((service) => service.schema !== null)
    .map((service): Service => ({ ...service, quarantine: null }));
  const everything = withServices(snapshot, offers);
  try {
    return { snapshot: everything, admission: await admit(everything) };
  } catch (error) {
    log.warn('the schemas do not compose all together; looking for those that do', { error });
  }
  const untried: readonly ErrorReason[] = [{ message: 'not tried yet' }];
  const nothing = withServices(
    snapshot,
    offers.map((offer) => ({ ...offer, quarantine: untried })),
  );
  const isServing = ({ name, schema }: Service) => {
    const before = known.get(name);
    return before !== undefined && isComposed(before) && before.schema.hash === schema?.hash;
  };
  const serving = await selectComposable(nothing, offers.filter(isServing), admit);
  // The refused of the first round get their chance with the others of the second.
  const rest = offers.filter((offer) => !isServing(offer) || serving.refused.has(offer.name));
  const all = await selectComposable(serving.snapshot, rest, admit);
  const fallbacks = rest.flatMap((offer) => findLastGood(offer, known.get(offer.name), all.refused.get(offer.name)));
  const last = await selectComposable(all.snapshot, fallbacks, admit);
  const isSaved = ({ name }: Service) => fallbacks.some((offer) => offer.name === name) && !last.refused.has(name);
  const quarantined = rest.flatMap((offer): Service[] => {
    const reasons = all.refused.get(offer.name);
    if (reasons === undefined) return [];
    if (isSaved(offer)) {
      log.error('the schema does not compose; the last good one serves', { service: offer.name, reasons });
      return [];
    }
    log.error('the schema does not compose; the graph goes without it', { service: offer.name, reasons });
    return [{ ...offer, quarantine: reasons }];
  });
  const admission = last.admission ?? all.admission ?? serving.admission ?? (await admit(nothing));
  return { snapshot: withServices(last.snapshot, quarantined), admission };
}

/** A service that another schema has come for since it was part of the graph: with the one that it had. */
function findLastGood(
  offer: Service,
  before: Service | undefined,
  reasons: readonly ErrorReason[] | undefined,
): readonly Service[] {
  if (reasons === undefined || before === undefined || offer.schema === null) return [];
  if (!isComposed(before) || before.schema.hash === offer.schema.hash) return [];
  const { schema, schemaVersion } = before;
  const good = {
    ...withoutKeys(offer, 'schemaVersion'),
    schema,
    ...(schemaVersion !== undefined && { schemaVersion }),
  };
  return [withRejected(good, offer, reasons)];
}
