import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext, test } from 'node:test';
import { createFileApiKeyStore } from '../../policies/api-keys-file.ts';
import { createMemoryApiKeyStore } from '../../policies/api-keys-memory.ts';
import { createRedisApiKeyStore } from '../../policies/api-keys-redis.ts';
import { type ApiKeyStore, maxManagedApiKeys } from '../../policies/managed-api-keys.ts';
import { revocationConnection } from '../../policies/revocation-redis.ts';
import { connectRedis } from '../../subgraphs/redis-connection.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

async function makeFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-keys-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'store', 'api-keys.json');
}

const key = (name: string) => ({ name, sha256: name.padEnd(64, '0'), scopes: ['a'] });
const names = (keys: readonly { name: string }[]) => keys.map(({ name }) => name).toSorted();

const stores: Record<string, { skip?: string | false; open: (t: TestContext) => Promise<ApiKeyStore> }> = {
  memory: { open: async () => createMemoryApiKeyStore() },
  file: { open: async (t) => createFileApiKeyStore(await makeFile(t)) },
  redis: {
    skip: redisSkipReason,
    async open(t) {
      const redis = await startRedis();
      t.after(() => redis[Symbol.asyncDispose]());
      const connection = connectRedis({ url: redis.url }, revocationConnection);
      t.after(() => connection.disconnect());
      return createRedisApiKeyStore(connection, `test-${crypto.randomUUID()}:`);
    },
  },
};

for (const [kind, { skip = false, open }] of Object.entries(stores)) {
  describe(`API keys in ${kind}`, { skip }, () => {
    it('are added once by name, listed, read when they changed, and removed', async (t) => {
      const store = await open(t);
      assert.deepEqual(await store.list(), []);
      assert.equal(await store.remove('aa'), false);
      const added = await Promise.all([store.add(key('aa')), store.add(key('bb')), store.add(key('aa'))]);
      assert.deepEqual(added.toSorted(), [false, true, true]);
      const first = await store.read('none');
      assert.deepEqual(names(first?.keys ?? []), ['aa', 'bb']);
      assert.deepEqual(
        first?.keys.find(({ name }) => name === 'aa'),
        key('aa'),
      );
      assert.equal(await store.read(first?.version ?? ''), null);
      assert.equal(await store.remove('aa'), true);
      const second = await store.read(first?.version ?? '');
      assert.deepEqual(names(second?.keys ?? []), ['bb']);
      assert.deepEqual(names(await store.list()), ['bb']);
    });
  });
}

test('a file of API keys is for its owner only, and leaves no draft behind', async (t) => {
  const file = await makeFile(t);
  const store = createFileApiKeyStore(file);
  await Promise.all(Array.from({ length: 20 }, (_, number) => store.add(key(`a${number}`))));
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(file, '..')), ['api-keys.json']);
  assert.equal((await createFileApiKeyStore(file).list()).length, 20, 'another process finds them');
});

test('a file that holds no API keys is an error, not an empty list that a change would keep', async (t) => {
  const file = await makeFile(t);
  const store = createFileApiKeyStore(file);
  await store.add(key('aa'));
  for (const text of ['', '{"apiKeys":[{"name":"aa"}]}', '[]']) {
    await writeFile(file, text);
    await assert.rejects(store.list());
    await assert.rejects(store.add(key('bb')));
  }
  await writeFile(file, '{"apiKeys":[]}');
  assert.equal(await store.add(key('bb')), true, 'it goes on once the file is right again');
});

test('a file takes a bounded number of keys', async (t) => {
  const file = await makeFile(t);
  const store = createFileApiKeyStore(file);
  await store.add(key('aa'));
  await writeFile(
    file,
    JSON.stringify({ apiKeys: Array.from({ length: maxManagedApiKeys }, (_, number) => key(`a${number}`)) }),
  );
  await assert.rejects(store.add(key('bb')), RangeError);
});
