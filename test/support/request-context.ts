/** What the gateway knows of a request, for tests that have no gateway: an anonymous GET at the REST door, by default. */
import type { Departure, RequestContext } from '../../policies/request-context.ts';

export interface TestDeparture extends Departure {
  leave(): void;
}

/** A client that leaves when the test says so. */
export function createDeparture(): TestDeparture {
  const listeners = new Set<() => void>();
  let happened = false;
  return {
    get happened() {
      return happened;
    },
    subscribe(listener) {
      if (happened) listener();
      else listeners.add(listener);
      return () => listeners.delete(listener);
    },
    leave() {
      happened = true;
      for (const listener of listeners) listener();
      listeners.clear();
    },
  };
}

/** The context of one request, with ten seconds for it. */
export function createRequestContext(overrides: Partial<RequestContext> = {}): RequestContext {
  return {
    id: 'request-1',
    door: 'rest',
    method: 'GET',
    headers: {},
    client: { address: '192.0.2.1', protocol: 'http', host: 'shop.example', forwardedFor: '192.0.2.1' },
    viewer: null,
    deadlineAtMs: performance.now() + 10_000,
    departure: createDeparture(),
    rateLimit: null,
    atEnd() {},
    name: null,
    errorCode: null,
    attempts: [],
    ...overrides,
  };
}
