import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSchema, introspectionFromSchema, isSpecifiedDirective } from 'graphql';
import { composeGraph } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import { inventory, products } from './shop.ts';
import { buildService, startGraph } from './subgraph-server.ts';

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@key", "@inaccessible", "@tag", "@shareable", "@requiresScopes", "@policy", { name: "@authenticated", as: "@signedIn" }])\n';

const accounts = {
  name: 'accounts',
  sdl: `${link}
    type Query { me(trace: Boolean @inaccessible): User @signedIn internal: Int @inaccessible node: Node }
    interface Node { id: ID! }
    type User implements Node @key(fields: "id") @key(fields: "internalId") @tag(name: "x") {
      id: ID! internalId: ID! @inaccessible
      email: String @requiresScopes(scopes: [["profile:read"], ["admin", "support"]])
      salary: Int @policy(policies: [["hr"]])
      level: Level
    }
    type Hidden @inaccessible { a: Int }
    enum Level { LOW HIGH SECRET @inaccessible }
    input Filter { a: Int b: Int @inaccessible }
    type Mutation { find(filter: Filter): Int }
    "A number of cents."
    scalar Cents @specifiedBy(url: "https://example.com/cents") @requiresScopes(scopes: [["money"]])
    type Account @signedIn { balance: Cents old: Int @deprecated(reason: "gone") }
    extend type Query { account: Account }`,
  resolvers: {
    Query: { me: () => ({ id: '1', internalId: 'i1', email: 'a@b' }) },
    User: { __resolveReference: (reference: unknown) => reference },
  },
};

const badges = {
  name: 'badges',
  sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@inaccessible"])
    type User @key(fields: "internalId") { internalId: ID! @inaccessible badge: String }`,
  resolvers: {
    User: {
      __resolveReference: (reference: unknown) => reference,
      badge: ({ internalId }: { internalId: string }) => `badge of ${internalId}`,
    },
  },
};

const plain = {
  name: 'billing',
  sdl: `directive @cost(weight: Int) on FIELD_DEFINITION
    directive @authenticated on OBJECT | FIELD_DEFINITION
    type Query { invoice: Invoice @cost(weight: 3) debug: Int @inaccessible }
    type Invoice @authenticated { total: Int @requiresScopes(scopes: "billing") lines: [String] }`,
};

test('clients see the API, and nothing of how it is put together', () => {
  const graph = composeGraph([accounts, badges, plain, products, inventory].map(buildService), async () => ({}));
  assert.doesNotMatch(
    graph.publicSdl,
    /join__|link__|core__|federation__|_Any|_Entity|_Service|_entities|Scope|Policy|directive @|@key|@tag|@cost|signedIn|inaccessible/,
  );
  assert.doesNotMatch(graph.publicSdl, /internal|Hidden|SECRET|trace|debug|\bb: Int/);
  assert.match(graph.publicSdl, /scalar Cents @specifiedBy\(url: "https:\/\/example.com\/cents"\)/);
  assert.match(graph.publicSdl, /old: Int @deprecated\(reason: "gone"\)/);
  assert.match(graph.publicSdl, /email: String/);
  assert.ok(graph.schema.getDirectives().every(isSpecifiedDirective));
  const seen = JSON.stringify(introspectionFromSchema(graph.schema));
  assert.doesNotMatch(seen, /join__|link__|_Any|_entities|Scope|internalId|SECRET/);
});

test('directives that close something count under every name that a document gives them', () => {
  const federated = {
    name: 'federated',
    sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@key", { name: "@requiresScopes", as: "@needs" }, { name: "@inaccessible", as: "@hidden" }])
      type Query { a: Int @needs(scopes: [["a"]]) b: Int @federation__authenticated c: Int @hidden }`,
  };
  const other = {
    name: 'other',
    sdl: `schema @link(url: "https://specs.apollo.dev/authenticated/v0.1", as: "signedIn") { query: Root }
      extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", as: "fed", import: [{ name: "@inaccessible", as: "@hidden" }])
      type Root { d: Int @signedIn e: Int @fed__requiresScopes(scopes: ["e"]) f: Int @hidden }`,
  };
  const services = [buildService(federated), { name: 'other', schema: parseGivenSchema(other.sdl, 'plain') }];
  const { publicSdl, requirements } = composeGraph(services, async () => ({}));
  assert.equal(publicSdl, 'type Query {\n  a: Int\n  b: Int\n  d: Int\n  e: Int\n}');
  assert.deepEqual(Object.fromEntries(requirements), {
    'Query.a': { authenticated: true, scopes: [[['a']]] },
    'Query.b': { authenticated: true, scopes: [] },
    'Query.d': { authenticated: true, scopes: [] },
    'Query.e': { authenticated: true, scopes: [[['e']]] },
  });
});

test('the public SDL is a schema, sorted, and the same for the same services', () => {
  const services = [accounts, badges, plain, products].map(buildService);
  const { publicSdl } = composeGraph(services, async () => ({}));
  assert.equal(publicSdl, composeGraph(services.toReversed(), async () => ({})).publicSdl);
  assert.doesNotThrow(() => buildSchema(publicSdl));
});

test('a key that clients cannot see still joins services', async () => {
  await using company = await startGraph([accounts, badges]);
  const result = await company.run('{ me { badge } }');
  assert.deepEqual(JSON.parse(JSON.stringify(result)), { data: { me: { badge: 'badge of i1' } } });
});

test('requirements are read off both kinds of services, under any name of the directives', () => {
  const { requirements } = composeGraph([accounts, badges, plain].map(buildService), async () => ({}));
  assert.deepEqual(Object.fromEntries([...requirements].toSorted()), {
    Account: { authenticated: true, scopes: [] },
    Cents: { authenticated: true, scopes: [[['money']]] },
    Invoice: { authenticated: true, scopes: [] },
    'Invoice.total': { authenticated: true, scopes: [[['billing']]] },
    'Query.me': { authenticated: true, scopes: [] },
    'User.email': { authenticated: true, scopes: [[['profile:read'], ['admin', 'support']]] },
    // What it stands for is for the configuration to say; nobody passes a policy that it does not have.
    'User.salary': { authenticated: false, scopes: [], policies: [[['hr']]] },
  });
});
