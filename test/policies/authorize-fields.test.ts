/** A field that asks for something is read by nobody else, by whatever way the operation comes to it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { type DocumentNode, type GraphQLSchema, parse } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import { useFieldAuthorization } from '../../policies/authorize-fields.ts';
import { buildFieldRequirements, mergeFieldRequirements } from '../../policies/field-requirements.ts';
import type { GraphqlContext, RequestContext, Viewer } from '../../policies/request-context.ts';
import { buildRequirement, type Requirement } from '../../policies/requirement.ts';
import type { FieldAuthorizationOptions } from '../../policies/schema-authorization.ts';
import { createRequestContext } from '../support/request-context.ts';

const ada = { id: 'ada', secret: 's3cret', email: 'ada@example.com', __typename: 'User' };
const lamp = { id: 'lamp', secret: 'cheap', __typename: 'Product' };

const schema = makeExecutableSchema({
  typeDefs: /* GraphQL */ `
    interface Node {
      id: ID
      secret: String
    }
    interface HasMe {
      me: User
    }
    scalar Iban
    type User implements Node {
      id: ID
      secret: String
      email: String
      friends: [User!]!
      iban: Iban
      account: Account
    }
    type Account {
      balance: Int
    }
    type Product implements Node {
      id: ID
      secret: String
      name: String
    }
    union Hit = User | Product
    type Query implements HasMe {
      me: User
      node(id: ID): Node
      nodes: [Node]
      hits: [Hit]
      open: String
      query: Query
    }
    type Mutation {
      rename(name: String): String
    }
    type Subscription {
      ticks: Int
    }
  `,
  resolvers: {
    Node: { __resolveType: (value: { __typename: string }) => value.__typename },
    HasMe: { __resolveType: () => 'Query' },
    Hit: { __resolveType: (value: { __typename: string }) => value.__typename },
    Query: {
      me: () => ada,
      node: (_: unknown, { id }: { id?: string }) => (id === 'lamp' ? lamp : ada),
      nodes: () => [ada, lamp],
      hits: () => [ada, lamp],
      open: () => 'open',
      query: () => ({}),
    },
    User: { friends: () => [ada], iban: () => 'DE00', account: () => ({ balance: 7 }) },
    Mutation: { rename: () => 'renamed' },
    Subscription: {
      ticks: {
        subscribe: async function* () {
          yield { ticks: 1 };
        },
      },
    },
  },
});

function viewerWith(...scopes: string[]): Viewer {
  return { id: 'ada', kind: 'jwt', issuer: 'https://idp', scopes: new Set(scopes), roles: [], claims: {} };
}

function requestOf(viewer: Viewer | null): RequestContext {
  return createRequestContext({ door: 'graphql', method: 'POST', viewer });
}

interface Answer {
  status: number;
  challenge: string | null;
  data?: unknown;
  errors?: { message: string; path?: unknown; locations?: unknown; extensions: Record<string, unknown> }[];
}

type Ask = (query: string, viewer?: Viewer | null, parameters?: Record<string, unknown>) => Promise<Answer>;

/** Asks a real Yoga. `own` is what is written at types and fields; the rest of the options as given. */
function createAsk(
  own: Record<string, Requirement>,
  options: Partial<FieldAuthorizationOptions> = {},
  plugins: Plugin[] = [],
): Ask {
  const requirements = buildFieldRequirements(schema, new Map(Object.entries(own)));
  const authorization = useFieldAuthorization({ requirements, required: false, publicFields: new Set(), ...options });
  const yoga = createYoga<GraphqlContext>({ schema, plugins: [authorization, ...plugins], logging: false });
  return async (query, viewer = null, parameters = {}) => {
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, ...parameters }),
    };
    const response = await yoga.fetch('http://shop/graphql', init, { gateway: requestOf(viewer) });
    const answer = (await response.json()) as Omit<Answer, 'status' | 'challenge'>;
    return { status: response.status, challenge: response.headers.get('www-authenticate'), ...answer };
  };
}

const anybody = buildRequirement({ authenticated: true });
const profile = buildRequirement({ scopes: ['profile:read'] });

function assertRefused(answer: Answer, code: 'UNAUTHENTICATED' | 'FORBIDDEN', path?: string[]): void {
  assert.equal(answer.data ?? null, null, 'nothing is answered in part');
  assert.equal(answer.errors?.[0]?.extensions['code'], code, JSON.stringify(answer));
  assert.equal(answer.status, code === 'UNAUTHENTICATED' ? 401 : 403);
  if (path !== undefined) assert.deepEqual(answer.errors?.[0]?.path, path);
}

