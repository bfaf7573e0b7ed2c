/**
 * One request to the service for all who miss the same answer at once. What turned out not to be kept is remembered for a
 * moment, so that those who come after do not wait for one another.
 */
import { GatewayError } from './errors.ts';
import type { Departure } from './request-context.ts';

/** What became of a request that others waited for. */
export type FlightOutcome<T> =
  | { readonly kind: 'kept'; readonly value: T }
  /** The answer is for the one who asked. */
  | { readonly kind: 'pass' }
  | { readonly kind: 'failed'; readonly error: Error }
  /** Whoever asked has left before there was an answer. */
  | { readonly kind: 'left' };

export interface Flight<T> {
  /** Tells those who wait; only the first time counts. `remember`: nobody shall wait for this key for a moment. */
  end(outcome: FlightOutcome<T>, remember?: boolean): void;
}

export type Boarding<T> =
  | { readonly kind: 'lead'; readonly flight: Flight<T> }
  | { readonly kind: 'follow'; readonly outcome: Promise<FlightOutcome<T>> }
  /** It was tried a moment ago: what comes is not kept. */
  | { readonly kind: 'alone' };

export interface CacheFlights<T> {
  board(key: string): Boarding<T>;
}

export interface CacheFlightsOptions {
  /** @default performance.now */
  readonly now?: () => number;
  /** How long a key is remembered whose answer was not kept. @default 5_000 */
  readonly memoryMs?: number;
  /** Most of those keys. @default 10_000 */
  readonly maxRemembered?: number;
}

/** Creates what holds the flights of one process. */
export function createCacheFlights<T>(options: CacheFlightsOptions = {}): CacheFlights<T> {
  const { now = () => performance.now(), memoryMs = 5_000, maxRemembered = 10_000 } = options;
  const flights = new Map<string, Promise<FlightOutcome<T>>>();
  /** Until when; in the order of time. */
  const passing = new Map<string, number>();

  function remember(key: string): void {
    passing.delete(key);
    passing.set(key, now() + memoryMs);
    for (const [oldest, untilMs] of passing) {
      if (passing.size <= maxRemembered && untilMs > now()) break;
      passing.delete(oldest);
    }
  }

  return {
    board(key) {
      if ((passing.get(key) ?? 0) > now()) return { kind: 'alone' };
      const current = flights.get(key);
      if (current !== undefined) return { kind: 'follow', outcome: current };
      const { promise, resolve } = Promise.withResolvers<FlightOutcome<T>>();
      flights.set(key, promise);
      const end: Flight<T>['end'] = (outcome, remembers = false) => {
        if (flights.get(key) !== promise) return;
        flights.delete(key);
        if (remembers) remember(key);
        resolve(outcome);
      };
      return { kind: 'lead', flight: { end } };
    },
  };
}

export interface FlightPatience {
  readonly departure: Departure;
  /** Half of the time that is left is for doing it oneself. */
  readonly deadlineAtMs: number;
  /** The clock of the deadline. @default performance.now */
  readonly now?: () => number;
}

/** How long a request waits for another one that fetches the same: longer than a body of the usual size takes. */
const longestWaitMs = 5_000;

/** The outcome; or `pass` when that takes too long. Rejects when the client leaves. */
export async function waitForFlight<T>(
  outcome: Promise<FlightOutcome<T>>,
  { departure, deadlineAtMs, now = () => performance.now() }: FlightPatience,
): Promise<FlightOutcome<T>> {
  const { promise, resolve, reject } = Promise.withResolvers<FlightOutcome<T>>();
  const patienceMs = Math.min(longestWaitMs, (deadlineAtMs - now()) / 2);
  const timer = setTimeout(() => resolve({ kind: 'pass' }), Math.max(0, patienceMs));
  const unsubscribe = departure.subscribe(() => reject(new GatewayError('CLIENT_CLOSED_REQUEST')));
  try {
    return await Promise.race([outcome, promise]);
  } finally {
    clearTimeout(timer);
    unsubscribe();
  }
}
