/** `@context` and `@fromContext` (federation 2.8): the composing library knows them, the planner does not. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, link, refuseFixture, type Subgraphs } from './fixture.ts';

const shop: Subgraphs = {
  a: {
    sdl: `${link('2.8', '@key', '@context', '@fromContext')}
      type Query { user: User! }
      type User @key(fields: "id") @context(name: "buyer") { id: ID! currency: String! cart: Cart! }
      type Cart @key(fields: "id") { id: ID! total(currency: String @fromContext(field: "$buyer { currency }")): String! }`,
  },
  b: { sdl: `${link('2.8', '@key')} type Cart @key(fields: "id") { id: ID! items: Int }` },
};

test('an argument from a context is refused: nobody would give it its value', () => {
  assert.deepEqual(refuseFixture(shop), [
    {
      message: 'An argument of "Cart.total" has its value @fromContext, which is not supported',
      service: 'a',
      type: 'Cart',
      field: 'total',
      code: 'UNSUPPORTED_FEATURE',
    },
  ]);
});

test('a context that no argument takes anything from is none', () => {
  const { publicSdl } = composeFixture({
    a: {
      sdl: `${link('2.8', '@key', '@context')} type Query { user: User! } type User @context(name: "buyer") { currency: String! }`,
    },
  });
  assert.match(publicSdl, /currency: String!/);
});

test('a context that nobody sets is refused', () => {
  const [reason] = refuseFixture({
    a: {
      sdl: `${link('2.8', '@key', '@context', '@fromContext')} type Query { cart: Cart! }
        type Cart @key(fields: "id") { id: ID! total(currency: String @fromContext(field: "$buyer { currency }")): String! }`,
    },
  });
  assert.equal(reason?.code, 'CONTEXT_NOT_SET');
  assert.equal(reason?.service, 'a');
});
