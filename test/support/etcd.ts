/** A real etcd for tests, on free ports and in a folder of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';

export interface TestEtcd {
  readonly url: string;
  /** Any call of the JSON gateway. Strings under `key`, `range_end` and `value` are encoded. */
  call(path: string, body: Readonly<Record<string, unknown>>, token?: string): Promise<Record<string, unknown>>;
  put(key: string, value: string, lease?: string): Promise<void>;
  remove(key: string): Promise<void>;
  /** Kills it. */
  stop(): Promise<void>;
  /** Starts it again, with what it had. */
  start(): Promise<void>;
}

/** Why tests with etcd cannot run here, for `{ skip }`; false where they can. In CI there is no such excuse. */
export const etcdSkipReason: string | false = findSkipReason();

function findSkipReason(): string | false {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, 'etcd')))) return false;
  if (process.env['CI']) throw new Error('in CI there must be an etcd on PATH (Debian: etcd-server)');
  return 'no etcd on PATH (Debian: etcd-server)';
}

export async function startEtcd(t: TestContext): Promise<TestEtcd> {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-etcd-'));
  const [client, peer] = [await findFreePort(), await findFreePort()];
  const url = `http://127.0.0.1:${client}`;
  let server = await launch();
  t.after(async () => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function launch() {
    const peerUrl = `http://127.0.0.1:${peer}`;
    const addresses = ['--listen-client-urls', url, '--advertise-client-urls', url, '--listen-peer-urls', peerUrl];
    const cluster = ['--initial-advertise-peer-urls', peerUrl, '--initial-cluster', `default=${peerUrl}`];
    const child = spawn('etcd', ['--data-dir', folder, ...addresses, ...cluster], { stdio: 'ignore' });
    for (;;) {
      if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}`);
      const isUp = await fetch(`${url}/health`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (isUp) return child;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function stop(): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exit = once(server, 'exit');
    server.kill('SIGKILL');
    await exit;
  }

  async function call(path: string, body: Readonly<Record<string, unknown>>, token?: string) {
    const encoded = Object.entries(body).map(([key, value]) =>
      ['key', 'range_end', 'value'].includes(key) ? [key, Buffer.from(String(value)).toString('base64')] : [key, value],
    );
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      ...(token !== undefined && { headers: { authorization: token } }),
      body: JSON.stringify(Object.fromEntries(encoded)),
    });
    if (!response.ok) throw new Error(`etcd answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  }

  return {
    url,
    call,
    async put(key, value, lease) {
      await call('/v3/kv/put', { key, value, ...(lease !== undefined && { lease }) });
    },
    async remove(key) {
      await call('/v3/kv/deleterange', { key });
    },
    stop,
    async start() {
      server = await launch();
    },
  };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
