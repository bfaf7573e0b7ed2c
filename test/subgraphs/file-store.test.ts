import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createFileStore } from '../../subgraphs/file-store.ts';
import type { Log } from '../../subgraphs/log.ts';
import { buildState } from './store-contract.ts';

/** The lock of a gateway that is not this one. */
const lockName = 'registry.00000000-0000-4000-8000-000000000000.lock';

async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-file-store-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function useLog() {
  const errors: string[] = [];
  const log: Log = { info() {}, warn() {}, error: (message) => errors.push(message) };
  return { log, errors };
}

/** A directory in which these states were saved by a gateway that has ended. */
async function makeSaved(t: TestContext, ...revisions: readonly number[]): Promise<string> {
  const directory = await makeDirectory(t);
  await using store = await createFileStore({ directory });
  for (const revision of revisions) await store.save(buildState(revision));
  return directory;
}

test('what one gateway saved, the next one loads', async (t) => {
  const directory = await makeSaved(t, 1, 2);
  await using store = await createFileStore({ directory });
  assert.deepEqual(await store.load(), buildState(2));
});

test('nobody else may read the file', { skip: process.platform === 'win32' }, async (t) => {
  const directory = await makeSaved(t, 1, 2);
  assert.equal((await stat(join(directory, 'registry.json'))).mode & 0o777, 0o600);
});

test('a directory that is not there is made', async (t) => {
  const directory = join(await makeDirectory(t), 'a', 'b');
  await using store = await createFileStore({ directory });
  await store.save(buildState(1));
  assert.deepEqual(await store.load(), buildState(1));
});

const damages: Record<string, (path: string) => Promise<void>> = {
  'cut off in the middle': (path) => truncate(path, 300),
  'without its last byte': async (path) => truncate(path, (await stat(path)).size - 1),
  empty: (path) => truncate(path, 0),
  'with one letter changed': async (path) => {
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('orders', 'orderz'));
  },
  'of another program': (path) => writeFile(path, '{"hello":"world"}\n{}\n'),
  'no text at all': (path) => writeFile(path, Buffer.from([0xff, 0xfe, 0x0a, 0x00, 0x80])),
  'of a version to come': async (path) => {
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"formatVersion":1', '"formatVersion":2'));
  },
};

for (const [what, damage] of Object.entries(damages)) {
  test(`a file that is ${what} is put aside and reported, and the store goes on without it`, async (t) => {
    const directory = await makeSaved(t, 1);
    await damage(join(directory, 'registry.json'));
    const { log, errors } = useLog();
    await using store = await createFileStore({ directory, log });
    assert.equal(await store.load(), null);
    assert.equal(errors.length, 1);
    const kept = (await readdir(directory)).filter((name) => /^registry\.damaged-\d{4}-.*Z\.json$/.test(name));
    assert.equal(kept.length, 1, 'the damaged file is kept for a person to look at');
    await store.save(buildState(7));
    assert.deepEqual(await store.load(), buildState(7));
  });
}

test('drafts of a write that never ended are removed', async (t) => {
  const directory = await makeSaved(t, 1);
  await writeFile(join(directory, 'registry.json.0000.tmp'), 'half a sta');
  await using store = await createFileStore({ directory });
  assert.deepEqual(await store.load(), buildState(1));
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a save that cannot be written rejects, leaves the state before, and the next one works again', async (t) => {
  const directory = await makeDirectory(t);
  const inner = join(directory, 'store');
  await using store = await createFileStore({ directory: inner });
  await store.save(buildState(1));
  await rm(inner, { recursive: true });
  await assert.rejects(store.save(buildState(2)), { code: 'ENOENT' });
  await using again = await createFileStore({ directory: inner });
  assert.equal(await again.load(), null);
  await store.save(buildState(3));
  assert.deepEqual(await again.load(), buildState(3));
});

test('two gateways cannot share a directory; when one has ended the other may have it', async (t) => {
  const directory = await makeDirectory(t);
  const first = await createFileStore({ directory });
  await assert.rejects(createFileStore({ directory }), /another gateway \(process \d+ on .*\) uses the directory/);
  await first[Symbol.asyncDispose]();
  await using second = await createFileStore({ directory });
  assert.equal(await second.load(), null);
});

test('of many gateways that find a stale lock at once, no two get it', async (t) => {
  const directory = await makeDirectory(t);
  await writeFile(join(directory, lockName), JSON.stringify({ pid: 4_194_304, host: hostname(), startedAt: '1' }));
  const tries = await Promise.allSettled(Array.from({ length: 12 }, () => createFileStore({ directory })));
  const opened = tries.filter((result) => result.status === 'fulfilled');
  assert.ok(opened.length <= 1);
  for (const { value } of opened) await value[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(directory), [], 'and nothing is left of the attempts');
});

test('a lock of a pid that belongs to another process now is stale', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const directory = await makeDirectory(t);
  await writeFile(join(directory, lockName), JSON.stringify({ pid: process.pid, host: hostname(), startedAt: '1' }));
  await using store = await createFileStore({ directory });
  assert.equal(await store.load(), null);
});

test('a lock of another host holds while it is touched, and no longer', async (t) => {
  const directory = await makeDirectory(t);
  const path = join(directory, lockName);
  await writeFile(path, JSON.stringify({ pid: 1, host: `not-${hostname()}`, startedAt: '1' }));
  await assert.rejects(createFileStore({ directory }), /another gateway/);
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(path, longAgo, longAgo);
  await using store = await createFileStore({ directory });
  assert.equal(await store.load(), null);
});

test('a kill -9 at any moment leaves a whole state, never older than the last one that was acknowledged', async (t) => {
  const directory = await makeDirectory(t);
  const { log, errors } = useLog();
  let acknowledged = 0;
  for (let round = 0; round < 20; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'file-store-writer.ts'), directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 25));
    child.kill('SIGKILL');
    await once(child, 'close');
    acknowledged = Math.max(acknowledged, ...output.split('\n').map(Number));
    await using store = await createFileStore({ directory, log });
    const state = await store.load();
    assert.ok(state !== null, `round ${round}: nothing can be loaded`);
    assert.ok(state.snapshot.revision >= acknowledged, `${state.snapshot.revision} is older than ${acknowledged}`);
    assert.ok(state.snapshot.revision <= acknowledged + 1, 'and nothing that was never begun');
  }
  assert.deepEqual(errors, []);
  assert.ok(acknowledged >= 20);
});
