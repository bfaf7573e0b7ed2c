/** The gateway as a process of its own, for what only a process can show: signals, kill -9, a restart. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { GatewayConfig } from '../../gateway/config-schema.ts';

const mainFile = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url));

export interface GatewayProcess {
  readonly url: string;
  readonly adminUrl: string;
  readonly child: ChildProcess;
  /** Every line that it logged so far. */
  readonly lines: readonly Record<string, unknown>[];
  /** Sends a signal and waits for the end; resolves with the exit code, or null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** A folder that is gone when the test ends. */
export async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `gateway/main.ts` with a configuration in a folder, on free ports. It is killed when the test ends. */
export async function startGatewayProcess(
  t: TestContext,
  folder: string,
  config: GatewayConfig = {},
  port = 0,
): Promise<GatewayProcess> {
  const file = join(folder, 'selvage.json');
  const listen = { host: '127.0.0.1', port: 0 };
  await writeFile(
    file,
    JSON.stringify({
      store: `file:${join(folder, 'store')}`,
      ...config,
      listen: { ...listen, port, ...config.listen },
      admin: { ...listen, ...config.admin },
    }),
  );
  const child = spawn(process.execPath, [mainFile, '--config', file], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const lines: Record<string, unknown>[] = [];
  const addresses = Promise.withResolvers<{ url: string; adminUrl: string }>();
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
    const whole = text.split('\n');
    text = whole.pop() ?? '';
    for (const line of whole) {
      const entry = JSON.parse(line);
      lines.push(entry);
      if (entry.msg === 'listening') addresses.resolve(entry);
    }
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  child.once('exit', (code) => addresses.reject(new Error(`the gateway ended with ${code}: ${complaints}`)));
  const { url, adminUrl } = await addresses.promise;
  return {
    url,
    adminUrl,
    child,
    lines,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exit = once(child, 'exit');
      child.kill(signal);
      const [code] = await exit;
      return code as number | null;
    },
  };
}
