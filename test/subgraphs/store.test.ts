import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { createFileStore } from '../../subgraphs/file-store.ts';
import { createMemoryStore } from '../../subgraphs/memory-store.ts';
import { createRedisStore } from '../../subgraphs/redis-store.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';
import { testStore } from './store-contract.ts';

const root = await mkdtemp(join(tmpdir(), 'selvage-store-'));
after(() => rm(root, { recursive: true }));

testStore('memory', async () => createMemoryStore());
testStore('file', async () => createFileStore({ directory: await mkdtemp(join(root, 'case-')) }));

if (redisSkipReason === false) {
  const redis = await startRedis();
  after(() => redis[Symbol.asyncDispose]());
  testStore('Redis', async () =>
    createRedisStore({ redis: { url: redis.url, keyPrefix: `selvage-test:${randomUUID()}:` } }),
  );
}
