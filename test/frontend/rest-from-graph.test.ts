import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { startSubgraph } from '../support/subgraph.ts';
import { resolvers, sdl, startShop } from './fixture.ts';

const rest: NonNullable<GatewayConfig['rest']> = {
  'GET /rest/orders/:id': {
    document: 'query Order($id: ID!) { order(id: $id) { id total note } }',
    select: '/order',
    errors: { OUT_OF_STOCK: 409 },
  },
  'GET /rest/orders': {
    document:
      'query Orders($first: Int! = 2, $status: Status, $ids: [ID!]) { orders(first: $first, status: $status, ids: $ids) { id } }',
    variables: { first: 'query.limit' },
    select: '/orders',
  },
  'POST /rest/orders': {
    document: 'mutation Place($input: NewOrder!) { placeOrder(input: $input) { id } }',
    variables: { input: 'body' },
    select: '/placeOrder',
    status: 201,
  },
};

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
type Body = any;

async function get(url: string, init: RequestInit = {}): Promise<{ status: number; headers: Headers; body: Body }> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text === '' ? null : JSON.parse(text) };
}

const post = (
  body: unknown,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): RequestInit => ({
  method: 'POST',
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

async function eachEngine(t: TestContext, run: (url: string) => Promise<void>): Promise<void> {
  for (const engine of ['auto', 'stitched'] as const) {
    const { url } = await startShop(t, { rest, graphql: { engine } });
    await run(url);
  }
}

describe('REST from the graph', () => {
  it('answers with what the document selects, by either engine', async (t) => {
    await eachEngine(t, async (url) => {
      const one = await get(`${url}/rest/orders/7`);
      assert.deepEqual([one.status, one.body], [200, { id: '7', total: 12, note: 'fine' }]);
      assert.equal(one.headers.get('content-type'), 'application/json');
      assert.deepEqual((await get(`${url}/rest/orders`)).body, [{ id: '1' }, { id: '2' }]);
      assert.deepEqual((await get(`${url}/rest/orders?limit=1&status=PAID`)).body, [{ id: '1' }]);
      assert.deepEqual((await get(`${url}/rest/orders?limit=5&ids=a&ids=b`)).body, [{ id: 'a' }, { id: 'b' }]);
      const placed = await get(`${url}/rest/orders`, post({ product: 'tea' }));
      assert.deepEqual([placed.status, placed.body], [201, { id: 'tea' }]);
    });
  });

  it('says where a request does not fit, and what was expected', async (t) => {
    const { url } = await startShop(t, { rest });
    const reasonOf = async (path: string, init?: RequestInit) => {
      const { status, body } = await get(url + path, init);
      assert.equal(status, 400, path);
      return body.reasons?.[0]?.message ?? body.detail;
    };
    assert.match(await reasonOf('/rest/orders?limit=x'), /^query\.limit: expected Int!.*Int cannot represent/);
    assert.match(await reasonOf('/rest/orders?limit=1&limit=2'), /^query\.limit: expected Int!/);
    assert.match(await reasonOf('/rest/orders?status=LOST'), /^query\.status: expected Status.*"LOST"/);
    assert.match(await reasonOf('/rest/orders', post({ count: 1 })), /^body: expected NewOrder!.*"product"/);
    assert.match(await reasonOf('/rest/orders', post({ product: '1', price: 1 })), /"price" is not defined/);
    assert.match(await reasonOf('/rest/orders', post('{')), /no JSON/);
    assert.equal((await get(`${url}/rest/orders`, post('product=1', {}))).status, 415);
  });

  it('tells by its status what became of the operation', async (t) => {
    const { url } = await startShop(t, { rest });
    const statusOf = async (id: string) => {
      const { status, body } = await get(`${url}/rest/orders/${id}`);
      return [status, body.code];
    };
    assert.deepEqual(await statusOf('none'), [404, 'NOT_FOUND']);
    assert.deepEqual(await statusOf('UNAUTHENTICATED'), [401, 'UNAUTHENTICATED']);
    assert.deepEqual(await statusOf('FORBIDDEN'), [403, 'FORBIDDEN']);
    assert.deepEqual(await statusOf('NOT_FOUND'), [404, 'NOT_FOUND']);
    assert.deepEqual(await statusOf('OUT_OF_STOCK'), [409, 'OUT_OF_STOCK']);
    assert.deepEqual(await statusOf('STRANGE'), [502, 'STRANGE']);
    const partial = await get(`${url}/rest/orders/partial`);
    assert.deepEqual([partial.status, partial.body.note], [200, null]);
    assert.equal(partial.headers.get('x-partial'), 'order.note;code=NOTE_LOST');
    assert.equal(partial.headers.get('cache-control'), 'no-store');
  });

  it('is not sent again to who has it, HEAD included', async (t) => {
    const { url } = await startShop(t, { rest });
    const etag = (await get(`${url}/rest/orders/7`)).headers.get('etag') ?? '';
    assert.equal((await get(`${url}/rest/orders/7`, { headers: { 'if-none-match': etag } })).status, 304);
    assert.equal((await get(`${url}/rest/orders/8`, { headers: { 'if-none-match': etag } })).status, 200);
    const head = await get(`${url}/rest/orders/7`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers.get('etag')], [200, null, etag]);
  });

  it('passes the limits and rights of the graph once, and those of its own', async (t) => {
    const { url, graphql } = await startShop(t, {
      rest: {
        ...rest,
        'GET /rest/orders': {
          ...rest['GET /rest/orders'],
          document: rest['GET /rest/orders']?.document ?? '',
          authorize: { roles: ['admin'] },
        },
      },
      policies: { rateLimit: [{ name: 'all', limit: 3, window: '1h', key: 'ip' }] },
      fields: { 'Query.order': { authorize: { authenticated: true } } },
      authentication: {
        apiKeys: [{ name: 'ada', sha256: '2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b' }],
      },
    });
    assert.equal((await get(`${url}/rest/orders`)).status, 401);
    const first = await get(`${url}/rest/orders/7`);
    assert.deepEqual([first.status, first.body.code], [401, 'UNAUTHENTICATED']);
    const second = await get(`${url}/rest/orders/7`, { headers: { 'x-api-key': 'secret' } });
    assert.equal(second.status, 200);
    assert.match(second.headers.get('ratelimit') ?? '', /r=1/);
    await graphql('{ __typename }');
    const refused = await get(`${url}/rest/orders/7`);
    assert.deepEqual([refused.status, refused.headers.get('retry-after') !== null], [429, true]);
  });

  it('is trusted where clients may only ask persisted operations', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'documents-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const source = join(folder, 'documents.json');
    await writeFile(source, JSON.stringify({ [hash('sha256', '{ __typename }')]: '{ __typename }' }));
    const { url, graphql } = await startShop(t, {
      rest,
      graphql: { persistedOperations: { mode: 'enforce', source: `file:${source}`, apq: false } },
    });
    assert.equal((await get(`${url}/rest/orders/7`)).status, 200);
    const { errors } = await graphql('{ orders(first: 1) { id } }');
    assert.equal(errors?.[0]?.extensions['code'], 'PERSISTED_QUERY_REQUIRED');
  });

  it('answers 503 while the graph does not fit, warns, and counts as use of the schema', async (t) => {
    const subgraph = await startSubgraph(t, sdl, resolvers);
    const { url, admin, lines } = await startGateway(t, {
      rest: {
        'GET /rest/stock/:id': { document: 'query Stock($id: ID!) { stock(id: $id) }', select: '/stock' },
        ...rest,
      },
      registry: { schemaChanges: 'no-breaking-in-use' },
    });
    const missing = await get(`${url}/rest/orders/7`);
    assert.deepEqual([missing.status, missing.body.code], [503, 'ROUTE_DOES_NOT_FIT']);
    assert.ok(lines.some(({ msg, route }) => String(msg).includes('does not fit') && route === 'GET /rest/orders/:id'));
    const definition = (schema: string) => ({
      graphql: { kind: 'federation', schema },
      instances: [{ url: subgraph.url }],
    });
    const put = (schema: string) => admin('PUT', '/services/orders', definition(schema));
    const link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@key"])';
    assert.ok((await put(`${link}${sdl}`)).status < 300);
    assert.equal((await get(`${url}/rest/orders/7`)).status, 200);
    const { own } = (await admin('GET', '/routes')).body;
    assert.deepEqual(
      own.map(({ label, fits }: { label: string; fits: boolean }) => [label, fits]),
      [
        ['GET /rest/stock/:id', false],
        ['GET /rest/orders/:id', true],
        ['GET /rest/orders', true],
        ['POST /rest/orders', true],
      ],
    );
    // Nobody has asked for it by this route: it is the document that uses it.
    const refused = await put(`${link}${sdl.replace('placeOrder(input: NewOrder!): Order!', '')}`);
    assert.equal(refused.status, 422);
    assert.match(JSON.stringify(refused.body), /POST \/rest\/orders/);
    assert.ok((await put(`${link}${sdl.replace('broken: String!', '')}`)).status < 300);
  });
});

