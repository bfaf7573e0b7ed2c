/** API keys in a file, for one gateway with all its workers: one process writes, any may read. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { ApiKey } from './api-keys.ts';
import { type ApiKeyStore, maxManagedApiKeys, tooManyApiKeys } from './managed-api-keys.ts';

const KeyFile = Type.Object({ apiKeys: Type.Array(ApiKey) });
const documents = Compile(KeyFile);

/** Creates the store over a file, which need not be there. Only one process may call `add` and `remove`. */
export function createFileApiKeyStore(file: string): ApiKeyStore {
  let last: Promise<unknown> = Promise.resolve();

  /** One after the other: each starts from what the one before has written. */
  function change<T>(make: (keys: readonly ApiKey[]) => { keys: readonly ApiKey[] | null; result: T }): Promise<T> {
    const done = last.then(async () => {
      const { keys, result } = make(await readKeys(file));
      if (keys !== null) await writeKeys(file, keys);
      return result;
    });
    last = done.catch(() => {});
    return done;
  }

  return {
    add: (key) =>
      change((keys) => {
        if (keys.some(({ name }) => name === key.name)) return { keys: null, result: false };
        if (keys.length >= maxManagedApiKeys) throw tooManyApiKeys();
        return { keys: [...keys, key], result: true };
      }),
    remove: (name) =>
      change((keys) => {
        const left = keys.filter((key) => key.name !== name);
        return { keys: left.length < keys.length ? left : null, result: left.length < keys.length };
      }),
    list: () => readKeys(file),
    async read(known) {
      // Looked at before it is read: what is written meanwhile shows another time in the next turn.
      const version = await readVersion(file);
      return version === known ? null : { version, keys: await readKeys(file) };
    },
  };
}

/** Every change is another file under the same name. */
async function readVersion(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(ignoreMissing);
  return found === undefined ? 'missing' : `${found.ino}-${found.mtimeNs}-${found.size}`;
}

async function readKeys(file: string): Promise<readonly ApiKey[]> {
  const text = await readFile(file, 'utf8').catch(ignoreMissing);
  if (text === undefined) return [];
  const document: unknown = JSON.parse(text);
  if (!documents.Check(document)) throw new Error(`${file} holds no API keys`);
  return document.apiKeys;
}

/** Whole or not at all, also when the power fails: who reads it meanwhile finds the keys of before. */
async function writeKeys(file: string, apiKeys: readonly ApiKey[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify({ apiKeys }, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
