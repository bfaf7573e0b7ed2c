/**
 * Tells when files changed. Their *directories* are watched, because editors replace files, and because a Kubernetes
 * ConfigMap or Secret changes by swapping a symbolic link beside the file. What counts is the content, of all files
 * together: a certificate and its key change at once. A slow poll sees what the file system does not tell (network
 * mounts, links into other directories, a directory that was replaced).
 */
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hashContent } from './content-hash.ts';

export interface FileWatchOptions<Loaded> {
  readonly files: readonly string[];
  /** Reads and checks the files; throws when they are bad. */
  readonly load: () => Loaded | Promise<Loaded>;
  /** Takes over what was loaded. What it throws goes to `onError`. */
  readonly onChange: (loaded: Loaded) => void | Promise<void>;
  /** Hears of bad files, once per content. */
  readonly onError: (error: unknown) => void;
  /** Content that is in force. @default the content when the watch begins */
  readonly hash?: string | undefined;
  /** @default 10_000 */
  readonly intervalMs?: number | undefined;
  /** Quiet time after an event before the files are read, as writers take several steps. @default 100 */
  readonly debounceMs?: number | undefined;
}

export interface FileWatch extends AsyncDisposable {
  /** Looks at once. Resolves when a change, if there was one, has been dealt with. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Watches files until it is closed. Keeps no process alive. */
export async function watchFiles<Loaded>(options: FileWatchOptions<Loaded>): Promise<FileWatch> {
  const { files, load, onChange, onError, intervalMs = 10_000, debounceMs = 100 } = options;
  const folders = new Set(files.map((file) => dirname(file)));
  let known = options.hash ?? (await readHash(files));
  let closed = false;
  let watchers: FSWatcher[] = [];
  let debounce: NodeJS.Timeout | undefined;
  // Checks run one after another: a slow reload never overtakes a later one.
  let last: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    if (closed) return;
    const hash = await readHash(files);
    if (hash === known || closed) return;
    known = hash;
    try {
      await onChange(await load());
    } catch (error) {
      onError(error);
    }
  }

  function check(): Promise<void> {
    last = last.then(look, look);
    return last;
  }

  function schedule(): void {
    clearTimeout(debounce);
    debounce = setTimeout(check, debounceMs).unref();
  }

  function watchFolder(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, schedule);
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      // No directory, or no more watches: the poll tries again.
      return [];
    }
  }

  function watchFolders(): void {
    for (const watcher of watchers) watcher.close();
    watchers = [...folders].flatMap(watchFolder);
  }

  watchFolders();
  const poll = setInterval(() => {
    // A watch stays with a directory that was replaced, and there is no telling: begin anew, it costs nothing.
    watchFolders();
    void check();
  }, intervalMs).unref();

  async function close(): Promise<void> {
    closed = true;
    clearTimeout(debounce);
    clearInterval(poll);
    for (const watcher of watchers) watcher.close();
    await last;
  }

  return { check, close, [Symbol.asyncDispose]: close };
}

/** Undefined when one of them cannot be read; it may be between two names. */
async function readHash(files: readonly string[]): Promise<string | undefined> {
  try {
    const hashes = await Promise.all(files.map(async (file) => hashContent(await readFile(file))));
    return hashes.join(' ');
  } catch {
    return undefined;
  }
}
