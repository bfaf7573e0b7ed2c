/** Opens the store that the configuration names. */
import { createFileStore } from '../subgraphs/file-store.ts';
import { createMemoryStore } from '../subgraphs/memory-store.ts';
import { createRedisStore } from '../subgraphs/redis-store.ts';
import type { Store } from '../subgraphs/store.ts';
import { createStoreWithCopy } from '../subgraphs/store-copy.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** The store belongs to the caller. `signal` ends the waiting for a shared store that is not there yet. */
export async function openStore({ store }: Settings, log: Log, metrics: Metrics, signal?: AbortSignal): Promise<Store> {
  if (store.kind === 'memory') return createMemoryStore();
  if (store.kind === 'file') return createFileStore({ directory: store.directory, log });
  const copy = store.copy === undefined ? null : await createFileStore({ directory: store.copy, log });
  const shared = createRedisStore({
    redis: store.redis,
    log,
    onAvailability: (available) => metrics.observeStore(available),
  });
  return createStoreWithCopy({ shared, copy, log, signal });
}
