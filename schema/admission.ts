/** Whether a candidate registry gives a graph that can serve, and what would change for clients if it did. */
import type { AdmitOptions } from '../subgraphs/change.ts';
import type { SchemaChangePolicy } from '../subgraphs/service-definition.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import {
  assertAccepted,
  chooseStrictest,
  listChangedServices,
  type SchemaChange,
  weighChanges,
} from './change-policy.ts';
import { buildGraphId, type CompositionOptions, composeGraph, type GraphService } from './composition.ts';
import type { UsersOf } from './field-usage.ts';
import type { Graph, SubgraphExecutor } from './graph.ts';
import { findDifferences } from './schema-diff.ts';

export interface Admission {
  /** The candidate's graph, and its differences to the current one. */
  readonly graph: Graph;
  /** The most critical first, at most 200. */
  readonly changes: readonly SchemaChange[];
}

/**
 * Rejects with REGISTRATION_REFUSED and reasons when the candidate does not compose, or changes what the policy keeps;
 * nothing has changed then. With `force` the policy is left aside, for what nobody could refuse.
 */
export type Admit = (candidate: Snapshot, current: Snapshot, options?: AdmitOptions) => Promise<Admission>;

export interface AdmissionOptions {
  readonly execute: SubgraphExecutor;
  readonly options?: CompositionOptions;
  /** Graphs that are remembered. Two at least, the serving one and the candidate. @default 4 */
  readonly remembered?: number;
  /** What holds for services that do not say it themselves. @default always 'any' */
  readonly policy?: () => SchemaChangePolicy;
  /** Who used what lately. @default nobody anything */
  readonly users?: () => UsersOf;
}

const maxChanges = 200;

/** Composes each set of services once, however often and at whatever time it is asked about. */
export function createAdmission(admissionOptions: AdmissionOptions): Admit {
  const { execute, options = {}, remembered = 4, policy = () => 'any', users = () => () => [] } = admissionOptions;
  // Refusals are remembered too: a service that registers again and again with the same fault costs little.
  const graphs = new Map<string, Promise<Graph>>();
  function composeOnce(services: readonly GraphService[]): Promise<Graph> {
    const id = buildGraphId(services);
    const graph = graphs.get(id) ?? composeSoon(services, execute, options);
    graphs.delete(id);
    graphs.set(id, graph);
    for (const oldest of graphs.keys()) if (graphs.size > remembered) graphs.delete(oldest);
    return graph;
  }
  return async (candidate, current, { force = false } = {}) => {
    // The serving graph first, and its refusal caught: that the registry was broken must not keep it from mending.
    const before = await composeOnce(listGraphServices(current)).catch(() => null);
    const graph = await composeOnce(listGraphServices(candidate));
    if (before === null || before.id === graph.id) return { graph, changes: [] };
    const concerned = listChangedServices(candidate, current);
    const strictest = force ? 'any' : chooseStrictest(concerned, policy());
    const changes = weighChanges(await findDifferences(before, graph), strictest, users);
    assertAccepted(
      changes,
      strictest,
      concerned.map(({ name }) => name),
    );
    return { graph, changes: changes.slice(0, maxChanges) };
  };
}

/** The services of a snapshot that are part of its graph. */
export function listGraphServices(snapshot: Snapshot): GraphService[] {
  return snapshot.services.flatMap(({ name, schema, quarantine, definition }) =>
    schema === null || quarantine !== null ? [] : [{ name, schema, merge: definition.graphql?.merge }],
  );
}

async function composeSoon(
  services: readonly GraphService[],
  execute: SubgraphExecutor,
  options: CompositionOptions,
): Promise<Graph> {
  return composeGraph(services, execute, options);
}
