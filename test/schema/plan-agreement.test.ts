import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFederation, describeErrors, down, runBoth } from './plan-fixture.ts';
import { shop } from './plan-shop.ts';

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
