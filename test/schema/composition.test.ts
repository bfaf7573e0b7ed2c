import assert from 'node:assert/strict';
import test from 'node:test';
import { execute, subscribe } from '@graphql-tools/executor';
import { parse } from 'graphql';
import { GatewayError } from '../../policies/errors.ts';
import { buildGraphId, composeGraph } from '../../schema/composition.ts';
import { inventory, products, reviews } from './shop.ts';
import { buildService, federationLink, type SubgraphSource, startGraph } from './subgraph-server.ts';

const unreachable = async (): Promise<never> => assert.fail('nothing should be called');
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('entities of federated services join, with @requires', async () => {
  await using shop = await startGraph([products, reviews]);
  const result = await shop.run(
    '{ topProducts(first: 2) { name shippingEstimate reviews { body product { name } } } }',
  );
  assert.deepEqual(asJson(result), {
    data: {
      topProducts: [
        { name: 'Table', shippingEstimate: 50, reviews: [{ body: 'about 1', product: { name: 'Table' } }] },
        { name: 'Couch', shippingEstimate: 0, reviews: [{ body: 'about 2', product: { name: 'Couch' } }] },
      ],
    },
  });
});

test('a federated type has the fields of a plain service, looked up in one request whatever its order', async () => {
  await using shop = await startGraph([products, reviews, inventory]);
  const result = await shop.run('{ topProducts { name inStock warehouse { city } } }');
  assert.deepEqual(asJson(result), {
    data: {
      topProducts: [
        { name: 'Table', inStock: false, warehouse: { city: 'Kiel' } },
        { name: 'Couch', inStock: null, warehouse: null },
        { name: 'Glass', inStock: true, warehouse: { city: 'Ulm' } },
      ],
    },
  });
  const requests = shop.subgraphs.get('inventory')?.requests ?? [];
  assert.equal(requests.length, 1);
  assert.deepEqual(Object.values(requests[0]?.variables ?? {}), [['1', '2', '3']]);
});

test('a type of a plain service has the fields of federated ones', async () => {
  await using shop = await startGraph([products, reviews, inventory]);
  const result = await shop.run('{ firstInStock { name inStock shippingEstimate reviews { body } } }');
  assert.deepEqual(asJson(result), {
    data: { firstInStock: { name: 'Glass', inStock: true, shippingEstimate: 10, reviews: [{ body: 'about 3' }] } },
  });
});

test('a look-up of single objects serves a list with one request too', async () => {
  const single: SubgraphSource = {
    name: 'stock',
    sdl: 'type Query { stock(upc: String!): Product } type Product { upc: String! amount: Int }',
    resolvers: { Query: { stock: (_, { upc }) => ({ upc, amount: Number(upc) * 10 }) } },
    merge: { Product: { keyField: 'upc', fieldName: 'stock' } },
  };
  await using shop = await startGraph([products, single]);
  const result = await shop.run('{ topProducts { amount } }');
  assert.deepEqual(asJson(result), { data: { topProducts: [{ amount: 10 }, { amount: 20 }, { amount: 30 }] } });
  assert.equal(shop.subgraphs.get('stock')?.requests.length, 1);
});

test('stitching directives say the same as merge configuration, also when results come in another order', async () => {
  const declared: SubgraphSource = {
    ...inventory,
    sdl: `type Query { stockByUpc(upcs: [String!]!): [Product]! @merge(keyField: "upc") firstInStock: Product }
      type Product @key(selectionSet: "{ upc }") { upc: String! inStock: Boolean warehouse: Warehouse }
      type Warehouse { city: String }`,
  };
  const { merge: _, ...withoutMerge } = declared;
  await using shop = await startGraph([products, withoutMerge]);
  const result = await shop.run('{ topProducts { name inStock } firstInStock { name } }');
  assert.deepEqual(asJson(result), {
    data: {
      topProducts: [
        { name: 'Table', inStock: false },
        { name: 'Couch', inStock: null },
        { name: 'Glass', inStock: true },
      ],
      firstInStock: { name: 'Glass' },
    },
  });
  assert.doesNotMatch(shop.graph.publicSdl, /directive @|@merge|@key/);
});

