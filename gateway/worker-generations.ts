/**
 * The graphs of a worker: composed from the snapshots of the primary, which admitted them before. Snapshots that come
 * while one is composed are taken together.
 */

import { listGraphServices } from '../schema/admission.ts';
import { buildGraphId, composeGraph } from '../schema/composition.ts';
import type { Graph } from '../schema/graph.ts';
import { emptySnapshot, type Snapshot } from '../subgraphs/snapshot.ts';
import type { Log } from './log.ts';
import type { Serving } from './serving-contract.ts';
import { applySnapshotDelta } from './snapshot-delta.ts';
import type { SnapshotNews } from './worker-messages.ts';

export interface WorkerGenerationsOptions {
  readonly serving: Pick<Serving, 'execute' | 'publish' | 'warm'>;
  readonly subgraphErrors: 'pass' | 'mask';
  readonly log: Pick<Log, 'error'>;
  /** Snapshots are taken in meanwhile, and nothing is served before. @default at once */
  readonly ready?: Promise<void>;
}

/** Resolves when this snapshot, or a later one, is served. Rejects when there is no graph to serve at all. */
export type FollowSnapshots = (news: SnapshotNews) => Promise<void>;

export function createWorkerGenerations(options: WorkerGenerationsOptions): FollowSnapshots {
  const { serving, subgraphErrors, log, ready } = options;
  let wanted: Snapshot = emptySnapshot;
  let wantedGraph = '';
  let served: Snapshot | null = null;
  let graph: Graph | null = null;
  let settling: Promise<void> | null = null;
  const compose = serving.warm(async (candidate) => {
    const services = listGraphServices(candidate);
    const isSame = graph !== null && graph.id === buildGraphId(services);
    return {
      graph: isSame && graph ? graph : composeGraph(services, serving.execute, { subgraphErrors }),
      changes: [],
    };
  });

  async function settle(): Promise<void> {
    await ready;
    while (wanted !== served) {
      const next = wanted;
      const expected = wantedGraph;
      try {
        ({ graph } = await compose(next, next));
        if (graph.id !== expected)
          log.error('a worker has another graph than the primary', { graph: graph.id, expected });
      } catch (error) {
        // The primary composed the same before. Should it ever fail here, instances and routes still follow.
        if (graph === null) throw error;
        log.error('a worker cannot compose the graph and keeps the one before', { error, expected });
      }
      served = next;
      serving.publish(next, graph);
    }
  }

  return ({ delta, graph: id }) => {
    // At once, in the order in which they were sent: each is told in relation to the one before.
    wanted = applySnapshotDelta(wanted, delta);
    wantedGraph = id;
    settling ??= settle().finally(() => {
      settling = null;
    });
    return settling;
  };
}
