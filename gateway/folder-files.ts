/**
 * Files of one folder, opened so that nothing outside of it can be reached: the real path is looked at, links included,
 * and what is open is what was looked at. A file that is replaced meanwhile stays, for whoever opened it, what it was.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../policies/errors.ts';

export interface OpenFile extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  /** Another one for every other content, as far as the file system tells. */
  readonly version: string;
}

/** `folder`: there is a folder of that name. */
export type Opened = OpenFile | 'folder' | null;

// Without O_NONBLOCK a named pipe would hold a thread until somebody writes to it.
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** Opens a file by its names below the folder. Null where there is none that may be read. */
export async function openFile(folder: string, names: readonly string[]): Promise<Opened> {
  let handle: FileHandle | undefined;
  try {
    // Asked for each time: a release may be a link that is turned to another folder.
    const root = await realpath(folder);
    const path = await realpath(join(root, ...names));
    if (path === root) return 'folder';
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) return null;
    handle = await open(path, flags);
    const stat = await handle.stat({ bigint: true });
    if (stat.isFile()) {
      const opened = handle;
      handle = undefined;
      return {
        handle: opened,
        sizeBytes: Number(stat.size),
        modifiedAtMs: Number(stat.mtimeMs),
        version: versionOf(stat),
        [Symbol.asyncDispose]: () => opened.close(),
      };
    }
    return stat.isDirectory() ? 'folder' : null;
  } catch (error) {
    return classifyFailure(error);
  } finally {
    await handle?.close();
  }
}

/** Whether the file is still what it was when it was opened. */
export async function isUnchanged({ handle, version }: OpenFile): Promise<boolean> {
  return version === versionOf(await handle.stat({ bigint: true }));
}

/** Not by ctime: it also changes when a file that is being sent loses its name to a newer one. */
function versionOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}`;
}

const missing = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES', 'EPERM', 'ENXIO', 'EINVAL']);

function classifyFailure(error: unknown): null {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (missing.has(code)) return null;
  if (code === 'EMFILE' || code === 'ENFILE')
    throw new GatewayError('OVERLOADED', undefined, { retryAfterSeconds: 1, cause: error });
  throw error;
}
