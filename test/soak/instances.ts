/** The processes behind the gateway: each has a port for life, and as many lives as chaos wants. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type ServiceKind = 'rest' | 'items' | 'offers';

const program = fileURLToPath(new URL('instance.ts', import.meta.url));

export class ServiceProcess implements AsyncDisposable {
  readonly kind: ServiceKind;
  readonly #random: () => number;
  #port = 0;
  #child: ChildProcess | null = null;
  #calm = false;

  constructor(kind: ServiceKind, random: () => number) {
    this.kind = kind;
    this.#random = random;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** On the port that it had before, if it had one. */
  async start(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const seed = String(Math.floor(this.#random() * 1_000_000));
      const child = spawn(process.execPath, [program, this.kind, seed, String(this.#port)], {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      });
      const ready = once(child, 'message').then(([port]) => Number(port));
      const port = await Promise.race([ready, once(child, 'exit').then(() => null)]);
      if (port !== null) {
        this.#port = port;
        this.#child = child;
        if (this.#calm) this.calm(true);
        return;
      }
      if (attempt > 20) throw new Error(`a service does not start on port ${this.#port}`);
      await sleep(250);
    }
  }

  /** As kill -9 does it: the kernel closes what was open, nobody says goodbye. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** It answers nothing for a while, and does not know of it. */
  async freeze(ms: number): Promise<void> {
    const child = this.#child;
    child?.kill('SIGSTOP');
    await sleep(ms);
    child?.kill('SIGCONT');
  }

  /** Whether it answers well from now on, in its next lives too. */
  calm(isCalm: boolean): void {
    this.#calm = isCalm;
    this.#child?.send(isCalm ? 'calm' : 'chaos', () => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
