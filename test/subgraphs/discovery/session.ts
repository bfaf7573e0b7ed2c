/** Runs one watch as the discovery would, and lets a test wait for what it reports. */
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { DiscoveredInstance, Watch } from '../../../subgraphs/discovery/provider.ts';

export interface TestSession {
  /** Every list that was reported. */
  readonly reports: (readonly DiscoveredInstance[])[];
  /** Pauses that the watch asked for, in milliseconds. */
  readonly pauses: number[];
  /** Waits until the last list fits. Rejects when the watch fails first. */
  until(fits: (instances: readonly DiscoveredInstance[]) => boolean): Promise<readonly DiscoveredInstance[]>;
  /** How the watch ended. */
  readonly ended: Promise<unknown>;
  stop(): void;
}

/** Starts a watch; it stops when the test ends. Pauses last as long as `pauseMs` says. */
export function startSession(t: TestContext, watch: Watch, pauseMs: (asked: number) => number = () => 20): TestSession {
  const ending = new AbortController();
  const reports: (readonly DiscoveredInstance[])[] = [];
  const pauses: number[] = [];
  const changes = new EventTarget();
  let failure: { error: unknown } | null = null;
  const ended = watch({
    signal: ending.signal,
    report(instances) {
      reports.push(instances);
      changes.dispatchEvent(new Event('change'));
    },
    async sleep(delayMs) {
      pauses.push(delayMs);
      await wait(pauseMs(delayMs), undefined, { signal: ending.signal });
    },
  }).then(
    () => null,
    (error: unknown) => {
      failure = { error };
      changes.dispatchEvent(new Event('change'));
      return error;
    },
  );
  t.after(async () => {
    ending.abort();
    await ended;
  });
  return {
    reports,
    pauses,
    ended,
    stop: () => ending.abort(),
    async until(fits) {
      for (;;) {
        const last = reports.at(-1);
        if (last !== undefined && fits(last)) return last;
        if (failure !== null) throw failure.error;
        await new Promise((resolve) => changes.addEventListener('change', resolve, { once: true }));
      }
    },
  };
}

/** Waits until something that nobody tells about is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(5);
}

/** What most tests are about. */
export function urlsOf(instances: readonly DiscoveredInstance[]): string[] {
  return instances.map(({ url }) => url).sort();
}
