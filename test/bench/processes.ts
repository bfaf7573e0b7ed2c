/** The processes of a benchmark: the gateway on one core, services and load on the other. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { GatewayConfig } from '../../gateway/config-schema.ts';

export const cores = { gateway: '0', load: '1' } as const;
const isPinned = hasTaskset();

function hasTaskset(): boolean {
  try {
    execFileSync('taskset', ['-c', `${cores.gateway},${cores.load}`, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    console.error('taskset or a second core is missing: nothing is pinned, so the figures mean little');
    return false;
  }
}

/** The command on one core, where that can be had. */
export function pin(core: string, command: string, args: readonly string[]): [string, string[]] {
  return isPinned ? ['taskset', ['-c', core, command, ...args]] : [command, [...args]];
}

/** The services of `services.ts`. */
export interface Services extends Disposable {
  readonly port: number;
}

export function startServices(...args: readonly string[]): Promise<Services> {
  return startService('services.ts', ...args);
}

/** A file of this folder that says over IPC at which port it listens. */
export async function startService(name: string, ...args: readonly string[]): Promise<Services> {
  const file = fileURLToPath(new URL(name, import.meta.url));
  const [command, argv] = pin(cores.load, process.execPath, [file, ...args]);
  const child = spawn(command, argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const port = await Promise.race([
    once(child, 'message').then(([message]) => Number(message)),
    once(child, 'exit').then(() => Promise.reject(new Error(`the services ${args.join(' ')} ended`))),
  ]);
  return { port, [Symbol.dispose]: () => child.kill() };
}

export interface BenchGateway extends AsyncDisposable {
  readonly url: string;
  readonly adminUrl: string;
  /** Seconds of CPU so far, by its own metrics. */
  readCpuSeconds(): Promise<number>;
  /** Bytes, by its own metrics. */
  readResidentBytes(): Promise<number>;
}

/** Starts the gateway as production does, with access log and metrics on. */
export async function startBenchGateway(
  folder: string,
  config: GatewayConfig,
  core: string = cores.gateway,
): Promise<BenchGateway> {
  const file = join(folder, 'selvage.json');
  const logFile = join(folder, 'gateway.log');
  const listen = { host: '127.0.0.1', port: 0 };
  await writeFile(file, JSON.stringify({ store: 'memory', ...config, listen, admin: listen }));
  await writeFile(logFile, '');
  const log = openSync(logFile, 'a');
  const main = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url));
  const [command, argv] = pin(core, process.execPath, [main, '--config', file]);
  const child = spawn(command, argv, {
    stdio: ['ignore', log, log],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const { url, adminUrl } = await readAddresses(child, logFile);
  const readMetric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${adminUrl}/metrics`)).text();
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
  };
  return {
    url,
    adminUrl,
    readCpuSeconds: () => readMetric('process_cpu_seconds_total'),
    readResidentBytes: () => readMetric('process_resident_memory_bytes'),
    async [Symbol.asyncDispose]() {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

async function readAddresses(child: ChildProcess, logFile: string): Promise<{ url: string; adminUrl: string }> {
  for (;;) {
    const text = readFileSync(logFile, 'utf8');
    const line = text.split('\n').find((entry) => entry.includes('"listening"'));
    if (line !== undefined) return JSON.parse(line);
    if (child.exitCode !== null) throw new Error(`the gateway ended: ${text}`);
    await sleep(50);
  }
}

export interface Load {
  readonly url: string;
  readonly query: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  /** Answers. */
  readonly count: number;
  /** Answers that are no 200, and requests without an answer. */
  readonly failed: number;
}

const run = promisify(execFile);
const autocannon = fileURLToPath(import.meta.resolve('autocannon'));

/** Sends one operation over and over. */
export function runLoad({ url, query, connections, seconds }: Load): Promise<LoadResult> {
  const headers = { 'content-type': 'application/json' };
  return runRequests({ url: `${url}/graphql`, headers, body: JSON.stringify({ query }), connections, seconds });
}

export interface RequestLoad {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** With one it is a POST. */
  readonly body?: string | undefined;
  readonly connections: number;
  readonly seconds: number;
}

/** Sends one request over and over. */
export async function runRequests({ url, headers, body, connections, seconds }: RequestLoad): Promise<LoadResult> {
  const [command, argv] = pin(cores.load, process.execPath, [
    autocannon,
    ...['--connections', String(connections), '--duration', String(seconds), '--json'],
    ...Object.entries(headers).flatMap(([name, value]) => ['--headers', `${name}=${value}`]),
    ...(body === undefined ? [] : ['--method', 'POST', '--body', body]),
    url,
  ]);
  const { stdout } = await run(command, argv, { maxBuffer: 10_000_000 });
  const { requests, latency, errors, timeouts, non2xx } = JSON.parse(stdout);
  return {
    requestsPerSecond: requests.average,
    meanMs: latency.average,
    p99Ms: latency.p99,
    count: requests.total,
    failed: errors + timeouts + non2xx,
  };
}
