import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GraphqlAnswer, startGateway, type TestGateway } from '../support/gateway.ts';
import { startSubgraph } from '../support/subgraph.ts';

// Invariant 2 under load: services come, change and go, and no operation is aborted.
// `CYCLES=1000 node --expose-gc --test test/e2e/registration-load.test.ts` is the long form, which also looks at the heap.

const cycles = Number(process.env['CYCLES'] ?? 50);
const collect: (() => void) | undefined = globalThis.gc;

const productSdl = 'type Query { top: Product } type Product @key(fields: "id") { id: ID! name: String }';
const reviewSdl = (extra: string) =>
  `type Query { count: Int ${extra} } type Product @key(fields: "id") { id: ID! stars: Int }`;

interface Load {
  readonly asked: number;
  /** Whole answers of operations that need the service which comes and goes. */
  readonly stitchedOver: number;
  /** Operations that began when the service was not there: refused before anything was executed. */
  readonly refused: number;
  readonly aborted: readonly GraphqlAnswer[];
}

test(`${cycles} cycles of registering, changing and removing a service under load abort no operation`, async (t) => {
  const gateway = await startGateway(t, { logging: { level: 'error' } });
  const products = await startSubgraph(t, productSdl, { Query: { top: () => ({ id: '1', name: 'Table' }) } });
  const resolvers = {
    Query: { count: () => 5 },
    Product: { __resolveReference: (product: object) => ({ ...product, stars: 5 }) },
  };
  const reviews = await startSubgraph(t, reviewSdl(''), resolvers);
  await put(gateway, '/services/products', { graphql: { schema: federatedSdl(productSdl) } });
  await put(gateway, '/services/products/instances/p-1', { url: products.url, leaseSeconds: 3_600 });
  await runCycles(gateway, reviews.url, 5); // what is loaded and cached once
  const heapBefore = measureHeap();

  const load = startLoad(gateway);
  const graphs = await runCycles(gateway, reviews.url, cycles);
  const { aborted, asked, stitchedOver, refused } = await load.end();

  assert.deepEqual(aborted.slice(0, 3), [], `${aborted.length} of ${asked} operations were aborted`);
  assert.ok(stitchedOver > 0, 'some operations needed the service that comes and goes');
  assert.ok(graphs >= cycles, 'every cycle made new graphs');
  for (const { requests } of [products, reviews]) requests.length = 0; // the stand-ins remember every request
  const heapAfter = measureHeap();
  const growth = heapBefore === undefined || heapAfter === undefined ? undefined : heapAfter / heapBefore - 1;
  t.diagnostic(
    JSON.stringify({ cycles, graphs, asked, stitchedOver, refused, heapBefore, heapAfter, growth: growth?.toFixed(3) }),
  );
});

/** Gives how often the graph became another one. */
async function runCycles(gateway: TestGateway, url: string, count: number): Promise<number> {
  let graphs = 0;
  let last = '';
  const note = ({ graph }: { graph: string }): void => {
    if (graph !== last) graphs++;
    last = graph;
  };
  for (let cycle = 0; cycle < count; cycle++) {
    // Definition and instance in one call: a graph with a service that has no instance yet is another matter.
    const define = (extra: string, id: string) =>
      put(gateway, '/services/reviews', {
        graphql: { schema: federatedSdl(reviewSdl(extra)) },
        instances: [{ id, url }],
      });
    note(await define('', 'r-1'));
    await put(gateway, '/services/reviews/instances/r-3', { url, leaseSeconds: 3_600 });
    await turns(3);
    note(await define(`changed${cycle % 7}: Int`, 'r-2'));
    assert.equal((await gateway.admin('DELETE', '/services/reviews/instances/r-3')).status, 204);
    await turns(3);
    assert.equal((await gateway.admin('DELETE', '/services/reviews')).status, 204);
    note((await gateway.admin('GET', '/graph')).body.id === last ? { graph: last } : { graph: `without ${cycle}` });
  }
  return graphs;
}

/** Lets the load run between two changes. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
}

function startLoad(gateway: TestGateway): { end(): Promise<Load> } {
  const load = { asked: 0, stitchedOver: 0, refused: 0, aborted: [] as GraphqlAnswer[] };
  let isOn = true;
  const ask = async (query: string, expected: object, mayBeRefused: boolean): Promise<void> => {
    while (isOn) {
      const answer = await gateway.graphql(query);
      load.asked++;
      const isWhole = answer.errors === undefined && JSON.stringify(answer.data) === JSON.stringify(expected);
      const isRefused = answer.errors?.[0]?.extensions['code'] === 'GRAPHQL_VALIDATION_FAILED';
      if (isWhole && mayBeRefused) load.stitchedOver++;
      else if (isRefused && mayBeRefused) load.refused++;
      else if (!isWhole) load.aborted.push(answer);
    }
  };
  const clients = [
    ask('{ top { name } }', { top: { name: 'Table' } }, false),
    ask('query Named { top { id name } }', { top: { id: '1', name: 'Table' } }, false),
    ask('{ top { name stars } }', { top: { name: 'Table', stars: 5 } }, true),
    ask('{ count }', { count: 5 }, true),
  ];
  return {
    async end() {
      isOn = false;
      await Promise.all(clients);
      return load;
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function put(gateway: TestGateway, path: string, body: object): Promise<any> {
  const answer = await gateway.admin('PUT', path, body);
  assert.ok(answer.status < 300, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

function federatedSdl(sdl: string): string {
  return `extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable"])\n${sdl}`;
}

function measureHeap(): number | undefined {
  if (collect === undefined) return undefined;
  for (let round = 0; round < 3; round++) collect();
  return process.memoryUsage().heapUsed;
}