test('plain services alone are stitched, with root types under names of their own', async () => {
  const books: SubgraphSource = {
    name: 'books',
    sdl: `schema { query: RootQuery mutation: Changes }
      type RootQuery { book: Book self: RootQuery } type Changes { rename(to: String!): Book } type Book { id: ID! title: String }`,
    resolvers: {
      RootQuery: { book: () => ({ id: 'b1', title: 'Emma' }), self: () => ({}) },
      Changes: { rename: (_, { to }) => ({ id: 'b1', title: to }) },
    },
  };
  const loans: SubgraphSource = {
    name: 'loans',
    sdl: 'type Query { loans(ids: [ID!]!): [Book] } type Book { id: ID! lentTo: String }',
    resolvers: { Query: { loans: (_, { ids }) => ids.map((id: string) => ({ id, lentTo: 'Ada' })) } },
    merge: { Book: { keyField: 'id', fieldName: 'loans' } },
  };
  const withLookUp: SubgraphSource = {
    ...books,
    sdl: books.sdl.replace('book: Book', 'book: Book bookById(id: ID!): Book'),
    merge: { Book: { keyField: 'id', fieldName: 'bookById' } },
  };
  await using library = await startGraph([withLookUp, loans]);
  assert.deepEqual(asJson(await library.run('{ book { title lentTo } }')), {
    data: { book: { title: 'Emma', lentTo: 'Ada' } },
  });
  assert.deepEqual(asJson(await library.run('mutation { rename(to: "Persuasion") { title lentTo } }')), {
    data: { rename: { title: 'Persuasion', lentTo: 'Ada' } },
  });
});

test('a service that is away costs only its own fields, with its code and the exact path', async () => {
  await using shop = await startGraph([products, reviews, inventory], { failing: ['inventory'] });
  const result = await shop.run(
    '{ topProducts(first: 2) { name inStock reviews { product { inStock } } } firstInStock { upc } }',
  );
  assert.deepEqual(asJson(result.data), {
    topProducts: [
      { name: 'Table', inStock: null, reviews: [{ product: { inStock: null } }] },
      { name: 'Couch', inStock: null, reviews: [{ product: { inStock: null } }] },
    ],
    firstInStock: null,
  });
  assert.deepEqual(result.errors?.map(({ path }) => path?.join('.')).toSorted(), [
    'firstInStock',
    'topProducts.0.inStock',
    'topProducts.0.reviews.0.product.inStock',
    'topProducts.1.inStock',
    'topProducts.1.reviews.0.product.inStock',
  ]);
  for (const error of result.errors ?? []) {
    let cause: unknown = error;
    while (cause instanceof Error && 'originalError' in cause && cause.originalError) cause = cause.originalError;
    assert.ok(cause instanceof GatewayError);
    assert.equal(cause.code, 'SERVICE_UNAVAILABLE');
    assert.equal(cause.service, 'inventory');
  }
});

test("a service's own errors keep message, code and place, and lose what is inside", async () => {
  const failing: SubgraphSource = {
    ...reviews,
    resolvers: {
      ...reviews.resolvers,
      Product: {
        ...reviews.resolvers?.['Product'],
        __resolveReference: (reference) => reference,
        reviews: ({ upc }) => {
          if (upc !== '2') return [];
          throw Object.assign(new Error('no reviews today'), {
            extensions: { code: 'CLOSED', stacktrace: ['at secret.js:1'], CRITICAL_ERROR: true, http: { status: 418 } },
          });
        },
      },
    },
  };
  await using shop = await startGraph([products, { ...failing, sdl: failing.sdl.replace('[Review!]!', '[Review!]') }]);
  const result = await shop.run('{ topProducts(first: 3) { name reviews { id } } }');
  assert.deepEqual(asJson(result), {
    data: {
      topProducts: [
        { name: 'Table', reviews: [] },
        { name: 'Couch', reviews: null },
        { name: 'Glass', reviews: [] },
      ],
    },
    errors: [
      {
        message: 'no reviews today',
        path: ['topProducts', 1, 'reviews'],
        extensions: { code: 'CLOSED', service: 'reviews' },
      },
    ],
  });
});

