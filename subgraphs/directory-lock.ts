/**
 * One gateway per directory. The lock is a file that says who holds it; whoever finds one of a process that is gone
 * takes it over, so a crash needs nobody to clean up.
 */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in ticks since boot. A pid alone is used again: in a container it is always the same. */
  readonly startedAt: string | null;
  readonly id: string;
}

const lockName = 'registry.lock';
const touchEveryMs = 5_000;
/** Of a holder on another host (containers that share a volume) only the age of its last touch can be known. */
const staleAfterMs = 20_000;

/** Takes the directory's lock, or throws when another gateway that lives has it. */
export async function acquireDirectoryLock(directory: string): Promise<AsyncDisposable> {
  const path = join(directory, lockName);
  const own: Holder = { pid: process.pid, host: hostname(), startedAt: await readStart(process.pid), id: randomUUID() };
  const draft = join(directory, `${lockName}.${own.id}.tmp`);
  await writeFile(draft, JSON.stringify(own), { mode: 0o600 });
  try {
    // A link appears with its content, so nobody ever reads half a lock; and it fails if there is one.
    for (let attempt = 0; !(await tryLink(draft, path)); attempt++) {
      if (attempt >= 10) throw new Error(`the lock ${path} changes hands all the time`);
      await removeStale(path, own.id);
    }
  } finally {
    await rm(draft, { force: true });
  }
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // gone or read-only: the next gateway notices, this one can do nothing
  }, touchEveryMs);
  touch.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(touch);
      if ((await readHolder(path))?.id === own.id) await rm(path, { force: true });
    },
  };
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

async function removeStale(path: string, ownId: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder === undefined) return;
  if (await isAlive(holder, path)) {
    const who = holder === null ? '' : ` (process ${holder.pid} on ${holder.host})`;
    throw new Error(`another gateway${who} uses this directory; if none does, remove ${path}`);
  }
  // Two may find the same stale lock at once. Only one can move it aside; the other may have moved a new one, which
  // then goes back.
  const aside = `${path}.${ownId}.tmp`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  if ((await readHolder(aside))?.id !== holder?.id) await tryLink(aside, path);
  await rm(aside, { force: true });
}

/** Undefined when there is no lock, null when it cannot be understood. */
async function readHolder(path: string): Promise<Holder | null | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return null;
  }
}

async function isAlive(holder: Holder | null, path: string): Promise<boolean> {
  if (holder === null || holder.host !== hostname()) return (await readAgeMs(path)) < staleAfterMs;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (isCode(error, 'ESRCH')) return false;
  }
  const startedAt = await readStart(holder.pid);
  return startedAt === null || holder.startedAt === null || startedAt === holder.startedAt;
}

async function readAgeMs(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Field 22 of proc_pid_stat(5); null where there is no such file. */
async function readStart(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may contain anything.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
