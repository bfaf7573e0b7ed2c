import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { GraphQLError } from 'graphql';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

// Fields of entities that may be late or missing without taking their siblings along, the same by both engines.

const usersSdl = 'type Query { users: [User!]! me: User } type User @key(fields: "id") { id: ID! name: String! }';
const reviewsSdl = `type User @key(fields: "id") { id: ID! score: Int reviews(first: Int = 2): [Review!] badge: String! }
  type Review { id: ID! text: String }`;

type Mood = 'well' | 'silent' | 'failing';

/** Two services; the second one's `reviews` and `badge` are in a mood of their own. */
async function openShop(t: TestContext, config: GatewayConfig) {
  const mood: Record<'reviews' | 'badge', Mood> = { reviews: 'well', badge: 'well' };
  const answer = (field: 'reviews' | 'badge', value: unknown) => {
    if (mood[field] === 'silent') return new Promise(() => {});
    if (mood[field] === 'failing') throw new GraphQLError('out of order', { extensions: { code: 'OUT_OF_ORDER' } });
    return value;
  };
  const rows = ['1', '2'].map((id) => ({ id, name: `user ${id}` }));
  const users = await startSubgraph(t, usersSdl, { Query: { users: () => rows, me: () => rows[0] } });
  const reviews = await startSubgraph(t, reviewsSdl, {
    User: {
      score: ({ id }: { id: string }) => Number(id),
      badge: ({ id }: { id: string }) => answer('badge', `badge ${id}`),
      reviews: ({ id }: { id: string }, { first }: { first: number }) =>
        answer('reviews', [{ id: `r${id}`, text: 'good' }].slice(0, first)),
    },
  });
  const gateway = await startGateway(t, config);
  await registerGraphql(gateway, 'users', users.url);
  await registerGraphql(gateway, 'reviews', reviews.url);
  async function ask(query: string, variables: object = {}) {
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
    const body: any = await response.json();
    const errors = (body.errors ?? []).map((error: { path: unknown[]; extensions: { code: string } }) => [
      error.path.join('.'),
      error.extensions.code,
    ]);
    return { data: body.data, errors: errors.sort(), degraded: body.extensions?.degraded };
  }
  const entityRequests = () => reviews.requests.filter(({ body }) => body.includes('_entities'));
  return { mood, users, reviews, gateway, ask, entityRequests };
}

