/** One process of the demo. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DemoChildOptions {
  /** Unique; also the name of its log. */
  readonly name: string;
  readonly port: number;
  /** The program, without extension: sources end in `.ts`, the published package in `.js`. */
  readonly program: URL;
  readonly argv?: readonly string[];
  /** What it is told beside the environment of this process; `undefined` takes a variable away. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
}

export interface DemoChild {
  readonly name: string;
  readonly port: number;
  readonly pid: number | undefined;
  readonly logFile: string;
  /** What starts it again, for a shell. */
  readonly command: string;
  /** Resolves with what ended it: an exit code, a signal, or an error. */
  readonly ended: Promise<string>;
  readonly isRunning: boolean;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL for those who do not listen. */
  stop(): Promise<void>;
}

const patienceMs = 8_000;
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Starts a process whose output goes to a file. */
export function startChild(options: DemoChildOptions): DemoChild {
  const { name, port, folder, argv = [] } = options;
  const file = fileURLToPath(`${options.program.href}${extension}`);
  const watch = new URL(`./parent-watch${extension}`, import.meta.url).href;
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, ['--import', watch, file, ...argv], {
    cwd: folder,
    // Node's own place for compiled code: from the second start on, half of the time is saved.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...process.env, ...options.environment },
    stdio: ['ignore', log, log, 'ipc'],
    // A group of its own: Ctrl+C goes to the demo alone, which ends the others in the right order.
    detached: true,
  });
  closeSync(log);
  let isRunning = true;
  const ended = new Promise<string>((resolve) => {
    const end = (what: string): void => {
      isRunning = false;
      resolve(what);
    };
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (isRunning) child.kill(signal);
  };
  return {
    name,
    port,
    pid: child.pid,
    logFile,
    command: formatCommand(options, file),
    ended,
    get isRunning() {
      return isRunning;
    },
    kill,
    async stop() {
      kill('SIGTERM');
      const timer = setTimeout(() => kill('SIGKILL'), patienceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function formatCommand({ environment, argv = [] }: DemoChildOptions, file: string): string {
  const variables = Object.entries(environment).flatMap(([key, value]) => (value ? [`${key}=${value}`] : []));
  return [...variables, nearest(process.execPath), nearest(file), ...argv].join(' ');
}

/** A path as one would type it here. */
function nearest(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : near;
}
