/** One life of the process that plans: started, spoken to, and gone. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { PlannerAnswer, PlannerMessage } from './planner-process.ts';

/** How a process ended. */
export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Where its native code panicked, when it said so: file, line and column, nothing of the document. */
  readonly panickedAt: string | undefined;
}

export interface PlannerChildListener {
  onAnswer(answer: PlannerAnswer): void;
  /** Once, and after the last answer. */
  onDeath(death: Death): void;
}

export interface PlannerChild {
  readonly pid: number | undefined;
  send(message: PlannerMessage): void;
  kill(): void;
  /** While it is held, the child keeps this process alive; otherwise it never does. */
  hold(held: boolean): void;
}

const maxStderrLength = 4_000;

/** The program beside this file: sources end in `.ts`, the published package in `.js`. */
export const plannerProgram = new URL(
  `./planner-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);

/** Starts the process. Every failure, also that of starting, is a death. */
export function startPlannerChild(program: URL, listener: PlannerChildListener): PlannerChild {
  // A debugger's port, a preloaded module: what the gateway was started with is not meant for its child.
  const { NODE_OPTIONS: _, NODE_V8_COVERAGE: __, ...env } = process.env;
  const child = fork(fileURLToPath(program), [], { execArgv: [], env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-maxStderrLength);
  });
  child.on('message', (answer) => listener.onAnswer(answer as PlannerAnswer));
  let dead = false;
  const die = (code: number | null, signal: NodeJS.Signals | null): void => {
    if (dead) return;
    dead = true;
    listener.onDeath({ code, signal, panickedAt: /panicked at ([\w./-]+:\d+:\d+)/.exec(stderr)?.[1] });
  };
  child.once('error', () => die(null, null));
  // Not `exit`: that may come before the last answer was read.
  child.once('close', die);
  const held = [child, child.channel, child.stderr as { ref?(): void; unref?(): void } | null];
  const hold = (holds: boolean): void => {
    for (const handle of held) {
      if (holds) handle?.ref?.();
      else handle?.unref?.();
    }
  };
  hold(false);
  return {
    pid: child.pid,
    // A child that is gone already makes itself known by its death.
    send: (message) => void child.send(message, () => {}),
    kill: () => void child.kill('SIGKILL'),
    hold,
  };
}