describe('a protected field', () => {
  it('is refused to the anonymous with 401, a challenge, its path and place', async () => {
    const answer = await createAsk({ 'User.email': profile })('{ open me { mail: email } }');
    assertRefused(answer, 'UNAUTHENTICATED', ['me', 'mail']);
    assert.equal(answer.challenge, 'Bearer');
    assert.deepEqual(answer.errors?.[0]?.locations, [{ line: 1, column: 13 }]);
    assert.equal(answer.errors?.[0]?.extensions['requestId'], 'request-1');
    assert.equal(answer.errors?.[0]?.extensions['http'], undefined);
  });

  it('is refused to a viewer without the scope with 403', async () => {
    const answer = await createAsk({ 'User.email': profile })('{ me { email } }', viewerWith('orders:read'));
    assertRefused(answer, 'FORBIDDEN', ['me', 'email']);
    assert.match(answer.errors?.[0]?.message ?? '', /profile:read/);
  });

  it('is read by a viewer with the scope, and the others by all', async () => {
    const ask = createAsk({ 'User.email': profile });
    assert.deepEqual((await ask('{ me { email } }', viewerWith('profile:read'))).data, { me: { email: ada.email } });
    assert.deepEqual((await ask('{ me { id } }')).data, { me: { id: 'ada' } });
  });

  const detours: Record<string, string> = {
    'an alias': '{ me { id: email } }',
    'an inline fragment': '{ node { ... on User { email } } }',
    'a fragment': 'query { me { ...F } } fragment F on User { email }',
    'a fragment on an interface': 'query { node { ...F } } fragment F on Node { id ... on User { email } }',
    'fragments in fragments': 'query { me { ...A } } fragment A on User { ...B } fragment B on User { email }',
    'a union': '{ hits { ... on User { email } } }',
    'a list': '{ me { friends { friends { email } } } }',
    '@include(if: true)': '{ me { email @include(if: true) } }',
    '@skip with a default': 'query ($no: Boolean = false) { me { email @skip(if: $no) } }',
    'a root type that leads to itself': '{ query { query { me { email } } } }',
  };
  for (const [title, query] of Object.entries(detours)) {
    it(`is protected behind ${title}`, async () => {
      const ask = createAsk({ 'User.email': profile });
      assertRefused(await ask(query), 'UNAUTHENTICATED');
      assertRefused(await ask(query, viewerWith('other')), 'FORBIDDEN');
      const allowed = await ask(query, viewerWith('profile:read'));
      assert.ok(JSON.stringify(allowed.data).includes(ada.email), JSON.stringify(allowed));
    });
  }

  it('is protected again and again, with documents from the cache', async () => {
    const ask = createAsk({ 'User.email': profile });
    for (let round = 0; round < 3; round += 1) {
      assertRefused(await ask('{ me { email } }'), 'UNAUTHENTICATED');
      assert.equal((await ask('{ me { email } }', viewerWith('profile:read'))).status, 200);
      assertRefused(await ask('{ me { email } }', viewerWith('x')), 'FORBIDDEN');
    }
  });

  it('is named with at most ten errors, however often it is selected', async () => {
    const aliases = Array.from({ length: 14 }, (_, index) => `a${index}: email`).join(' ');
    const answer = await createAsk({ 'User.email': profile })(`{ me { ${aliases} } }`);
    assertRefused(answer, 'UNAUTHENTICATED');
    assert.equal(answer.errors?.length, 10);
  });

  it('is named by a path without signs for list items', async () => {
    const answer = await createAsk({ 'User.email': profile })('{ hits { ... on User { email } } }');
    assertRefused(answer, 'UNAUTHENTICATED', ['hits', 'email']);
  });

  it('is protected in mutations and subscriptions, and nothing runs', async () => {
    const ask = createAsk({ 'Mutation.rename': profile, 'Subscription.ticks': profile });
    assertRefused(await ask('mutation { rename(name: "x") }', viewerWith()), 'FORBIDDEN');
    assertRefused(await ask('subscription { ticks }', viewerWith()), 'FORBIDDEN');
    assert.deepEqual((await ask('mutation { rename }', viewerWith('profile:read'))).data, { rename: 'renamed' });
  });
});

