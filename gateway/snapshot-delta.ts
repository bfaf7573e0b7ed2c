/**
 * Snapshots from process to process. Only services and policies that changed travel: a registry of 200 services has megabytes of
 * SDL, and an instance that comes or goes changes one of them. What did not change stays the same object on the other
 * side, too, by which the data plane knows what to keep.
 */
import { isDeepStrictEqual } from 'node:util';
import { emptySnapshot, type Service, type Snapshot, type StoredPolicy, withPolicies } from '../subgraphs/snapshot.ts';

export interface SnapshotDelta {
  readonly revision: number;
  /** All services, in order. */
  readonly names: readonly string[];
  /** Those that are new or other than before. */
  readonly changed: readonly Service[];
  /** The same of policies. Missing for none. */
  readonly policies?: {
    readonly names: readonly string[];
    /** Without what they said before, which serves nobody there. */
    readonly changed: readonly StoredPolicy[];
  };
}

/** What somebody who has `before` needs to have `after`. */
export function buildSnapshotDelta(before: Snapshot, after: Snapshot): SnapshotDelta {
  const known = new Set(before.services);
  const { policies = [] } = after;
  const knownPolicies = new Set(before.policies);
  return {
    revision: after.revision,
    names: after.services.map(({ name }) => name),
    changed: after.services.filter((service) => !known.has(service)),
    ...(policies.length > 0 && {
      policies: {
        names: policies.map(({ name }) => name),
        changed: policies.filter((policy) => !knownPolicies.has(policy)).map((policy) => ({ ...policy, history: [] })),
      },
    }),
  };
}

/** The whole snapshot, for somebody who has none. */
export function buildWholeDelta(snapshot: Snapshot): SnapshotDelta {
  return buildSnapshotDelta(emptySnapshot, snapshot);
}

/** The snapshot that a delta makes of the one before. */
export function applySnapshotDelta(before: Snapshot, delta: SnapshotDelta): Snapshot {
  const { revision, names, changed, policies } = delta;
  const services = new Map(before.services.map((service) => [service.name, service]));
  for (const service of changed) services.set(service.name, adopt(services.get(service.name), service));
  const known = new Map(
    [...(before.policies ?? []), ...(policies?.changed ?? [])].map((policy) => [policy.name, policy]),
  );
  const snapshot = { revision, services: names.map((name) => find(services, name, 'service')) };
  return withPolicies(snapshot, policies?.names.map((name) => find(known, name, 'policy')) ?? []);
}

function find<Sent>(known: ReadonlyMap<string, Sent>, name: string, what: string): Sent {
  const found = known.get(name);
  if (found === undefined) throw new Error(`the ${what} ${name} was never sent`);
  return found;
}

/** Parts of a changed service that are equal stay the objects they were: routes are rebuilt when a definition is another. */
function adopt(known: Service | undefined, service: Service): Service {
  if (known === undefined) return service;
  return {
    ...service,
    definition: isDeepStrictEqual(known.definition, service.definition) ? known.definition : service.definition,
    schema: known.schema?.hash === service.schema?.hash ? known.schema : service.schema,
  };
}
