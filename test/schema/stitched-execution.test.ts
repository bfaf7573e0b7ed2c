import assert from 'node:assert/strict';
import test from 'node:test';
import { execute } from '@graphql-tools/executor';
import { parse } from 'graphql';
import type { RequestContext } from '../../policies/request-context.ts';
import { composeGraph } from '../../schema/composition.ts';
import type { SubgraphExecutor, SubgraphRequest } from '../../schema/graph.ts';
import { inventory, products, reviews } from './shop.ts';
import { buildService, runQuery, startGraph } from './subgraph-server.ts';

const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('answers never cross viewers who ask the same at the same time', async () => {
  const call: SubgraphExecutor = async ({ service, query }, context) => {
    await new Promise((resolve) => setImmediate(resolve));
    const keys = service === 'products' ? { upc: '1', __typename: 'Product' } : {};
    const product = {
      ...keys,
      _selvage_upc: '1',
      name: `name for ${context.id}`,
      warehouse: { city: `city for ${context.id}` },
    };
    const field = /(\w+: )?(product|stockByUpc)/.exec(query);
    const key = field?.[1]?.replace(': ', '') ?? field?.[2] ?? '';
    return { data: { [key]: service === 'products' ? product : [product] } };
  };
  const graph = composeGraph([products, inventory].map(buildService), call);
  const document = parse('{ product(upc: "1") { name warehouse { city } } }');
  const ask = (id: string) =>
    execute({ schema: graph.schema, document, contextValue: { gateway: { id } as unknown as RequestContext } });
  const viewers = ['ann', 'bob', 'cid', 'dan'];
  const answers = await Promise.all(viewers.map(ask));
  assert.deepEqual(
    asJson(answers),
    viewers.map((id) => ({ data: { product: { name: `name for ${id}`, warehouse: { city: `city for ${id}` } } } })),
  );
});

test('several root fields of one service are one request, with the name of the operation', async () => {
  const requests: SubgraphRequest[] = [];
  const graph = composeGraph([buildService(products)], async (request) => {
    requests.push(request);
    return { data: null, errors: [] };
  });
  await runQuery(graph, 'query Shop { topProducts { upc } product(upc: "1") { name } }');
  assert.equal(requests.length, 1);
  assert.equal(requests[0]?.service, 'products');
  assert.equal(requests[0]?.operationName, 'Shop');
  assert.equal(requests[0]?.operationType, 'query');
});

test("keys and paths of a service's own making do not fail what it was asked for", async () => {
  const graph = composeGraph([buildService({ name: 'x', sdl: 'type Query { a: Int b: Int }' })], async ({ query }) => {
    const [, a = '', b = ''] = /(\w+): a\s+(\w+): b/.exec(query) ?? [];
    const errors = [
      { message: 'about b', path: [b] },
      { message: 'about something', path: ['nobody', 'asked'] },
    ];
    return { data: { [a]: 1, [b]: null, extra: 3 }, errors } as never;
  });
  const result = await runQuery(graph, '{ a b }');
  assert.deepEqual(asJson(result.data), { a: 1, b: null });
  assert.ok(result.errors?.some(({ message }) => message === 'about b'));
  assert.ok(result.errors?.every(({ path }) => path?.join() === 'b'));
});

test('fragments, variables, @include, __typename and mutations work across services', async () => {
  await using shop = await startGraph([products, reviews, inventory]);
  const result = await shop.run(
    `query ($upcs: [String!]!, $with: Boolean!) {
      stockByUpc(upcs: $upcs) { ...P reviews @include(if: $with) { id } skipped: reviews @skip(if: $with) { id } __typename }
    }
    fragment P on Product { inStock title: name }`,
    { upcs: ['1'], with: true },
  );
  assert.deepEqual(asJson(result), {
    data: { stockByUpc: [{ inStock: false, title: 'Table', reviews: [{ id: 'r1' }], __typename: 'Product' }] },
  });
});

test('a field that a client calls __proto__ changes no object, though stitching gives null for it', async () => {
  await using shop = await startGraph([products, reviews, inventory]);
  const result = await shop.run('{ __proto__: topProducts(first: 1) { constructor: name __proto__: inStock } }');
  assert.equal(JSON.stringify(result), '{"data":{"__proto__":[{"constructor":"Table","__proto__":null}]}}');
  assert.deepEqual(Object.keys(Object.prototype), []);
});