describe('what does not run needs no permission', () => {
  const skipped: Record<string, [query: string, parameters?: Record<string, unknown>]> = {
    'a skipped field': [
      'query ($yes: Boolean!) { open me { email @skip(if: $yes) id } }',
      { variables: { yes: true } },
    ],
    'a field below a skipped one': [
      'query ($in: Boolean!) { open me @include(if: $in) { email } }',
      { variables: { in: false } },
    ],
    'a fragment that is skipped': [
      'query ($in: Boolean = false) { open ...F @include(if: $in) } fragment F on Query { me { email } }',
    ],
    'another operation of the document': [
      'query A($v: Boolean!) { me { email @skip(if: $v) } } query B { open }',
      { operationName: 'B' },
    ],
  };
  for (const [title, [query, parameters]] of Object.entries(skipped)) {
    it(title, async () => {
      const answer = await createAsk({ 'User.email': profile })(query, null, parameters);
      assert.equal(answer.errors, undefined, JSON.stringify(answer));
      assert.equal((answer.data as { open: string }).open, 'open');
    });
  }

  it('but a document whose operation is not named answers nothing', async () => {
    const answer = await createAsk({ 'User.email': profile })('query A { me { email } } query B { open }');
    assert.equal(answer.data ?? null, null);
    assert.ok(answer.errors?.length);
  });

  it('but wrong variables do not hide a field', async () => {
    const query = 'query ($yes: Boolean!) { me { email @skip(if: $yes) } }';
    const answer = await createAsk({ 'User.email': profile })(query, null, { variables: { yes: 'true' } });
    assert.equal(answer.data ?? null, null);
    assert.ok(answer.errors?.length);
  });
});

describe('a requirement', () => {
  it('of an implementing type holds at the interface too (the bypass of generic-auth)', async () => {
    const ask = createAsk({ 'User.secret': profile });
    assertRefused(await ask('{ node { secret } }'), 'UNAUTHENTICATED', ['node', 'secret']);
    assertRefused(await ask('{ nodes { ...F } } fragment F on Node { secret }'), 'UNAUTHENTICATED');
    assert.equal((await ask('{ node(id: "lamp") { ... on Product { secret } } }')).status, 200);
  });

  it('of an interface holds at its implementing types too', async () => {
    const ask = createAsk({ 'Node.secret': profile });
    assertRefused(await ask('{ me { secret } }'), 'UNAUTHENTICATED');
    assertRefused(await ask('{ node { ... on Product { secret } } }'), 'UNAUTHENTICATED');
    assert.equal((await ask('{ node { ... on Product { name } } }')).status, 200);
  });

  it('of a type holds at its fields and at fields that return it', async () => {
    const ask = createAsk({ Account: profile });
    assertRefused(await ask('{ me { account { balance } } }'), 'UNAUTHENTICATED', ['me', 'account']);
    assertRefused(await ask('{ me { account { __typename } } }'), 'UNAUTHENTICATED', ['me', 'account']);
  });

  it('of a scalar holds at fields that return it', async () => {
    assertRefused(await createAsk({ Iban: profile })('{ me { iban } }'), 'UNAUTHENTICATED', ['me', 'iban']);
  });

  it('of an implementing type closes the interface fields, not the way to the interface', async () => {
    const ask = createAsk({ User: profile });
    assertRefused(await ask('{ node(id: "lamp") { id } }'), 'UNAUTHENTICATED', ['node', 'id']);
    const product = await ask('{ node(id: "lamp") { ... on Product { id } } hits { ... on Product { name } } }');
    assert.equal(product.status, 200);
  });

  it('is worked out the same from parts and from the whole', () => {
    const [a, b] = [new Map([['User.secret', profile]]), new Map([['Node', anybody]])];
    const parts = mergeFieldRequirements(buildFieldRequirements(schema, a), buildFieldRequirements(schema, b));
    const whole = buildFieldRequirements(schema, new Map([...a, ...b]));
    assert.deepEqual(new Map([...parts].sort()), new Map([...whole].sort()));
    assert.deepEqual(parts.get('Product.secret'), anybody, 'not the scope of the other implementing type');
  });
});

