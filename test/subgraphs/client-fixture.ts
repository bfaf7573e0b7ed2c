/** A registration under test: its events, its timers, and the calls it makes. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type ClientEvent, type ClientTimers, type RegisterOptions, register } from '../../subgraphs/client.ts';

export const putService = 'PUT /services/products';
export const putInstance = 'PUT /services/products/instances/p-1';
export const drain = 'POST /services/products/instances/p-1/drain';
export const remove = 'DELETE /services/products/instances/p-1';

interface FakeTimer {
  readonly delayMs: number;
  readonly keepsAlive: boolean;
  fire(): void;
  isCancelled(): boolean;
}

/** Timers that fire when the test says so. */
function createFakeTimers(): ClientTimers & { next(): Promise<FakeTimer> } {
  const set: FakeTimer[] = [];
  let onSet = (): void => {};
  return {
    setTimer(callback, delayMs, keepsAlive = false) {
      let isCancelled = false;
      set.push({ delayMs, keepsAlive, fire: callback, isCancelled: () => isCancelled });
      onSet();
      return {
        cancel() {
          isCancelled = true;
        },
      };
    },
    async next() {
      while (set.length === 0) await new Promise<void>((resolve) => (onSet = resolve));
      const [timer] = set.splice(0, 1);
      assert.ok(timer);
      return timer;
    },
  };
}

/** Registers `products/p-1` with timers that the test fires. */
export function start(t: TestContext, options: Partial<RegisterOptions> & Pick<RegisterOptions, 'admin'>) {
  const events: ClientEvent[] = [];
  const timers = createFakeTimers();
  const registration = register({
    service: 'products',
    instance: { id: 'p-1', url: 'http://127.0.0.1:8080', weight: 2 },
    definition: { graphql: { path: '/graphql' } },
    drainOnSigterm: false,
    onEvent: (event) => events.push(event),
    timers,
    ...options,
  });
  t.after(() => {
    // The drain wait of a test that is over must not hold it up.
    void registration.deregister();
  });
  return { registration, events, timers };
}

export function typesOf(events: readonly ClientEvent[]): string[] {
  return events.map(({ type }) => type);
}
