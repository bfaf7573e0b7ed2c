/** `selvage` without a command: the life of the process from start to its last signal. */

import { GatewayError } from '../policies/errors.ts';
import { hashContent } from '../subgraphs/content-hash.ts';
import { describeFailure } from './cli-failure.ts';
import { type LoadConfigOptions, type LoadedConfig, loadConfig } from './config-file.ts';
import type { GatewayConfig } from './config-schema.ts';
import { type ConfigWatch, watchConfig } from './config-watch.ts';

/** What the command needs of a gateway. */
export interface RunnableGateway {
  start(): Promise<unknown>;
  stop(): Promise<void>;
  reload(config: GatewayConfig): void | Promise<void>;
}

/** The process, as far as the command deals with it. */
export interface ProcessEvents {
  on(event: string, listener: (detail: unknown) => void): unknown;
  off(event: string, listener: (detail: unknown) => void): unknown;
  exit(code: number): void;
}

export interface RunGatewayOptions {
  readonly config: LoadConfigOptions;
  readonly createGateway: (config: GatewayConfig) => RunnableGateway;
  readonly process: ProcessEvents;
  /** Takes one JSON line. */
  readonly write: (line: string) => unknown;
  /** @default performance.now */
  readonly now?: () => number;
}

/**
 * A terminal signals its whole process group, and npm and `bin/selvage.js` pass signals on: what comes so soon after
 * the first is the same signal, not an impatient second one.
 */
const sameSignalMs = 500;
const exitCodeOfImpatience = 130;

/** Runs a gateway until it is told to stop. Resolves with the exit code. Throws when it cannot start. */
export async function runGateway(options: RunGatewayOptions): Promise<number> {
  const { now = () => performance.now() } = options;
  const log = createLineLog(options.write);
  const loaded = await loadConfig(options.config);
  const gateway = options.createGateway(loaded.config);
  const stopped = Promise.withResolvers<number>();
  let stoppingSinceMs: number | undefined;

  const stop = (): void => {
    if (stoppingSinceMs !== undefined) {
      if (now() - stoppingSinceMs >= sameSignalMs) options.process.exit(exitCodeOfImpatience);
      return;
    }
    stoppingSinceMs = now();
    gateway.stop().then(() => stopped.resolve(0), stopped.reject);
  };
  const reload = createReload(options.config, gateway, log);
  const listeners: [string, (detail: unknown) => void][] = [
    ['SIGTERM', stop],
    ['SIGINT', stop],
    ['SIGHUP', () => void reload()],
    // Nothing shared can be half done in a promise that nobody awaited, so the requests in flight need not suffer.
    ['unhandledRejection', (reason) => log('error', 'a promise was rejected and nobody handled it', reason)],
    [
      'uncaughtException',
      (error) => {
        log('fatal', 'an exception was not caught', error);
        options.process.exit(1);
      },
    ],
  ];
  for (const [event, listener] of listeners) options.process.on(event, listener);
  let watch: ConfigWatch | undefined;
  try {
    // A signal may come before the start is through: that it ended it is no failure.
    const started = gateway.start().catch((error: unknown) => {
      if (stoppingSinceMs === undefined) throw error;
    });
    await Promise.race([started, stopped.promise]);
    watch = await watchFile(loaded, reload);
    return await stopped.promise;
  } finally {
    await watch?.close();
    for (const [event, listener] of listeners) options.process.off(event, listener);
  }
}

const emptyHash = hashContent(Buffer.alloc(0));

/** Changes go through one door, the file's as well as the signal's, one after another. */
function createReload(config: LoadConfigOptions, gateway: RunnableGateway, log: LineLog): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  async function reload(): Promise<void> {
    try {
      const { config: next, hash } = await loadConfig(config);
      // Whoever writes a file in place empties it first. To believe that would take every service away meanwhile.
      if (hash === emptyHash) throw new GatewayError('BAD_REQUEST', 'The configuration file is empty');
      await gateway.reload(next);
      log('info', 'the configuration was loaded again');
    } catch (error) {
      log('error', 'the configuration was refused; the one before stays in force', error);
    }
  }
  return () => {
    last = last.then(reload);
    return last;
  };
}

async function watchFile(loaded: LoadedConfig, reload: () => Promise<void>): Promise<ConfigWatch | undefined> {
  if (loaded.file === undefined) return undefined;
  return await watchConfig({
    file: loaded.file,
    hash: loaded.hash,
    load: async () => undefined,
    onChange: reload,
    onError: () => {},
  });
}

type LineLog = (level: 'info' | 'error' | 'fatal', message: string, failure?: unknown) => void;

/** The few lines that the process itself says, in the form of the gateway's log. */
function createLineLog(write: RunGatewayOptions['write']): LineLog {
  return (level, msg, failure) => {
    const detail = failure === undefined ? {} : { detail: describeFailure(failure) };
    write(`${JSON.stringify({ level, time: new Date().toISOString(), msg, ...detail })}\n`);
  };
}