describe('the configuration of REST from the graph', () => {
  it('says what is wrong', async (t) => {
    const mistakeOf = async (key: string, route: object) =>
      await startGateway(t, { rest: { [key]: route } as never }).then(
        () => 'none',
        (error: { reasons?: { message: string }[] }) => error.reasons?.[0]?.message ?? String(error),
      );
    assert.match(await mistakeOf('GET /a', { document: 'query {' }), /Syntax Error/);
    assert.match(await mistakeOf('GET /a', { document: 'mutation { a }' }), /cannot be a GET/);
    assert.match(await mistakeOf('GET /a', { document: 'subscription { a }' }), /no single answer/);
    assert.match(await mistakeOf('GET /a', { document: 'query A { a } query B { a }' }), /several operations/);
    assert.match(await mistakeOf('GET /a', { document: '{ a }', variables: { b: 'query.b' } }), /no variable \$b/);
    assert.match(
      await mistakeOf('GET /a', { document: 'query($b: ID) { a(b: $b) }', variables: { b: 'params.b' } }),
      /the path has no `:b`/,
    );
    assert.match(await mistakeOf('TRACE /a', { document: '{ a }' }), /TRACE/);
    assert.match(await mistakeOf('POST /graphql', { document: '{ a }' }), /taken by the GraphQL door/);
  });
});
