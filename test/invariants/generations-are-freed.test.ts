import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createGateway } from '../../gateway/gateway.ts';
import { startPlainGraphql, startSubgraph } from '../support/subgraph.ts';

// A generation that no request needs any more costs nothing: the heap after many swaps under load is that of a few.

/** `SELVAGE_SWAPS=1000` for the long run. */
const swaps = Number(process.env['SELVAGE_SWAPS'] ?? 200);
const warmUpSwaps = 100;
const tolerance = 0.05;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

for (const engine of ['auto', 'stitched'] as const) {
  test(`memory of drained generations is freed, ${engine}`, { timeout: 600_000 }, async (t) => {
    const gateway = createGateway(
      {
        store: 'memory',
        listen: { host: '127.0.0.1', port: 0 },
        admin: { host: '127.0.0.1', port: 0 },
        graphql: { engine },
        shutdown: { grace: '2s' },
      },
      { logDestination: { write() {} } },
    );
    t.after(() => gateway.stop());
    const { url, adminUrl } = await gateway.start();
    const products = await startSubgraph(
      t,
      'type Query { top: Product } type Product @key(fields: "id") { id: ID! name: String }',
      { Query: { top: () => ({ id: '1', name: 'Table' }) } },
    );
    const reviews = await startSubgraph(
      t,
      'type Query { count: Int } type Product @key(fields: "id") { id: ID! stars: Int }',
      {
        Product: { __resolveReference: (product: object) => ({ ...product, stars: 5 }) },
      },
    );
    const plain = await startPlainGraphql(t, 'type Query { clock: Int }', { Query: { clock: () => 12 } });
    await put(adminUrl, 'products', { graphql: {}, instances: [{ url: products.url }] });
    await put(adminUrl, 'reviews', { graphql: {}, instances: [{ url: reviews.url }] });
    await put(adminUrl, 'plain', { graphql: {}, instances: [{ url: plain.url }] });

    let swapping = true;
    let asked = 0;
    const clients = Array.from({ length: 2 }, async () => {
      while (swapping) {
        const body = JSON.stringify({ query: '{ top { name stars } clock }' });
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
        assert.deepEqual(await answer.json(), { data: { top: { name: 'Table', stars: 5 }, clock: 12 } });
        asked++;
        // The services keep what they were asked; that is no memory of the gateway.
        for (const { requests } of [products, reviews, plain]) requests.length = 0;
        await nextTurn();
      }
    });
    const swap = (number: number) =>
      put(adminUrl, 'changing', { graphql: { schema: `type Query { extra${number}: Int }`, kind: 'plain' } });

    for (let number = 0; number < warmUpSwaps; number++) await swap(number);
    const before = await measureHeap();
    for (let number = warmUpSwaps; number < swaps; number++) await swap(number);
    const after = await measureHeap();
    swapping = false;
    await Promise.all(clients);

    const growth = after / before - 1;
    const all = toMegabytes(process.memoryUsage().heapUsed);
    const figures = `objects: ${toMegabytes(before)} after ${warmUpSwaps} swaps, ${toMegabytes(after)} after ${swaps}, ${asked} queries; ${all} with code`;
    t.diagnostic(figures);
    assert.ok(growth < tolerance, figures);
  });
}

/** The least of several, as the load goes on meanwhile. */
async function measureHeap(): Promise<number> {
  const sizes: number[] = [];
  for (let round = 0; round < 8; round++) {
    collectGarbage();
    await nextTurn();
    collectGarbage();
    sizes.push(measureObjects());
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return Math.min(...sizes);
}

/** Without code: what V8 makes of functions as they become hot grows for minutes, and is nobody's generation. */
function measureObjects(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => !/code|trusted/.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

async function put(adminUrl: string, service: string, definition: object): Promise<void> {
  const answer = await fetch(`${adminUrl}/services/${service}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(definition),
  });
  assert.ok(answer.status < 300, await answer.text());
}

function toMegabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
