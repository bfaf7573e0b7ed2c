import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { GraphQLError } from 'graphql';
import { parseConfig } from '../../gateway/config.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import type { GatewayError } from '../../policies/errors.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph, type TestService } from '../support/subgraph.ts';

// Fields that may be late or missing without taking the rest of the answer along, the same by both engines.

const sdl = `type Query { top(first: Int = 2): [Product!] slow: String! me: String list: [Product!]! }
  type Product @key(fields: "id") { id: ID! name: String! }`;
const rows = [
  { id: '1', name: 'Table' },
  { id: '2', name: 'Couch' },
];

interface Switch {
  top: 'well' | 'silent' | 'failing';
  readonly service: TestService;
}

/** A service whose field `top` is well, or never answers, or throws. */
async function startSwitched(t: TestContext): Promise<Switch> {
  const state = { top: 'well' } as { -readonly [Key in keyof Switch]: Switch[Key] };
  const answer = (value: unknown) => {
    if (state.top === 'silent') return new Promise(() => {});
    if (state.top === 'failing') throw new GraphQLError('out of order', { extensions: { code: 'OUT_OF_ORDER' } });
    return value;
  };
  state.service = await startSubgraph(t, sdl, {
    Query: {
      top: (_: unknown, { first }: { first: number }) => answer(rows.slice(0, first)),
      list: () => answer(rows),
      slow: () => answer('at last'),
      me: (_: unknown, __: unknown, { headers }: { headers: Record<string, string> }) => headers['x-user-id'] ?? 'none',
    },
  });
  return state;
}

async function open(t: TestContext, shop: Switch, config: GatewayConfig): Promise<TestGateway> {
  const gateway = await startGateway(t, config);
  await registerGraphql(gateway, 'shop', shop.service.url);
  return gateway;
}

for (const engine of ['auto', 'stitched'] as const) {
  const graphql = { engine };

  test(`${engine}: a field that is late is null with its code at its path, and the rest is whole`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, { graphql, fields: { 'Query.top': { timeout: '200ms' } } });
    const query = 'query Shop($n: Int) { me first: top(first: $n) { name } __typename other: top { id } }';
    const well = await gateway.graphql(query, { variables: { n: 1 } });
    assert.deepEqual(well.errors, undefined);
    assert.deepEqual(
      JSON.stringify(well.data),
      JSON.stringify({
        me: 'none',
        first: [{ name: 'Table' }],
        __typename: 'Query',
        other: [{ id: '1' }, { id: '2' }],
      }),
    );
    shop.top = 'silent';
    const late = await gateway.graphql(query, { variables: { n: 1 } });
    assert.equal(late.status, 200);
    assert.deepEqual(late.data, { me: 'none', first: null, __typename: 'Query', other: null });
    assert.deepEqual(
      late.errors?.map(({ path, extensions }) => [path, extensions['code'], extensions['service']]),
      [
        [['first'], 'GATEWAY_TIMEOUT', 'shop'],
        [['other'], 'GATEWAY_TIMEOUT', 'shop'],
      ],
    );
  });

  test(`${engine}: a late field has its fallback, and extensions say so`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, {
      graphql,
      fields: {
        'Query.list': { timeout: '200ms', fallback: [{ id: '0', name: 'Nothing' }] },
        'Query.slow': { timeout: '200ms', fallback: 'later' },
      },
    });
    shop.top = 'silent';
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ slow items: list { __typename called: name } me }' }),
    });
    const body = await response.json();
    assert.deepEqual(body, {
      data: { slow: 'later', items: [{ __typename: 'Product', called: 'Nothing' }], me: 'none' },
      extensions: {
        degraded: [
          { path: ['slow'], code: 'GATEWAY_TIMEOUT', with: 'fallback' },
          { path: ['items'], code: 'GATEWAY_TIMEOUT', with: 'fallback' },
        ],
      },
    });
  });

  test(`${engine}: an answer with a fallback in it is not kept, one that is whole is`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, {
      graphql: { ...graphql, cache: { types: { Query: { ttl: '1m' } } } },
      fields: { 'Query.slow': { timeout: '200ms', fallback: 'later', cache: { ttl: '1m' } } },
    });
    const ask = async () => (await gateway.graphql('{ slow }')).data;
    shop.top = 'silent';
    assert.deepEqual(await ask(), { slow: 'later' });
    shop.top = 'well';
    assert.deepEqual(await ask(), { slow: 'at last' });
    shop.top = 'silent';
    assert.deepEqual(await ask(), { slow: 'at last' }, 'from the cache');
  });

  test(`${engine}: a field that must not be null and has no fallback takes the answer along, with 504`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, { graphql, fields: { 'Query.slow': { timeout: '200ms' } } });
    shop.top = 'silent';
    const { status, data, errors } = await gateway.graphql('{ slow me }', {
      headers: { accept: 'application/graphql-response+json' },
    });
    assert.deepEqual(
      [status, data, errors?.length, errors?.[0]?.extensions['code']],
      [504, null, 1, 'GATEWAY_TIMEOUT'],
    );
  });

  test(`${engine}: a late field opens its own breaker and no other`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, {
      graphql,
      policies: { circuitBreaker: { minimumCalls: 3 } },
      fields: { 'Query.top': { timeout: '50ms', circuitBreaker: { minimumCalls: 3, openFor: '1h' } } },
    });
    shop.top = 'silent';
    for (let i = 0; i < 3; i++) await gateway.graphql('{ top { id } me }');
    const asked = shop.service.requests.length;
    const { data, errors } = await gateway.graphql('{ top { id } me }');
    assert.deepEqual(data, { top: null, me: 'none' });
    assert.deepEqual(
      errors?.map(({ path, extensions }) => [path, extensions['code']]),
      [[['top'], 'CIRCUIT_BREAKER_OPEN']],
    );
    assert.equal(shop.service.requests.length, asked + 1, 'the service is asked for the other field alone');
  });

  test(`${engine}: the last good answer to a viewer’s question stands in when the field fails`, async (t) => {
    const shop = await startSwitched(t);
    const hash = (key: string) => createHash('sha256').update(key).digest('hex');
    const gateway = await open(t, shop, {
      graphql,
      authentication: {
        apiKeys: [
          { name: 'ada', sha256: hash('a') },
          { name: 'bob', sha256: hash('b') },
        ],
      },
      fields: { 'Query.top': { staleIfError: '1h' } },
    });
    const ada = { headers: { 'x-api-key': 'a' } };
    const good = await gateway.graphql('{ top { id } me }', ada);
    assert.deepEqual(good.data, { top: [{ id: '1' }, { id: '2' }], me: 'ada' });
    await shop.service.kill();
    const stale = await gateway.graphql('{ top { id } me }', ada);
    assert.deepEqual(stale.data, { top: [{ id: '1' }, { id: '2' }], me: null });
    const bob = await gateway.graphql('{ top { id } me }', { headers: { 'x-api-key': 'b' } });
    assert.deepEqual(bob.data, { top: null, me: null }, 'an answer of one viewer is never another one’s');
    const other = await gateway.graphql('{ top(first: 1) { id } me }', ada);
    assert.equal(other.data.top, null, 'another question');
  });

  test(`${engine}: a service's own errors open the breaker of a field when their code is named`, async (t) => {
    const shop = await startSwitched(t);
    const gateway = await open(t, shop, {
      graphql,
      fields: {
        'Query.top': { fallback: [], circuitBreaker: { minimumCalls: 2, openFor: '1h', errorCodes: ['OUT_OF_ORDER'] } },
        'Query.list': { fallback: [], circuitBreaker: { minimumCalls: 2, openFor: '1h', errorCodes: ['OTHER'] } },
      },
    });
    shop.top = 'failing';
    for (let i = 0; i < 2; i++) {
      assert.deepEqual((await gateway.graphql('{ top { id } }')).data, { top: [] });
      assert.equal((await gateway.graphql('{ list { id } }')).data, null, 'a code that nobody named');
    }
    const asked = shop.service.requests.length;
    assert.deepEqual((await gateway.graphql('{ top { id } }')).data, { top: [] });
    assert.equal(shop.service.requests.length, asked);
    await gateway.graphql('{ list { id } }');
    assert.equal(shop.service.requests.length, asked + 1);
  });
}

