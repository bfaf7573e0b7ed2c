import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startPlainGraphql, startSubgraph } from '../support/subgraph.ts';

// The server audit of the package graphql-http, whole, and what it leaves open.

let gateway: TestGateway;

test('the GraphQL door passes the audit of GraphQL over HTTP', async (t) => {
  gateway = await startGateway(t);
  const service = await startPlainGraphql(t, 'type Query { a: Int } type Mutation { b: Int }', {
    Query: { a: () => 1 },
    Mutation: { b: () => 2 },
  });
  await registerGraphql(gateway, 'plain', service.url);
  for (const audit of serverAudits({ url: `${gateway.url}/graphql`, fetchFn: fetch })) {
    await t.test(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', 'reason' in result ? result.reason : '');
    });
  }
});

test('queries come by GET, mutations do not', async (t) => {
  gateway = await startGateway(t);
  const service = await startPlainGraphql(t, 'type Query { a(x: Int): Int } type Mutation { b: Int }', {
    Query: { a: (_: unknown, { x }: { x: number }) => x },
    Mutation: { b: () => 2 },
  });
  await registerGraphql(gateway, 'plain', service.url);
  const get = (search: string) => fetch(`${gateway.url}/graphql?${search}`);
  const query = await get(
    `query=${encodeURIComponent('query($x:Int){a(x:$x)}')}&variables=${encodeURIComponent('{"x":7}')}`,
  );
  assert.deepEqual(await query.json(), { data: { a: 7 } });
  const mutation = await get(`query=${encodeURIComponent('mutation{b}')}`);
  assert.equal(mutation.status, 405);
  assert.equal(mutation.headers.get('allow'), 'POST');
  assert.equal((await fetch(`${gateway.url}/graphql`, { method: 'DELETE' })).status, 405);
});

test('forms and plain text, which any web page could post, are refused', async (t) => {
  gateway = await startGateway(t);
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x']) {
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: 'query={a}',
    });
    assert.equal(response.status, 415, type);
    assert.equal((await response.json()).errors[0].extensions.code, 'UNSUPPORTED_MEDIA_TYPE');
  }
});

test('introspection can be switched off', async (t) => {
  const open = await startGateway(t);
  assert.equal((await open.graphql('{ __schema { queryType { name } } }')).data.__schema.queryType.name, 'Query');
  const closed = await startGateway(t, { graphql: { introspection: false } });
  const { data, errors } = await closed.graphql('{ __schema { queryType { name } } }');
  assert.equal(data, undefined);
  assert.equal(errors?.[0]?.extensions['code'], 'GRAPHQL_VALIDATION_FAILED');
  assert.deepEqual((await closed.graphql('{ __typename }')).data, { __typename: 'Query' });
});

test('a batch is refused unless it is allowed, and bounded when it is', async (t) => {
  const post = (url: string, count: number) =>
    fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(Array.from({ length: count }, () => ({ query: '{ __typename }' }))),
    });
  const closed = await startGateway(t);
  assert.ok([400, 413].includes((await post(closed.url, 2)).status));
  const open = await startGateway(t, { graphql: { maxBatchSize: 3 } });
  assert.deepEqual(await (await post(open.url, 2)).json(), [
    { data: { __typename: 'Query' } },
    { data: { __typename: 'Query' } },
  ]);
  const tooMany = await post(open.url, 4);
  assert.equal(tooMany.status, 400);
  assert.equal((await tooMany.json()).errors[0].extensions.code, 'BATCH_TOO_LARGE');
});

test('every answer carries the request id, the client keeps its own when it is well-formed', async (t) => {
  gateway = await startGateway(t);
  const ask = async (id?: string) =>
    (await gateway.graphql('{ nothing }', id === undefined ? {} : { headers: { 'x-request-id': id } })).headers.get(
      'x-request-id',
    );
  assert.equal(await ask('order-4711'), 'order-4711');
  assert.match((await ask()) ?? '', /^[0-9a-f-]{36}$/);
  assert.notEqual(await ask('two words'), 'two words');
  assert.notEqual(await ask('x'.repeat(500)), 'x'.repeat(500));
});

test("the text of a service's errors passes or is masked, as configured", async (t) => {
  for (const subgraphErrors of ['pass', 'mask'] as const) {
    gateway = await startGateway(t, { graphql: { subgraphErrors } });
    const service = await startPlainGraphql(t, 'type Query { a: Int b: Int }', {
      Query: {
        b: () => 1,
        a() {
          throw new Error('row 7 is locked');
        },
      },
    });
    await registerGraphql(gateway, 'plain', service.url);
    const { status, data, errors } = await gateway.graphql('{ a b }');
    assert.equal(status, 200);
    assert.deepEqual(data, { a: null, b: 1 });
    assert.deepEqual(errors?.[0]?.path, ['a']);
    assert.equal(errors?.[0]?.extensions['service'], 'plain');
    assert.equal(errors?.[0]?.message === 'row 7 is locked', subgraphErrors === 'pass');
  }
});

test('aliases that are names of other fields mislead neither engine', async (t) => {
  for (const engine of ['auto', 'stitched'] as const) {
    gateway = await startGateway(t, { graphql: { engine } });
    const books = await startSubgraph(
      t,
      'type Query { book: Book } type Book @key(fields: "isbn") { isbn: ID! title: String }',
      {
        Query: { book: () => ({ isbn: '1', title: 'Emma' }) },
      },
    );
    const prices = await startSubgraph(
      t,
      'type Query { x: Int } type Book @key(fields: "isbn") { isbn: ID! price: String broken: Int }',
      {
        Book: {
          __resolveReference: ({ isbn }: { isbn: string }) => ({ isbn, price: `price of ${isbn}` }),
          broken() {
            throw new Error('no such thing');
          },
        },
      },
    );
    const stock = await startPlainGraphql(
      t,
      'type Query { booksByIsbn(isbns: [ID!]!): [Book] } type Book { isbn: ID! left: Int }',
      {
        Query: {
          booksByIsbn: (_: unknown, { isbns }: { isbns: string[] }) =>
            isbns.map((isbn) => ({ isbn, left: Number(isbn) })),
        },
      },
    );
    await registerGraphql(gateway, 'books', books.url);
    await registerGraphql(gateway, 'prices', prices.url);
    await registerGraphql(gateway, 'stock', stock.url, {
      merge: { Book: { keyField: 'isbn', fieldName: 'booksByIsbn' } },
    });
    const { data, errors } = await gateway.graphql('{ book { isbn: title title: price price: broken } }');
    assert.deepEqual(data, { book: { isbn: 'Emma', title: 'price of 1', price: null } }, engine);
    assert.deepEqual(
      errors?.map(({ path }) => path),
      [['book', 'price']],
      engine,
    );
    const merged = await gateway.graphql('{ book { isbn: title left } }');
    assert.deepEqual([merged.data, merged.errors], [{ book: { isbn: 'Emma', left: 1 } }, undefined], engine);
  }
});
