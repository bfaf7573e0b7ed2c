/**
 * The registry in one file: a line about it with a checksum, then the state, both JSON. A new state is written beside
 * the old one and takes its place by rename, so at any moment there is a whole one on the disk.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireDirectoryLock } from './directory-lock.ts';
import { type Log, silentLog } from './log.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';

export interface FileStoreOptions {
  /** Made when it is missing. It belongs to one gateway at a time. */
  readonly directory: string;
  readonly log?: Log;
}

const fileName = 'registry.json';
const format = 'selvage-registry';
const formatVersion = 1;

interface Header {
  readonly format: string;
  readonly formatVersion: number;
  readonly sha256: string;
}

/** Opens the store of a directory. Throws when another gateway uses it, or when it cannot be used at all. */
export async function createFileStore({ directory, log = silentLog }: FileStoreOptions): Promise<Store> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = await acquireDirectoryLock(directory);
  const path = join(directory, fileName);

  /** The state that waits to be written, and who waits for it. Several that come during a write become one. */
  let waiting: { state: StoredState; readonly done: PromiseWithResolvers<void> } | null = null;
  let writing: Promise<void> | null = null;
  /** What is on the disk. */
  let writtenRevision = 0;

  async function writeAll(): Promise<void> {
    while (waiting !== null) {
      const { state, done } = waiting;
      waiting = null;
      try {
        await writeAtomically(directory, encode(state));
        writtenRevision = state.snapshot.revision;
        done.resolve();
      } catch (error) {
        done.reject(error);
      }
    }
    writing = null;
  }

  return {
    async load() {
      await removeLeftovers(directory);
      const bytes = await readOrNull(path);
      if (bytes === null) return null;
      try {
        const state = decode(bytes);
        const revision: unknown = state.snapshot?.revision;
        writtenRevision = typeof revision === 'number' ? revision : 0;
        return state;
      } catch (cause) {
        const keptAs = join(directory, `registry.damaged-${new Date().toISOString().replaceAll(':', '-')}.json`);
        await rename(path, keptAs);
        log.error('the stored registry is damaged; starting without it', { error: cause, keptAs });
        return null;
      }
    },
    save(state, expected) {
      if (expected !== undefined && writtenRevision > expected) return Promise.reject(new StoreConflict());
      if (waiting === null) waiting = { state, done: Promise.withResolvers() };
      else waiting.state = state;
      const { promise } = waiting.done;
      writing ??= writeAll();
      return promise;
    },
    async [Symbol.asyncDispose]() {
      await writing;
      await lock[Symbol.asyncDispose]();
    },
  };
}

function encode(state: StoredState): string {
  const body = JSON.stringify(state);
  const header: Header = { format, formatVersion, sha256: hash(body) };
  return `${JSON.stringify(header)}\n${body}\n`;
}

function decode(bytes: Buffer): StoredState {
  const end = bytes.indexOf('\n');
  if (end === -1) throw new Error('the file has no first line');
  const header = JSON.parse(bytes.toString('utf8', 0, end)) as Partial<Header> | null;
  if (header?.format !== format) throw new Error(`the file is not a ${format}`);
  if (header.formatVersion !== formatVersion) {
    throw new Error(`format version ${header.formatVersion} is unknown; expected ${formatVersion}`);
  }
  const body = bytes.subarray(end + 1, -1);
  if (hash(body) !== header.sha256) throw new Error('the checksum does not fit: the file is truncated or was changed');
  return JSON.parse(body.toString('utf8')) as StoredState;
}

function hash(body: string | Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Content, then name, then directory entry: each must be on the disk before the next (see fsync(2), rename(2)). */
async function writeAtomically(directory: string, content: string): Promise<void> {
  const draft = join(directory, `${fileName}.${randomUUID()}.tmp`);
  try {
    await writeDurably(draft, content);
    await rename(draft, join(directory, fileName));
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(directory);
}

async function writeDurably(path: string, content: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(content);
  await file.sync();
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows cannot open a directory; there the rename alone has to do.
  if (process.platform === 'win32') return;
  await using handle = await open(directory, 'r');
  await handle.sync();
}

/** Drafts that a crash left behind. Only the holder of the lock makes them, and that is this process. */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(`${fileName}.`) && name.endsWith('.tmp')) await rm(join(directory, name), { force: true });
  }
}

async function readOrNull(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