test('subscriptions are refused', async () => {
  const news: SubgraphSource = { name: 'news', sdl: 'type Query { a: Int } type Subscription { ticks: Int }' };
  const { schema } = composeGraph([buildService(news)], unreachable);
  const result = await subscribe({ schema, document: parse('subscription { ticks }'), contextValue: { gateway: {} } });
  assert.ok('errors' in result);
  const cause = result.errors?.[0]?.originalError;
  assert.ok(cause instanceof GatewayError);
  assert.equal(cause.code, 'BAD_REQUEST');
});

test('a request without its context reaches nobody, so that no two viewers can be batched', async () => {
  const graph = composeGraph([buildService(products)], unreachable);
  const result = (await execute({ schema: graph.schema, document: parse('{ topProducts { upc } }') })) as {
    errors?: unknown[];
  };
  assert.equal(result.errors?.length, 1);
});

test('no services make a graph with a placeholder, always the same', () => {
  const graph = composeGraph([], unreachable);
  assert.match(graph.publicSdl, /_empty: Boolean/);
  assert.equal(graph.supergraphSdl, '');
  assert.deepEqual(graph.services, []);
  assert.equal(graph.id, composeGraph([], unreachable).id);
});

test('the id depends on names, schemas and merge configuration, and not on any order', () => {
  const [one, two, three] = [products, reviews, inventory].map(buildService);
  assert.ok(one && two && three);
  const id = buildGraphId([one, two, three]);
  assert.match(id, /^[0-9a-f]{16}$/);
  assert.equal(buildGraphId([three, one, two]), id);
  const reordered = { Product: { keyArg: 'upcs', fieldName: 'stockByUpc', keyField: 'upc' } };
  assert.equal(buildGraphId([one, two, { ...three, merge: reordered }]), id);
  assert.notEqual(buildGraphId([one, two, { ...three, merge: undefined }]), id);
  assert.notEqual(buildGraphId([one, two]), id);
});

test('names that the supergraph writes in another form still find their service', async () => {
  await using shop = await startGraph([
    { ...products, name: 'my-Products2' },
    { ...reviews, name: 'MY_REVIEWS' },
    { ...inventory, name: 'MY_PRODUCTS2' },
  ]);
  const result = await shop.run('{ topProducts(first: 1) { name inStock reviews { id } } }');
  assert.deepEqual(asJson(result), {
    data: { topProducts: [{ name: 'Table', inStock: false, reviews: [{ id: 'r1' }] }] },
  });
  assert.deepEqual(shop.graph.services, ['MY_PRODUCTS2', 'MY_REVIEWS', 'my-Products2']);
});

test('a fragment on an interface in @requires, which composition wrongly calls unsatisfiable, composes', () => {
  const shapes = `interface Shape { name: String } interface Round implements Shape { name: String radius: Int }
    type Circle implements Shape & Round @shareable { name: String radius: Int }`;
  const things = `${federationLink} type Query { thing: Thing } type Thing @key(fields: "id") { id: ID! shape: Shape } ${shapes}`;
  const areas = `${federationLink} type Thing @key(fields: "id") { id: ID! shape: Shape @external
    area: Int @requires(fields: "shape { ... on Round { radius } }") } ${shapes}`;
  const services = [buildService({ name: 'things', sdl: things }), buildService({ name: 'areas', sdl: areas })];
  assert.match(composeGraph(services, unreachable).publicSdl, /area: Int/);
});