describe('where authentication is required', () => {
  const options = { required: true, publicFields: new Set(['Query.open', 'Mutation.rename']) };

  it('every root field needs a viewer, and nested fields need no more', async () => {
    const ask = createAsk({}, options);
    assertRefused(await ask('{ me { id } }'), 'UNAUTHENTICATED', ['me']);
    assertRefused(await ask('{ open me { id } }'), 'UNAUTHENTICATED', ['me']);
    assertRefused(await ask('subscription { ticks }'), 'UNAUTHENTICATED', ['ticks']);
    assert.equal((await ask('{ me { id friends { id } } }', viewerWith())).status, 200);
  });

  it('public ones do not', async () => {
    const ask = createAsk({}, options);
    assert.deepEqual((await ask('{ open }')).data, { open: 'open' });
    assert.deepEqual((await ask('mutation { rename }')).data, { rename: 'renamed' });
  });

  it('public ones keep a requirement of their own', async () => {
    assertRefused(await createAsk({ 'Query.open': profile }, options)('{ open }', viewerWith()), 'FORBIDDEN');
  });

  it('an interface of the root type is no way around', async () => {
    assertRefused(await createAsk({}, options)('{ ... on HasMe { me { id } } }'), 'UNAUTHENTICATED', ['me']);
  });

  it('introspection is not concerned', async () => {
    assert.equal((await createAsk({}, options)('{ __typename __schema { queryType { name } } }')).status, 200);
  });
});

describe('the plugin', () => {
  it('is empty where nothing is protected', () => {
    const nothing = { requirements: new Map(), required: false, publicFields: new Set<string>() };
    assert.deepEqual(useFieldAuthorization(nothing), {});
  });

  it('leaves the document as it is, for the sake of caches keyed by it', async () => {
    const documents: DocumentNode[] = [];
    const witness: Plugin = { onExecute: ({ args }) => void documents.push(args.document) };
    const ask = createAsk({ 'User.email': profile }, {}, [witness]);
    const query = 'query ($no: Boolean = false) { __typename me { email @include(if: $no) } }';
    for (const viewer of [null, viewerWith('profile:read'), null]) await ask(query, viewer);
    assert.equal(documents.length, 3);
    assert.equal(new Set(documents).size, 1);
  });

  it('checks each of two operations that share a context object', async () => {
    const plugin = useFieldAuthorization({
      requirements: new Map([['User.email', profile]]),
      required: false,
      publicFields: new Set(),
    });
    const yoga = createYoga<GraphqlContext>({ schema, plugins: [plugin], logging: false });
    const shared = { gateway: requestOf(null) };
    for (const query of ['{ open }', '{ me { email } }', '{ me { email } }']) {
      const { execute, contextFactory } = yoga.getEnveloped(shared as never);
      const contextValue = await contextFactory();
      const result = await execute({ schema, document: parse(query), contextValue });
      assert.equal('errors' in result, query !== '{ open }', query);
    }
  });
});

/** A schema with a protected field `Query.secret`, or one after it was taken away. */
function generation(withSecret: boolean): GraphQLSchema {
  return makeExecutableSchema({
    typeDefs: withSecret ? 'type Query { open: String secret: String }' : 'type Query { open: String }',
    resolvers: { Query: { open: () => 'open', ...(withSecret && { secret: () => 's3cret' }) } },
  });
}

it('a change of schema while a request waits does not lose the check', async () => {
  const requirements = new Map([['Query.secret', profile]]);
  const plugin = () => useFieldAuthorization({ requirements, required: false, publicFields: new Set() });
  let release = () => {};
  const waiting = new Promise<void>((resolve) => {
    release = resolve;
  });
  let entered = () => {};
  const arrived = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const pause: Plugin = {
    async onContextBuilding() {
      entered();
      await waiting;
    },
  };
  const build = (next: GraphQLSchema, plugins: Plugin[]) =>
    createYoga<GraphqlContext>({ schema: next, plugins: [plugin(), ...plugins], logging: false });

  let current = build(generation(true), [pause]);
  const old = current.fetch(
    'http://shop/graphql?query={open,secret}',
    { headers: { accept: 'application/json' } },
    { gateway: requestOf(null) },
  );
  await arrived;
  current = build(generation(false), []);
  const next = await current.fetch('http://shop/graphql?query={open}', {}, { gateway: requestOf(null) });
  assert.deepEqual(await next.json(), { data: { open: 'open' } });
  release();
  const answer = await old;
  const text = await answer.text();
  assert.equal(answer.status, 401, text);
  assert.ok(!text.includes('s3cret'));
});
