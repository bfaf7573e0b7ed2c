/** Requests through both doors to services whose connections break at random bytes, and how often each has arrived. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGateway } from '../../gateway/gateway.ts';
import { createRandom } from '../support/random.ts';
import { federated } from '../support/subgraph.ts';
import { type Arrivals, startFaultyService } from './faulty-service.ts';

export interface FaultsOptions {
  /** Mutations and POSTs together. */
  readonly requests: number;
  readonly seed: number;
  /** @default 24 */
  readonly concurrency?: number;
}

export interface FaultsReport {
  /** How many of the mutations and POSTs reached a service how often. */
  readonly arrivals: ReadonlyMap<number, number>;
  /** Those that did more than once. */
  readonly repeated: readonly string[];
  /** The same for queries and GETs that were sent in between, which may be repeated. */
  readonly safeRepeated: number;
  readonly outcomes: ReadonlyMap<string, number>;
}

const sdl = 'type Query { count: Int } type Mutation { bump(text: String): Int }';

/** Runs the requests at a gateway of their own. */
export async function runFaults({ requests, seed, concurrency = 24 }: FaultsOptions): Promise<FaultsReport> {
  const random = createRandom(seed);
  const arrivals: Arrivals = new Map();
  await using stack = new AsyncDisposableStack();
  const instances = await Promise.all([0, 1, 2].map(() => startFaultyService(arrivals, random)));
  for (const instance of instances) stack.use(instance);
  const gateway = createGateway({
    store: 'memory',
    logging: { level: 'silent' },
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    shutdown: { delay: '0s', grace: '1s' },
    policies: {
      timeout: '2s',
      retry: { attempts: 5, budget: '100%' },
      // It shall try as hard as it may: nothing is taken out for being broken.
      circuitBreaker: { minimumCalls: 10_000 },
      hedging: { budget: '100%', minimumDelay: '1ms' },
    },
    services: {
      faulty: {
        graphql: { kind: 'federation', schema: federated(sdl) },
        routes: [{ match: { path: '/faulty/*' } }],
        instances: instances.map(({ url }) => ({ url })),
      },
    },
  });
  stack.defer(() => gateway.stop());
  const { url } = await gateway.start();
  const outcomes = new Map<string, number>();
  const unsafe: string[] = [];
  const safe: string[] = [];
  let next = 0;
  async function work(): Promise<void> {
    while (next < requests) {
      const id = `unsafe-${next++}`;
      unsafe.push(id);
      const outcome = await (random() < 0.5 ? post(url, id, random) : mutate(url, id, random));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (random() < 0.3) {
        safe.push(`safe-${safe.length}`);
        await (random() < 0.5 ? get(url, safe.at(-1) ?? '') : query(url, safe.at(-1) ?? ''));
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work));
  // What is on its way to a service when its client has an answer already.
  await sleep(200);
  const counts = new Map<number, number>();
  for (const id of unsafe) {
    const times = arrivals.get(id) ?? 0;
    counts.set(times, (counts.get(times) ?? 0) + 1);
  }
  return {
    arrivals: counts,
    repeated: unsafe.filter((id) => (arrivals.get(id) ?? 0) > 1),
    safeRepeated: safe.filter((id) => (arrivals.get(id) ?? 0) > 1).length,
    outcomes,
  };
}

type Random = () => number;

/** By a body of a known length, or by a stream. */
function post(url: string, id: string, random: Random): Promise<string> {
  const text = 'x'.repeat(Math.floor(random() * 3_000));
  const isStream = random() < 0.4;
  const body = isStream ? Readable.toWeb(Readable.from([text.slice(0, 10), text.slice(10)].filter(Boolean))) : text;
  return send(
    `${url}/faulty/x`,
    { method: 'POST', body, ...(isStream && { duplex: 'half' }) } as RequestInit,
    id,
    'POST',
  );
}

function mutate(url: string, id: string, random: Random): Promise<string> {
  const text = 'x'.repeat(Math.floor(random() * 1_500));
  return ask(url, id, `mutation { bump(text: "${text}") }`);
}

function query(url: string, id: string): Promise<string> {
  return ask(url, id, '{ count }');
}

function get(url: string, id: string): Promise<string> {
  return send(`${url}/faulty/x`, {}, id, 'GET');
}

function ask(url: string, id: string, text: string): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  return send(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query: text }) }, id, 'GraphQL');
}

async function send(url: string, init: RequestInit, id: string, kind: string): Promise<string> {
  try {
    const response = await fetch(url, { ...init, headers: { ...init.headers, 'x-request-id': id } });
    const text = await response.text();
    const code = /"code":"(\w+)"/.exec(text)?.[1];
    return `${kind} ${response.status}${code === undefined ? '' : ` ${code}`}`;
  } catch {
    return `${kind} truncated`;
  }
}
