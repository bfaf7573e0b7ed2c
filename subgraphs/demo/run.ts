/** `npm start`: the gateway and services that register at it, each a process of its own, and what to try with them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DemoChild, startChild } from './child-process.ts';
import { waitUntilReady } from './readiness.ts';
import { type DemoStage, setStage } from './stage.ts';
import { buildObituary, buildTour } from './tour.ts';

export interface DemoOptions {
  /** The public port, or the next free one; 0 lets the system choose all ports. @default environment PORT, else 4000 */
  readonly port?: number;
  /** @default environment ADMIN_PORT, else 4001 */
  readonly adminPort?: number;
  /** Address of the public port. @default environment HOST, else 127.0.0.1 */
  readonly host?: string;
  /** The gateway's program, without extension. @default the gateway beside this folder */
  readonly gateway?: URL;
  /** How long to wait for the first answer. @default 60000 */
  readonly patienceMs?: number;
  /** Takes what is to be read. @default standard output */
  readonly write?: (text: string) => unknown;
}

/** A terminal signals its whole process group, and npm passes signals on: what comes so soon is the same signal. */
const sameSignalMs = 500;

/** Runs the demo until SIGINT, SIGTERM or SIGHUP. Throws when it cannot start. */
export async function runDemo(options: DemoOptions = {}): Promise<void> {
  const { write = (text: string) => process.stdout.write(text), patienceMs = 60_000 } = options;
  const { PORT, ADMIN_PORT, HOST } = process.env;
  const folder = await mkdtemp(join(tmpdir(), 'selvage-demo-'));
  const port = options.port ?? Number(PORT || 4000);
  const adminPort = options.adminPort ?? Number(ADMIN_PORT || 4001);
  const gateway = options.gateway ?? new URL('../../gateway/main', import.meta.url);
  const stage = await setStage({ port, adminPort, host: options.host ?? (HOST || '127.0.0.1'), folder, gateway });
  write('Starting the gateway and nine instances of five services ...\n');
  for (const note of describePorts(stage, port, adminPort)) write(`${note}\n`);

  // The gateway comes first, but nobody waits for it: services try until it is there, as in real life.
  const children = [stage.gateway, stage.tokens, ...stage.services].map(startChild);
  const ending = new AbortController();
  const releaseSignals = listenForSignals(ending, children);
  const deaths = children.map((child) => watchOver(child, ending, write));
  try {
    await waitForFirstAnswer(stage, children, ending.signal, patienceMs);
    write(buildTour(stage, children, performance.now()));
    // It also ends when there is nothing left to look after.
    await Promise.race([aborted(ending.signal), Promise.all(deaths)]);
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    ending.abort();
    write('\nStopping ...\n');
    await stopAll(children);
    releaseSignals();
  }
  await rm(folder, { recursive: true, force: true });
}

function describePorts({ url, adminUrl }: DemoStage, port: number, adminPort: number): readonly string[] {
  const say = (wanted: number, found: string, what: string): string[] =>
    port === 0 || new URL(found).port === String(wanted) ? [] : [`Port ${wanted} is busy: ${what} is at ${found}`];
  return [...say(port, url, 'the gateway'), ...say(adminPort, adminUrl, 'its admin port')];
}

/** Ends the demo at the first signal, and everything at once at the second. Gives the function that stops listening. */
function listenForSignals(ending: AbortController, children: readonly DemoChild[]): () => void {
  let endingSinceMs: number | undefined;
  const onSignal = (): void => {
    endingSinceMs ??= performance.now();
    if (performance.now() - endingSinceMs >= sameSignalMs) for (const child of children) child.kill('SIGKILL');
    ending.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}

async function watchOver(child: DemoChild, ending: AbortController, write: (text: string) => unknown): Promise<void> {
  const what = await child.ended;
  if (!ending.signal.aborted) write(buildObituary(child, what));
}

/** Throws when somebody dies before, or when it takes too long. */
async function waitForFirstAnswer(
  stage: DemoStage,
  children: readonly DemoChild[],
  ending: AbortSignal,
  patienceMs: number,
): Promise<void> {
  const failure = new AbortController();
  for (const { name, logFile, ended } of children) {
    void ended.then((what) => failure.abort(new Error(`${name} ended with ${what}; its log: ${logFile}`)));
  }
  const timer = setTimeout(() => {
    const logs = children.map(({ logFile }) => logFile).join('\n  ');
    failure.abort(new Error(`there is no answer across services after ${patienceMs} ms; the logs:\n  ${logs}`));
  }, patienceMs);
  try {
    const signal = AbortSignal.any([ending, failure.signal]);
    await waitUntilReady({ ...stage, instances: stage.services.map(({ name }) => name), signal });
  } finally {
    clearTimeout(timer);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** The services at first, so that they can deregister; the gateway at last. */
async function stopAll(children: readonly DemoChild[]): Promise<void> {
  const [gateway, ...others] = children;
  await Promise.all(others.map((child) => child.stop()));
  await gateway?.stop();
}

if (import.meta.main) {
  try {
    await runDemo();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
