/** `@context` and `@fromContext` (federation 2.8): composed, and not yet planned. */
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

test('an argument from a context is in the supergraph and not for clients', () => {
  const { supergraphSdl, publicSdl } = composeFixture(shop);
  assert.match(supergraphSdl, /@context\(name: "a__buyer"\)/);
  assert.match(
    supergraphSdl,
    /contextArguments: \[{name: "currency", type: "String", context: "a__buyer", selection: " ?{ currency }"}\]/,
  );
  assert.match(publicSdl, /total: String!/);
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
