import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

// Plain operations take a short way through Yoga. Nobody outside can tell: the same request on the long way, which an
// `Accept` that says the same in other words leads to, has the same answer.

const bodies: readonly unknown[] = [
  { query: '{ a }' },
  { query: '{ a b }', variables: null },
  { query: '{ b }' },
  { query: '{ must }' },
  { query: '{ a, must }' },
  { query: '{ nothing }' },
  { query: '{ a ' },
  { query: 'query A { a } query B { b }' },
  { query: 'query A { a } query B { b }', operationName: 'A' },
  { query: 'query A { a } query B { b }', operationName: 'C' },
  { query: 'query ($x: Int!) { c(x: $x) }', variables: { x: 1 } },
  { query: 'query ($x: Int!) { c(x: $x) }', variables: { x: 'one' } },
  { query: 'query ($x: Int!) { c(x: $x) }', variables: [] },
  { query: '{ a }', variables: 'x' },
  { query: '{ a }', extensions: 1 },
  { query: '{ a }', operationName: 1 },
  { query: '{ a }', more: 1 },
  { query: '' },
  { query: 1 },
  {},
  { query: '{ closed }' },
  { query: 'mutation { d }' },
  { query: 'subscription { e }' },
  { query: '{ s: __typename subscription: a }' },
  { query: `{ ${'a '.repeat(20_000)} }` },
  [],
  [{ query: '{ a }' }],
  null,
  'text',
];

const otherWords = {
  'application/json': 'application/json; charset=utf-8',
  '*/*': '*/*;charset=utf-8',
  'application/graphql-response+json': 'application/graphql-response+json; charset=utf-8',
  'application/graphql-response+json, application/json': 'application/graphql-response+json , application/json',
};

test('the short way and the long way through Yoga give the same answers', async (t) => {
  const apiKeys = [{ name: 'ada', sha256: createHash('sha256').update('ada').digest('hex') }];
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const service = await startSubgraph(
    t,
    'type Query { a: Int b: Int c(x: Int!): Int must: Int! closed: Int @authenticated subscription: Int } type Mutation { d: Int }',
    {
      Query: {
        a: () => 1,
        b: () => Promise.reject(new Error('b is broken')),
        must: () => null,
        c: (_: unknown, { x }: { x: number }) => x,
      },
      Mutation: { d: () => 4 },
    },
  );
  await registerGraphql(gateway, 'service', service.url);
  const post = async (accept: string, body: string) => {
    const headers = { 'content-type': 'application/json', accept, 'x-request-id': 'same' };
    const response = await fetch(`${gateway.url}/graphql`, { method: 'POST', headers, body });
    const { date: _, ...fields } = Object.fromEntries(response.headers);
    return { status: response.status, fields, body: await response.text() };
  };
  for (const [short, long] of Object.entries(otherWords)) {
    for (const body of [...bodies.map((value) => JSON.stringify(value)), '{"query":', '']) {
      const [one, other] = [await post(short, body), await post(long, body)];
      assert.deepEqual(one, other, `${short} ${body.slice(0, 100)}`);
    }
  }
});