test('a client in a hurry gets 504 in its time, the service learns of it, and no instance is blamed', async (t) => {
  const shop = await startSwitched(t);
  const gateway = await open(t, shop, {
    policies: { deadline: '20s', circuitBreaker: { minimumCalls: 1 }, retry: { attempts: 0 } },
  });
  const hurried = (ms: string) => gateway.graphql('{ top { id } }', { headers: { 'x-request-timeout-ms': ms } });
  // Planned beforehand: a plan may take longer than such a client waits.
  await hurried('20000');
  shop.top = 'silent';
  for (let i = 0; i < 3; i++) {
    assert.deepEqual((await hurried('300')).errors?.[0]?.extensions['code'], 'GATEWAY_TIMEOUT');
    assert.ok(Number(shop.service.requests.at(-1)?.headers['x-request-timeout-ms']) <= 300);
  }
  shop.top = 'well';
  for (const wish of ['99999999', 'soon', '-1', '1e3']) assert.equal((await hurried(wish)).errors, undefined, wish);
  assert.ok(
    Number(shop.service.requests.at(-1)?.headers['x-request-timeout-ms']) <= 20_000,
    'never more than the gateway gives',
  );
});

test('clients in a hurry open no breaker of a field for others', async (t) => {
  const shop = await startSwitched(t);
  const gateway = await open(t, shop, {
    fields: { 'Query.top': { timeout: '10s', circuitBreaker: { minimumCalls: 1, openFor: '1h' } } },
  });
  shop.top = 'silent';
  for (let i = 0; i < 3; i++) {
    const { errors } = await gateway.graphql('{ top { id } }', { headers: { 'x-request-timeout-ms': '50' } });
    assert.deepEqual(
      errors?.map(({ extensions }) => extensions['code']),
      ['GATEWAY_TIMEOUT'],
    );
  }
  shop.top = 'well';
  assert.equal((await gateway.graphql('{ top { id } }')).errors, undefined);
});

test('settings of resilience are refused where they could not hold', async () => {
  assert.throws(
    () =>
      parseConfig({
        fields: { 'Mutation.buy': { timeout: '1s' }, 'Product.name': { fallback: 'x', staleIfError: '1m' } },
      }),
    (error: GatewayError) =>
      error.reasons?.map(({ path }) => path).join(' ') ===
      '/fields/Mutation.buy/timeout /fields/Product.name/staleIfError',
  );
});
