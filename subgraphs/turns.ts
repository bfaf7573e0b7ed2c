/** One after the other, each when its turn has come; after the end nobody new. */
import { GatewayError } from '../policies/errors.ts';

export class Turns {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isClosed = false;

  /** Those that wait for the one under way. */
  get waiting(): number {
    return this.#waiting;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  take<T>(job: () => Promise<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(unavailable('the gateway is shutting down'));
    this.#waiting += 1;
    const run = this.#tail.then(() => {
      this.#waiting -= 1;
      return job();
    });
    this.#tail = run.catch(() => {});
    return run;
  }

  /** Ends after those that have begun or wait. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tail;
  }
}

/** Not now: the caller may try again in a moment. */
export function unavailable(message: string, cause?: unknown): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfterSeconds: 1, cause });
}
