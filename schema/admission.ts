/** Whether a candidate registry gives a graph that can serve, and what would change for clients if it did. */
import { buildSchema } from 'graphql';
import { toGatewayError } from '../policies/errors.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import { buildGraphId, type CompositionOptions, composeGraph, type GraphService } from './composition.ts';
import type { Graph, SubgraphExecutor } from './graph.ts';

/** One difference between the public schemas of two generations. */
export interface SchemaChange {
  /** Coordinate of what changed, e.g. `Product.price`; empty for the schema as a whole. */
  readonly path: string;
  readonly message: string;
  readonly criticality: 'breaking' | 'dangerous' | 'safe';
}

export interface Admission {
  /** The candidate's graph, and its differences to the current one. */
  readonly graph: Graph;
  /** The most critical first, at most 200. */
  readonly changes: readonly SchemaChange[];
}

/** Rejects with REGISTRATION_REFUSED and reasons when the candidate does not compose; nothing has changed then. */
export type Admit = (candidate: Snapshot, current: Snapshot) => Promise<Admission>;

export interface AdmissionOptions {
  readonly execute: SubgraphExecutor;
  readonly options?: CompositionOptions;
  /** Graphs that are remembered. Two at least, the serving one and the candidate. @default 4 */
  readonly remembered?: number;
}

const maxChanges = 200;

/** Composes each set of services once, however often and at whatever time it is asked about. */
export function createAdmission({ execute, options = {}, remembered = 4 }: AdmissionOptions): Admit {
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
  return async (candidate, current) => {
    // The serving graph first, and its refusal caught: that the registry was broken must not keep it from mending.
    const before = await composeOnce(listGraphServices(current)).catch(() => null);
    const graph = await composeOnce(listGraphServices(candidate));
    return { graph, changes: before === null || before.id === graph.id ? [] : await findChanges(before, graph) };
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

async function findChanges(before: Graph, after: Graph): Promise<SchemaChange[]> {
  // Loaded when needed: it is a sixth of the start-up time, and a gateway with a fixed configuration never diffs.
  const { diff } = await import('@graphql-inspector/core');
  try {
    // From the SDL, because the diff reads syntax trees too, and those of the executable schema know about federation.
    const changes = await diff(buildSchema(before.publicSdl), buildSchema(after.publicSdl));
    return changes.map(toSchemaChange).toSorted(compareCriticality).slice(0, maxChanges);
  } catch (error) {
    throw toGatewayError(error);
  }
}

const criticalities = { BREAKING: 'breaking', DANGEROUS: 'dangerous', NON_BREAKING: 'safe' } as const;

interface InspectorChange {
  readonly path?: string | undefined;
  readonly message: string;
  readonly criticality: { readonly level: string };
}

function toSchemaChange({ path, message, criticality }: InspectorChange): SchemaChange {
  return { path: path ?? '', message, criticality: criticalities[criticality.level as keyof typeof criticalities] };
}

function compareCriticality(one: SchemaChange, other: SchemaChange): number {
  const order = Object.values(criticalities);
  return order.indexOf(one.criticality) - order.indexOf(other.criticality);
}
