import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFederation, context, describeErrors, down, runBoth } from './plan-fixture.ts';
import { shop } from './plan-shop.ts';
import { federationLink, type SubgraphSource } from './subgraph-server.ts';

const heavy = `
  fragment User on User { id username name }
  fragment Review on Review { id body }
  fragment Product on Product { inStock name price shippingEstimate upc weight }
  query TestQuery {
    users { ...User reviews { ...Review product { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } } } }
    topProducts { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } }
  }`;

const operations: [query: string, variables?: Record<string, unknown>][] = [
  [heavy],
  ['{ __typename q: __typename me { name } }'],
  ['{ me { id a: name b: name reviews { t: __typename product { shippingEstimate } } } }'],
  ['query ($n: Int = 2) { topProducts(first: $n) { name inStock } }'],
  ['query ($n: Int = 2) { topProducts(first: $n) { name inStock } }', { n: 1 }],
  [
    'query ($a: Boolean!, $b: Boolean = true) { me { name @include(if: $a) reviews @skip(if: $b) { id } reviews @include(if: $a) { body } } }',
    { a: true, b: false },
  ],
  ['query ($a: Boolean!) { topProducts { upc ... @include(if: $a) { inStock reviews { id } } } }', { a: false }],
  [
    '{ topProducts { l: label m: label(size: 2) reviews { product { l: label(size: 3) } } } me { reviews { product { l: label } } } }',
  ],
  ['{ user(id: "nobody") { name reviews { id } } }'],
  ['{ __schema { queryType { name } } __type(name: "User") { n: name } me { name } }'],
  [
    'mutation { a: rename(upc: "1", name: "x") { name inStock } review(upc: "2") { product { name } } b: rename(upc: "3", name: "y") { name reviews { id } } }',
  ],
  ['{ latest { author { username name } product { upc reviews { author { reviews { id } } } } } }'],
];

for (const [query, variables] of operations) {
  test(`both engines answer the same: ${query.replace(/\s+/g, ' ').slice(0, 100)}`, async () => {
    const { errors } = await runBoth(composeFederation(shop), query, variables);
    assert.deepEqual(errors, []);
  });
}

for (const service of ['accounts', 'inventory', 'reviews']) {
  test(`both engines give the same errors in the same places while ${service} is down`, async () => {
    const { errors } = await runBoth(composeFederation(shop, { [service]: down }), heavy);
    assert.ok(errors.length > 0);
  });
}

test('what needed a field of a service that is down is not computed without it', async () => {
  const { data, errors } = await composeFederation(shop, { products: down }).runPlanned(
    '{ latest { product { name shippingEstimate } } }',
  );
  assert.deepEqual(data, { latest: { product: { name: null, shippingEstimate: null } } });
  assert.deepEqual(describeErrors(errors), [
    'latest.product.name SERVICE_UNAVAILABLE',
    'latest.product.shippingEstimate SERVICE_UNAVAILABLE',
  ]);
});

test('an error inside an entity stands in every place of the entity, and only where it was asked for', async () => {
  const hooks = {
    reviews: ({ query }: { query: string }) => {
      if (query.includes('latest')) return undefined;
      const key = /(\w+): *_entities/.exec(query)?.[1] ?? '_entities';
      const reviews = [{ id: 'r0', body: null }, null];
      return {
        data: {
          [key]: [
            { __typename: 'User', reviews },
            { __typename: 'User', reviews },
          ],
        },
        errors: [
          { message: 'torn', path: [key, 0, 'reviews', 0, 'body'], extensions: { code: 'TORN' } },
          { message: 'not asked for', path: [key, 0, 'secret'] },
        ],
      };
    },
  };
  const { data, errors } = await composeFederation(shop, hooks).runPlanned(
    '{ a: me { reviews { id body } } b: me { reviews { id body } } users { name } }',
  );
  assert.deepEqual(data, {
    a: { reviews: null },
    b: { reviews: null },
    users: [{ name: 'User 1' }, { name: 'User 2' }, { name: 'User 3' }],
  });
  assert.deepEqual(describeErrors(errors), [
    'a.reviews.0.body TORN',
    'a.reviews.1 undefined',
    'b.reviews.0.body TORN',
    'b.reviews.1 undefined',
  ]);
});

test('a masked error keeps its code and loses its text', async () => {
  const hooks = {
    accounts: () => ({ data: { me: null }, errors: [{ message: 'secret', path: ['me'], extensions: { code: 'X' } }] }),
  };
  const operation = composeFederation(shop, hooks).compile('{ me { name } }', { subgraphErrors: 'mask' });
  const { errors } = await operation.execute({}, context);
  assert.deepEqual(
    errors.map(({ message, path, extensions }) => ({ message, path, extensions })),
    [{ message: 'Service "accounts" reported an error', path: ['me'], extensions: { code: 'X', service: 'accounts' } }],
  );
});

const media: readonly SubgraphSource[] = [
  {
    name: 'media',
    sdl: `${federationLink}
      type Query { media: [Media] hit: Hit color: Color }
      interface Media @key(fields: "id") { id: ID! title: String }
      union Hit = Book | Secret
      enum Color { RED HIDDEN @inaccessible }
      type Book implements Media @key(fields: "id") { id: ID! title: String }
      type Film implements Media @key(fields: "id") { id: ID! title: String }
      type Secret implements Media @key(fields: "id") @inaccessible { id: ID! title: String }`,
    resolvers: {
      Query: {
        media: () =>
          ['Book', 'Secret', 'Film'].map((__typename, index) => ({ __typename, id: `${index}`, title: 't' })),
        hit: () => ({ __typename: 'Secret', id: '1' }),
        color: () => 'HIDDEN',
      },
      Media: {
        __resolveReference: ({ id }) => ({ __typename: ['Book', 'Secret', 'Film'][id], id, title: 't' }),
        __resolveType: ({ __typename }) => __typename,
      },
      Book: { __resolveReference: (reference) => reference },
    },
  },
  {
    name: 'ratings',
    sdl: `${federationLink.replace('"@key"', '"@key", "@interfaceObject"')}
      type Query { top: Media }
      type Media @key(fields: "id") @interfaceObject { id: ID! rating: Int }`,
    resolvers: {
      Query: { top: () => ({ id: '2' }) },
      Media: { __resolveReference: (reference) => reference, rating: ({ id }) => Number(id) },
    },
  },
];

test('interface objects, and types that clients must not know', async () => {
  const federation = composeFederation(media);
  const { data, errors } = await runBoth(
    federation,
    '{ media { __typename id title rating ... on Book { t: title } } hit { __typename } top { id rating title __typename ... on Film { t: title } } }',
  );
  assert.deepEqual(errors, []);
  assert.deepEqual((data as { media: unknown[] }).media[1], null);
  const { data: color, errors: colorErrors } = await federation.runPlanned('{ color }');
  assert.deepEqual([color, describeErrors(colorErrors)], [{ color: null }, ['color undefined']]);
});