for (const engine of ['auto', 'stitched'] as const) {
  const graphql = { engine };

  test(`${engine}: while all is well, fields asked for by themselves make the same answer`, async (t) => {
    const fields = {
      'User.reviews': { timeout: '5s', circuitBreaker: {}, fallback: [] },
      'User.badge': { timeout: '5s' },
    };
    const { ask, entityRequests } = await openShop(t, { graphql, fields });
    const query = `query Q($n: Int, $no: Boolean!) { users { name score ...R badge @skip(if: $no) } me { reviews { text } } }
      fragment R on User { mine: reviews(first: $n) { __typename id } }`;
    const { data, errors } = await ask(query, { n: 1, no: true });
    assert.deepEqual(errors, []);
    assert.deepEqual(data, {
      users: [
        { name: 'user 1', score: 1, mine: [{ __typename: 'Review', id: 'r1' }] },
        { name: 'user 2', score: 2, mine: [{ __typename: 'Review', id: 'r2' }] },
      ],
      me: { reviews: [{ text: 'good' }] },
    });
    assert.ok(!entityRequests().some(({ body }) => body.includes('score') && body.includes('reviews')));
    assert.deepEqual((await ask(query, { n: 0, no: false })).data.users[1], {
      name: 'user 2',
      score: 2,
      mine: [],
      badge: 'badge 2',
    });
  });

  test(`${engine}: a late field is null with its code at each path, and its siblings are whole`, async (t) => {
    const { mood, ask } = await openShop(t, { graphql, fields: { 'User.reviews': { timeout: '150ms' } } });
    mood.reviews = 'silent';
    const { data, errors } = await ask('{ users { name score reviews { id } badge } }');
    assert.deepEqual(data.users[1], { name: 'user 2', score: 2, reviews: null, badge: 'badge 2' });
    assert.deepEqual(errors, [
      ['users.0.reviews', 'GATEWAY_TIMEOUT'],
      ['users.1.reviews', 'GATEWAY_TIMEOUT'],
    ]);
  });

  test(`${engine}: null of a late field travels up where it must not be null`, async (t) => {
    const { mood, ask } = await openShop(t, { graphql, fields: { 'User.badge': { timeout: '150ms' } } });
    mood.badge = 'silent';
    const { data, errors } = await ask('{ me { name score badge } other: users { name score } }');
    assert.deepEqual(data, {
      me: null,
      other: [
        { name: 'user 1', score: 1 },
        { name: 'user 2', score: 2 },
      ],
    });
    assert.deepEqual(errors, [['me.badge', 'GATEWAY_TIMEOUT']]);
  });

  test(`${engine}: an open breaker of a field keeps its service from being asked for it, and for nothing else`, async (t) => {
    const breaker = { minimumCalls: 2, openFor: '1h', errorCodes: ['OUT_OF_ORDER'] };
    const { mood, ask, entityRequests } = await openShop(t, {
      graphql,
      fields: { 'User.reviews': { circuitBreaker: breaker } },
    });
    const query = '{ me { score reviews { id } } }';
    mood.reviews = 'failing';
    for (let i = 0; i < 2; i++) assert.deepEqual((await ask(query)).errors, [['me.reviews', 'OUT_OF_ORDER']]);
    const before = entityRequests().length;
    assert.deepEqual(await ask(query), {
      data: { me: { score: 1, reviews: null } },
      errors: [['me.reviews', 'CIRCUIT_BREAKER_OPEN']],
      degraded: undefined,
    });
    assert.equal(entityRequests().length, before + 1);
    assert.ok(!entityRequests().at(-1)?.body.includes('reviews'));
  });

  test(`${engine}: a fallback stands in for a field of entities, and extensions say so`, async (t) => {
    const breaker = { minimumCalls: 2, openFor: '1h', errorCodes: ['OUT_OF_ORDER'] };
    const { mood, ask, reviews } = await openShop(t, {
      graphql: { ...graphql, cache: { types: { Query: { ttl: '1m' }, User: { ttl: '1m' }, Review: { ttl: '1m' } } } },
      fields: {
        'User.reviews': { timeout: '150ms', circuitBreaker: breaker, fallback: [{ id: 'none' }] },
        'User.badge': { timeout: '150ms', fallback: 'plain' },
        'Query.users': { cache: { ttl: '1m' } },
      },
    });
    const query = '{ users { name badge latest: reviews { kind: __typename id text } } }';
    const wanted = (code: string) => ({
      data: {
        users: [1, 2].map((id) => ({
          name: `user ${id}`,
          badge: 'plain',
          latest: [{ kind: 'Review', id: 'none', text: null }],
        })),
      },
      errors: [],
      degraded: [
        { field: 'User.badge', code: 'GATEWAY_TIMEOUT', with: 'fallback' },
        { field: 'User.reviews', code, with: 'fallback' },
      ],
    });
    const sorted = async () => {
      const answer = await ask(query);
      answer.degraded?.sort((a: { field: string }, b: { field: string }) => a.field.localeCompare(b.field));
      return answer;
    };
    mood.badge = 'silent';
    mood.reviews = 'silent';
    assert.deepEqual(await sorted(), wanted('GATEWAY_TIMEOUT'));
    mood.reviews = 'failing';
    assert.deepEqual(await sorted(), wanted('OUT_OF_ORDER'));
    assert.deepEqual(await sorted(), wanted('CIRCUIT_BREAKER_OPEN'));
    await reviews.kill();
    const { data, errors } = await ask('{ me { name latest: reviews { id } } }');
    assert.deepEqual([data.me.latest, errors], [[{ id: 'none' }], []]);
  });

  test(`${engine}: an answer with a fallback below a field is no last good answer of that field`, async (t) => {
    const fields = { 'User.reviews': { timeout: '150ms', fallback: [] }, 'Query.me': { staleIfError: '1h' } };
    const { mood, ask, users } = await openShop(t, { graphql, fields });
    const me = async () => (await ask('{ me { name reviews { id } } }')).data.me;
    mood.reviews = 'silent';
    assert.deepEqual(await me(), { name: 'user 1', reviews: [] });
    mood.reviews = 'well';
    assert.deepEqual(await me(), { name: 'user 1', reviews: [{ id: 'r1' }] });
    mood.reviews = 'silent';
    assert.deepEqual(await me(), { name: 'user 1', reviews: [] });
    await users.kill();
    assert.deepEqual(await me(), { name: 'user 1', reviews: [{ id: 'r1' }] });
  });
}

test('a policy of a field that no service gives by a key is told of in the log', async (t) => {
  const { gateway } = await openShop(t, {
    fields: { 'Review.text': { timeout: '1s' }, 'User.badge': { timeout: '1s' } },
  });
  const told = gateway.lines.filter(({ msg }) => String(msg).includes('have no effect'));
  assert.deepEqual(told.at(-1)?.['fields'], ['Review.text']);
});
