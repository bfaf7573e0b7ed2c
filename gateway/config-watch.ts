/**
 * Tells when the configuration file changed. The *directory* is watched, because editors replace files, and because a
 * Kubernetes ConfigMap changes by swapping a symbolic link beside the file. What counts is the content. A slow poll sees
 * what the file system does not tell (network mounts, links into other directories, a directory that was replaced).
 */
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hashContent } from './content-hash.ts';

export interface WatchConfigOptions<Config> {
  readonly file: string;
  /** Reads and checks the file; throws when it is bad. */
  readonly load: () => Promise<Config>;
  /** Takes a good configuration over. What it throws goes to `onError`. */
  readonly onChange: (config: Config) => void | Promise<void>;
  /** Hears of a bad one, once per content. The old one stays. */
  readonly onError: (error: unknown) => void;
  /** Content that is in force. @default the content when the watch begins */
  readonly hash?: string | undefined;
  /** @default 10_000 */
  readonly intervalMs?: number;
  /** Quiet time after an event before the file is read, as writers take several steps. @default 100 */
  readonly debounceMs?: number;
}

export interface ConfigWatch extends AsyncDisposable {
  /** Looks at once. Resolves when a change, if there was one, has been dealt with. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Watches a configuration file until it is closed. Keeps no process alive. */
export async function watchConfig<Config>(options: WatchConfigOptions<Config>): Promise<ConfigWatch> {
  const { file, load, onChange, onError, intervalMs = 10_000, debounceMs = 100 } = options;
  let known = options.hash ?? (await readHash(file));
  let closed = false;
  let watcher: FSWatcher | undefined;
  let debounce: NodeJS.Timeout | undefined;
  // Checks run one after another: a slow reload never overtakes a later one.
  let last: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    if (closed) return;
    const hash = await readHash(file);
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

  function watchDirectory(): void {
    watcher?.close();
    try {
      watcher = watch(dirname(file), { persistent: false }, schedule);
      watcher.on('error', () => watcher?.close());
    } catch {
      // No directory, or no more watches: the poll tries again.
      watcher = undefined;
    }
  }

  watchDirectory();
  const poll = setInterval(() => {
    // A watch stays with a directory that was replaced, and there is no telling: begin anew, it costs nothing.
    watchDirectory();
    void check();
  }, intervalMs).unref();

  async function close(): Promise<void> {
    closed = true;
    clearTimeout(debounce);
    clearInterval(poll);
    watcher?.close();
    await last;
  }

  return { check, close, [Symbol.asyncDispose]: close };
}

/** Undefined when the file cannot be read; it may be between two names. */
async function readHash(file: string): Promise<string | undefined> {
  try {
    return hashContent(await readFile(file));
  } catch {
    return undefined;
  }
}
