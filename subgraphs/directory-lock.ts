/**
 * One gateway per directory. Each puts up a file of its own that says who it is, and then looks whether there is another
 * one of a process that lives: of two that come at once, at least the second sees the first. There is no shared file to
 * fight for, so one that a crash left behind can be removed by anybody, without taking a new one for it.
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in ticks since boot. A pid alone is used again: in a container it is always the same. */
  readonly startedAt: string | null;
}

const lockPattern = /^registry\.[0-9a-f-]+\.lock$/;
const touchEveryMs = 5_000;
/** Of a holder on another host (containers that share a volume) only the age of its last touch can be known. */
const staleAfterMs = 20_000;
/** Two that come at once both step back, and come again at different moments. */
const maxAttempts = 8;

/** Takes the directory's lock, or throws when another gateway that lives has it. */
export async function acquireDirectoryLock(directory: string): Promise<AsyncDisposable> {
  const own: Holder = { pid: process.pid, host: hostname(), startedAt: await readStart(process.pid) };
  const name = `registry.${randomUUID()}.lock`;
  const path = join(directory, name);
  for (let attempt = 1; ; attempt++) {
    await writeFile(`${path}.tmp`, JSON.stringify(own), { mode: 0o600 });
    await rename(`${path}.tmp`, path); // nobody ever reads half of it
    const other = await findOther(directory, name);
    if (other === null) return keep(path);
    await rm(path, { force: true });
    if (attempt === maxAttempts) throw new Error(other);
    await wait(Math.random() * 50);
  }
}

/** Whether another gateway has a lock in the directory: then a sentence about it. Removes those of the dead. */
async function findOther(directory: string, ownName: string): Promise<string | null> {
  for (const name of await readdir(directory)) {
    if (name === ownName || !lockPattern.test(name)) continue;
    const path = join(directory, name);
    const holder = await readHolder(path);
    if (holder === undefined) continue;
    if (await isAlive(holder, path)) {
      const who = holder === null ? '' : ` (process ${holder.pid} on ${holder.host})`;
      return `another gateway${who} uses the directory ${directory}; if none does, remove ${name} there`;
    }
    await rm(path, { force: true });
  }
  return null;
}

function keep(path: string): AsyncDisposable {
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // gone or read-only: this gateway can do nothing about it
  }, touchEveryMs);
  touch.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(touch);
      await rm(path, { force: true });
    },
  };
}

/** Undefined when the file is gone, null when it cannot be understood. */
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
