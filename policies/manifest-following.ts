/** The manifest of trusted documents, kept up to date: read again and again, replaced only by one that is right. */
import { hash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { maxManifestBytes, type OperationManifest, parseManifest } from './operation-manifest.ts';
import { followStore } from './store-following.ts';

/** Reads the text of the manifest; null where it has not changed since the last time. */
export type ReadManifest = () => Promise<string | null>;

export interface ManifestFollowerOptions {
  readonly read: ReadManifest;
  readonly intervalMs: number;
  /** File for a copy of the last good one. */
  readonly copy?: string | undefined;
  readonly onLoaded: (manifest: OperationManifest) => void;
  /** The source cannot be read, or can be again. Told once each. */
  readonly onAvailable: (available: boolean, error?: unknown) => void;
  /** What was read is not right. Told once for each text. */
  readonly onRefused: (error: unknown) => void;
}

export interface ManifestFollower {
  /** Undefined until one was read. */
  readonly current: OperationManifest | undefined;
  /** Resolves when the first attempt is over. Never rejects. */
  readonly begun: Promise<void>;
  close(): void;
}

export function followManifest(options: ManifestFollowerOptions): ManifestFollower {
  const { read, intervalMs, copy, onLoaded, onAvailable, onRefused } = options;
  let current: OperationManifest | undefined;
  let known = '';

  async function take(text: string, isClosed: () => boolean): Promise<void> {
    const fingerprint = hash('sha256', text);
    if (fingerprint === known) return;
    known = fingerprint;
    try {
      const manifest = await parseManifest(text);
      if (isClosed()) return;
      current = manifest;
    } catch (error) {
      onRefused(error);
      return;
    }
    onLoaded(current);
    if (copy !== undefined) await keepCopy(copy, text).catch(onRefused);
  }

  async function takeCopy(path: string, isClosed: () => boolean): Promise<void> {
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text !== null) await take(text, isClosed);
  }

  const follower = followStore(
    async (isClosed) => {
      try {
        const text = await read();
        if (text !== null) await take(text, isClosed);
      } finally {
        if (current === undefined && copy !== undefined) await takeCopy(copy, isClosed);
      }
    },
    { intervalMs, onAvailable },
  );
  return {
    get current() {
      return current;
    },
    begun: follower.begun,
    close: follower.close,
  };
}

/** Whole or not at all: it is what the next start relies on. */
async function keepCopy(path: string, text: string): Promise<void> {
  const fresh = `${path}.${process.pid}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(fresh, text, { mode: 0o600 });
  await rename(fresh, path);
}

export function createFileReader(path: string): ReadManifest {
  return async () => {
    const { size } = await stat(path);
    if (size > maxManifestBytes) throw new Error(`the manifest is longer than ${maxManifestBytes} bytes`);
    return await readFile(path, 'utf8');
  };
}

const answerTimeoutMs = 5_000;

/** Reads by HTTP; asks only for what is new, where the server says `ETag`. */
export function createUrlReader(url: string, fetchManifest: typeof fetch = fetch): ReadManifest {
  let tag: string | null = null;
  return async () => {
    const response = await fetchManifest(url, {
      headers: { accept: 'application/json', ...(tag !== null && { 'if-none-match': tag }) },
      // It could lead anywhere: what is trusted comes from where the operator said.
      redirect: 'error',
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    if (response.status === 304) return null;
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the server of the manifest answered ${response.status}`);
    }
    const text = await readText(response);
    tag = response.headers.get('etag');
    return text;
  };
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxManifestBytes) throw new Error(`the manifest is longer than ${maxManifestBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
