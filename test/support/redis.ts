/** A Redis for tests: the one of REDIS_URL, or a fresh redis-server that a test may pause, kill and start again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** Whether it is ours to pause, stop and start. That of REDIS_URL is not; the four calls below then throw. */
  readonly controllable: boolean;
  /** Kills it, counts and scripts included. */
  stop(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing answers. */
  pause(): void;
  resume(): void;
}

/** Why tests with Redis cannot run here, for `{ skip }`; false where they can. In CI there is no such excuse. */
export const redisSkipReason: string | false = findSkipReason();

/** Why tests that pause or kill Redis cannot run here. */
export const redisControlSkipReason: string | false =
  redisSkipReason || (process.env['REDIS_URL'] ? 'the Redis of REDIS_URL cannot be paused or killed' : false);

function findSkipReason(): string | false {
  if (process.env['REDIS_URL']) return false;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, 'redis-server')))) return false;
  if (process.env['CI']) throw new Error('in CI there must be a redis-server on PATH, or REDIS_URL');
  return 'no redis-server on PATH and no REDIS_URL';
}

/** Starts a Redis without persistence on a free port. */
export async function startRedis(): Promise<TestRedis> {
  const url = process.env['REDIS_URL'];
  if (url) return borrowRedis(url);
  const folder = await mkdtemp(join(tmpdir(), 'selvage-redis-'));
  const port = await findFreePort();
  let server = await launch(port, folder);

  async function stop(): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exit = once(server, 'exit');
    server.kill('SIGKILL');
    await exit;
  }

  return {
    url: `redis://127.0.0.1:${port}`,
    controllable: true,
    stop,
    async start() {
      server = await launch(port, folder);
    },
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function borrowRedis(url: string): TestRedis {
  const refuse = () => {
    throw new Error('the Redis of REDIS_URL is not ours to control');
  };
  return {
    url,
    controllable: false,
    stop: refuse,
    start: refuse,
    pause: refuse,
    resume: refuse,
    async [Symbol.asyncDispose]() {},
  };
}

async function launch(port: number, folder: string): Promise<ChildProcess> {
  const settings = { port, bind: '127.0.0.1', dir: folder, save: '', appendonly: 'no', daemonize: 'no' };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', flags, { stdio: ['ignore', 'pipe', 'ignore'] });
  process.once('exit', () => server.kill('SIGKILL'));
  const output = server.stdout.setEncoding('utf8');
  let text = '';
  for await (const chunk of output.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (text.includes('Ready to accept connections')) {
      output.resume();
      return server;
    }
  }
  throw new Error(`redis-server did not start:\n${text}`);
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  server.close();
  await once(server, 'close');
  return address.port;
}
