/** The real `selvage` command, as a process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The file behind the command. */
export const binFile = fileURLToPath(new URL('../../gateway/bin/selvage.js', import.meta.url));

export interface CommandOutcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly admin: string;
  readonly stdin?: string;
  readonly directory?: string | undefined;
  readonly environment?: NodeJS.ProcessEnv;
}

/** Runs a command to its end. */
export async function runSelvage(argv: readonly string[], options: CommandOptions): Promise<CommandOutcome> {
  const child = spawn(process.execPath, [binFile, ...argv], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, SELVAGE_ADMIN: options.admin, ...options.environment },
    cwd: options.directory,
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  child.stdin.end(options.stdin ?? '');
  const [code] = await once(child, 'close');
  return { code, ...output };
}

/** The command bound to a gateway: what a test says is what an operator types. */
export function bindSelvage(options: CommandOptions) {
  return (line: string, more: Partial<CommandOptions> = {}): Promise<CommandOutcome> =>
    runSelvage(line.split(' '), { ...options, ...more });
}

/** A command that goes on until it is told to end; it is killed when the test ends. */
export function startSelvage(t: TestContext, argv: readonly string[], options: CommandOptions) {
  const child = spawn(process.execPath, [binFile, ...argv], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, SELVAGE_ADMIN: options.admin, ...options.environment },
    cwd: options.directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, ended, output: () => output };
}
