/** Mode `filter`: what a viewer may not read is null with an error, the rest is whole, and both engines say the same. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { type GraphqlAnswer, startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph, type TestService } from '../support/subgraph.ts';

const people = [
  { __typename: 'User', id: '1', name: 'Ada', tag: 'a' },
  { __typename: 'Robot', id: '2', name: 'Bob', tag: 'b' },
];

interface Shop {
  readonly people: TestService;
  readonly pay: TestService;
  readonly renamed: string[];
}

async function startShop(t: TestContext): Promise<Shop> {
  const renamed: string[] = [];
  const service = await startSubgraph(
    t,
    `type Query { me: User all: [User!]! some: [User!] sure: User! being: Being beings: [Being] any: [Any!]! users(deleted: Boolean, first: Int): [User!] open: String }
     type Mutation { rename(id: ID!, name: String!): User forget: Int }
     interface Being { id: ID! name: String tag: String! }
     union Any = User | Robot
     type User implements Being @key(fields: "id") { id: ID! name: String tag: String! friends: [User!]! best: User }
     type Robot implements Being @key(fields: "id") { id: ID! name: String tag: String! model: String }`,
    {
      Query: {
        me: () => people[0],
        all: () => [people[0], people[0]],
        some: () => [people[0]],
        sure: () => people[0],
        being: () => people[1],
        beings: () => [people[0], null, people[1]],
        any: () => people,
        users: () => [people[0]],
        open: () => 'open',
      },
      Mutation: {
        rename: (_: unknown, { name }: { name: string }) => {
          renamed.push(name);
          return { ...people[0], name };
        },
        forget: () => renamed.push('forgotten'),
      },
      User: { friends: () => [people[0]], best: () => people[0] },
      Robot: { model: () => 'R2' },
    },
  );
  const pay = await startSubgraph(
    t,
    'type User @key(fields: "id") { id: ID! salary: Int bonus: Int! } type Query { rate: Float }',
    {
      User: { __resolveReference: (user: object) => user, salary: () => 100, bonus: () => 5 },
      Query: { rate: () => 1.5 },
    },
  );
  return { people: service, pay, renamed };
}

const key = (name: string) => createHash('sha256').update(name).digest('hex');

const config: GatewayConfig = {
  authentication: {
    apiKeys: [
      { name: 'poor', sha256: key('poor') },
      { name: 'rich', sha256: key('rich'), scopes: ['all'] },
    ],
  },
  authorization: { mode: 'filter' },
  fields: {
    'User.salary': { authorize: { scopes: ['all'] } },
    'User.bonus': { authorize: { scopes: ['all'] } },
    'User.tag': { authorize: { scopes: ['all'] } },
    'Robot.model': { authorize: { scopes: ['all'] } },
    'Query.open': { authorize: { authenticated: true } },
    'Query.rate': { authorize: { scopes: ['all'], mode: 'reject' } },
    'Mutation.forget': { authorize: { scopes: ['all'] } },
    'Query.users': { arguments: { deleted: { authorize: { scopes: ['all'] } } } },
  },
};

const engines = ['auto', 'stitched'] as const;

async function open(t: TestContext, more: GatewayConfig = {}): Promise<{ shop: Shop; gateways: TestGateway[] }> {
  const shop = await startShop(t);
  const gateways = [];
  for (const engine of engines) {
    const gateway = await startGateway(t, { ...config, ...more, graphql: { ...more.graphql, engine } });
    await registerGraphql(gateway, 'people', shop.people.url);
    await registerGraphql(gateway, 'pay', shop.pay.url);
    gateways.push(gateway);
  }
  return { shop, gateways };
}

const shown = ({ status, data, errors = [] }: GraphqlAnswer) => ({
  status,
  data,
  errors: errors.map(({ path, extensions }) => `${path?.join('.')}: ${extensions['code']}`),
});

interface Case {
  readonly query: string;
  readonly variables?: object;
  readonly data: unknown;
  readonly errors: readonly string[];
}

const forbidden = (...paths: string[]) => paths.map((path) => `${path}: FORBIDDEN`);
const cases: Record<string, Case> = {
  'a field of another service': {
    query: '{ me { name salary id } }',
    data: { me: { name: 'Ada', salary: null, id: '1' } },
    errors: forbidden('me.salary'),
  },
  'all that is selected of an object': {
    query: '{ me { salary } }',
    data: { me: { salary: null } },
    errors: forbidden('me.salary'),
  },
  'an alias, in its place': {
    query: '{ me { name name2: salary id } }',
    data: { me: { name: 'Ada', name2: null, id: '1' } },
    errors: forbidden('me.name2'),
  },
  'each item of a list': {
    query: '{ all { id salary } }',
    data: {
      all: [
        { id: '1', salary: null },
        { id: '1', salary: null },
      ],
    },
    errors: forbidden('all.0.salary', 'all.1.salary'),
  },
  'what must not be null takes its object along': {
    query: '{ me { id bonus } open }',
    data: { me: null, open: 'open' },
    errors: forbidden('me.bonus'),
  },
  'and the list, as far up as it has to': {
    query: '{ some { best { bonus } friends { bonus } } open }',
    data: { some: null, open: 'open' },
    errors: forbidden('some.0.best.bonus', 'some.0.friends.0.bonus'),
  },
  'up to the whole answer': {
    query: '{ open sure { bonus } }',
    data: null,
    errors: forbidden('sure.bonus'),
  },
  'a fragment': {
    query: '{ me { ...A } } fragment A on User { ...B id } fragment B on User { salary }',
    data: { me: { salary: null, id: '1' } },
    errors: forbidden('me.salary'),
  },
  'an interface, by the type of the object': {
    query: '{ beings { id ... on User { salary } ... on Robot { model } } }',
    data: { beings: [{ id: '1', salary: null }, null, { id: '2', model: null }] },
    errors: forbidden('beings.0.salary', 'beings.2.model'),
  },
  'a union': {
    query: '{ any { ... on User { n: salary } ... on Robot { name } } }',
    data: { any: [{ n: null }, { name: 'Bob' }] },
    errors: forbidden('any.0.n'),
  },
  'two fields of one name of which one is open': {
    query: '{ any { ... on User { x: salary id } ... on Robot { id } } }',
    data: { any: [{ x: null, id: '1' }, { id: '2' }] },
    errors: forbidden('any.0.x'),
  },
  'an interface whose field some of its types close': {
    query: '{ being { tag name ... on Robot { tag } } }',
    data: { being: null },
    errors: forbidden('being.tag'),
  },
  'not what a directive leaves out': {
    query: 'query ($no: Boolean!) { me { id salary @include(if: $no) } all @include(if: $no) { bonus } }',
    variables: { no: false },
    data: { me: { id: '1' } },
    errors: [],
  },
  'what a directive leaves in': {
    query: 'query ($yes: Boolean!) { me { id salary @include(if: $yes) bonus @skip(if: $yes) } }',
    variables: { yes: true },
    data: { me: { id: '1', salary: null } },
    errors: forbidden('me.salary'),
  },
  'an argument that is given': {
    query: 'query ($d: Boolean, $n: Int) { users(deleted: $d, first: $n) { id } open }',
    variables: { d: null, n: 1 },
    data: { users: null, open: 'open' },
    errors: forbidden('users'),
  },
  'not an argument whose variable is absent': {
    query: 'query ($d: Boolean) { users(deleted: $d) { id } }',
    data: { users: [{ id: '1' }] },
    errors: [],
  },
  'names that look like ours': {
    query: '{ me { denied_x: name salary } }',
    data: { me: { denied_x: 'Ada', salary: null } },
    errors: forbidden('me.salary'),
  },
};

test('filtered answers are right, and the same by both engines', async (t) => {
  const { shop, gateways } = await open(t);
  for (const [title, { query, variables = {}, data, errors }] of Object.entries(cases)) {
    for (const [index, gateway] of gateways.entries()) {
      await t.test(`${engines[index]}: ${title}`, async () => {
        const asked = shop.pay.requests.length;
        for (let round = 0; round < 2; round += 1) {
          const answer = shown(await gateway.graphql(query, { variables, headers: { 'x-api-key': 'poor' } }));
          assert.deepEqual({ data: answer.data, errors: answer.errors }, { data, errors });
          assert.equal(JSON.stringify(answer.data), JSON.stringify(data), 'in the order of the query');
        }
        assert.equal(shop.pay.requests.length, asked, 'the other service is not asked');
        const rich = await gateway.graphql(query, { variables, headers: { 'x-api-key': 'rich' } });
        assert.equal(rich.errors, undefined);
        assert.ok(!JSON.stringify(rich.data).includes('null,"'), JSON.stringify(rich.data));
      });
    }
  }
});

for (const [index, engine] of engines.entries()) {
  test(`${engine}: what is filtered of a mutation is not executed, and the rest is`, async (t) => {
    const { shop, gateways } = await open(t);
    const ask = async (query: string, name = 'poor') =>
      shown((await gateways[index]?.graphql(query, { headers: { 'x-api-key': name } })) as GraphqlAnswer);
    assert.deepEqual(await ask('mutation { a: rename(id: 1, name: "x") { name salary } forget }'), {
      status: 200,
      data: { a: { name: 'x', salary: null }, forget: null },
      errors: forbidden('a.salary', 'forget'),
    });
    assert.deepEqual(shop.renamed, ['x']);
    const asked = shop.people.requests.length;
    assert.deepEqual((await ask('mutation { forget }')).data, { forget: null });
    assert.equal(shop.people.requests.length, asked);
    assert.deepEqual((await ask('mutation { forget }', 'rich')).data, { forget: 2 });
  });

  test(`${engine}: the anonymous learn that they are, and a field may say that it rejects`, async (t) => {
    const { gateways } = await open(t);
    const gateway = gateways[index] as TestGateway;
    const anonymous = shown(await gateway.graphql('{ open me { id salary } }'));
    assert.deepEqual(anonymous, {
      status: 200,
      data: { open: null, me: { id: '1', salary: null } },
      errors: ['open: UNAUTHENTICATED', 'me.salary: UNAUTHENTICATED'],
    });
    const rejected = await gateway.graphql('{ me { salary } rate }', { headers: { 'x-api-key': 'poor' } });
    assert.equal(rejected.status, 403);
    assert.deepEqual(shown(rejected).errors, ['rate: FORBIDDEN']);
    assert.match(rejected.headers.get('www-authenticate') ?? '', /insufficient_scope/);
  });

  test(`${engine}: variables that only the filtered fields use change nothing, unless they are wrong`, async (t) => {
    const { gateways } = await open(t);
    const gateway = gateways[index] as TestGateway;
    const query = 'query ($d: Boolean!) { open users(deleted: $d) { id } }';
    const headers = { 'x-api-key': 'poor' };
    assert.deepEqual(shown(await gateway.graphql(query, { variables: { d: true }, headers })).data, {
      open: 'open',
      users: null,
    });
    const wrong = await gateway.graphql(query, { variables: { d: 'no' }, headers });
    assert.equal(wrong.data, undefined);
    assert.equal(wrong.errors?.[0]?.extensions['code'], 'BAD_REQUEST');
  });

  test(`${engine}: kept answers never cross viewers with different rights`, async (t) => {
    const { gateways } = await open(t, {
      graphql: { cache: { types: { User: { ttl: '60s' } } } },
    });
    const gateway = gateways[index] as TestGateway;
    const query = '{ me { id salary } }';
    const ask = async (headers: Record<string, string>) =>
      shown(await gateway.graphql(query, { headers })).data?.me?.salary;
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await ask({ 'x-api-key': 'rich' }), 100);
      assert.equal(await ask({ 'x-api-key': 'poor' }), null);
      assert.equal(await ask({}), null);
    }
  });
}
