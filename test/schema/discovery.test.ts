import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'node:test';
import { buildSchema, graphql, lexicographicSortSchema, printSchema } from 'graphql';
import { Agent } from 'undici';
import { GatewayError } from '../../policies/errors.ts';
import { createDiscovery, discoverSchema, parseGivenSchema } from '../../schema/discovery.ts';
import { inventory, products } from './shop.ts';
import { buildSubgraphSource, federationLink, serve, startSubgraph } from './subgraph-server.ts';

const refused = (code: string) => (error: unknown) => {
  assert.ok(error instanceof GatewayError);
  assert.equal(error.code, code);
  assert.equal(error.service, 'shop');
  assert.doesNotMatch(error.message, /127\.0\.0\.1|localhost|ECONN/);
  return true;
};

test('a federated service is asked for its SDL', async () => {
  await using subgraph = await startSubgraph(buildSubgraphSource(products));
  const schema = await createDiscovery().discover('shop', {}, subgraph.url);
  assert.equal(schema.kind, 'federation');
  assert.equal(schema.source, 'federation');
  assert.match(schema.sdl, /type Product @key\(fields: "upc"\)|type Product\s+@key/);
  assert.match(schema.hash, /^[0-9a-f]{64}$/);
  assert.equal(subgraph.requests.length, 1);
});

test('any other service is introspected, and two instances with another order have the same schema', async () => {
  const one = buildSchema('type Query { a(x: Int @deprecated(reason: "no")): A b: Int } type A { c: Int }');
  const other = buildSchema('type A { c: Int } type Query { b: Int a(x: Int @deprecated(reason: "no")): A }');
  await using first = await startSubgraph(one);
  await using second = await startSubgraph(other);
  const discovery = createDiscovery();
  const schema = await discovery.discover('shop', { path: '/any/path' }, first.url);
  assert.equal(schema.kind, 'plain');
  assert.equal(schema.source, 'introspection');
  assert.equal(schema.sdl, printSchema(lexicographicSortSchema(one)));
  assert.deepEqual(await discovery.discover('shop', {}, second.url), schema);
});

test('a service that knows only older introspection is understood', async () => {
  const schema = buildSchema('type Query { a: Int }');
  const asked: string[] = [];
  const found = await discoverSchema(async (query) => {
    asked.push(query);
    if (query.includes('_service') || query.includes('specifiedByURL'))
      return { errors: [{ message: 'unknown field' }] };
    return graphql({ schema, source: query });
  });
  assert.equal(found.sdl, 'type Query {\n  a: Int\n}');
  assert.equal(asked.length, 3);
});

test('the kind that the definition names is the only one asked for', async () => {
  await using federated = await startSubgraph(buildSubgraphSource(products));
  await using plain = await startSubgraph(buildSubgraphSource(inventory));
  const discovery = createDiscovery();
  assert.equal((await discovery.discover('shop', { kind: 'plain' }, federated.url)).kind, 'plain');
  await assert.rejects(
    discovery.discover('shop', { kind: 'federation' }, plain.url),
    refused('DOWNSTREAM_SERVICE_ERROR'),
  );
});

for (const [what, body] of [
  ['HTML', '<html>'],
  ['JSON that is no GraphQL', '[]'],
  ['an introspection that is none', '{"data":{"__schema":{"types":[{"kind":"OBJECT"}]}}}'],
] as const) {
  test(`a service that answers with ${what} is no GraphQL service`, async () => {
    await using server = await serve([], (_, response) => response.end(body));
    await assert.rejects(createDiscovery().discover('shop', {}, server.url), refused('DOWNSTREAM_SERVICE_ERROR'));
  });
}

test('a service that cannot be reached, or does not answer in time, is unavailable', async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const address = free.address();
  assert.ok(address !== null && typeof address === 'object');
  free.close();
  await assert.rejects(
    createDiscovery().discover('shop', {}, `http://127.0.0.1:${address.port}`),
    refused('SERVICE_UNAVAILABLE'),
  );
  await using silent = await serve([], () => {});
  await assert.rejects(
    createDiscovery({ timeoutMs: 50 }).discover('shop', {}, silent.url),
    refused('SERVICE_UNAVAILABLE'),
  );
});

test('an endless answer is cut off', async () => {
  await using endless = await serve([], (_, response) => {
    const write = (): void => {
      while (!response.destroyed && response.write('x'.repeat(10_000)));
      if (!response.destroyed) response.once('drain', write);
    };
    write();
  });
  await assert.rejects(
    createDiscovery({ maxResponseBytes: 100_000 }).discover('shop', {}, endless.url),
    refused('DOWNSTREAM_SERVICE_ERROR'),
  );
});

test('redirects are not followed, and the path is sent as it is', async () => {
  let visits = 0;
  await using target = await serve([], (_, response) => {
    visits += 1;
    response.end('{}');
  });
  const paths: (string | undefined)[] = [];
  await using server = await serve([], (_, response, request) => {
    paths.push(request.url);
    response.writeHead(307, { location: target.url }).end('{}');
  });
  await assert.rejects(
    createDiscovery().discover('shop', { path: '//other.example/../x' }, server.url),
    refused('DOWNSTREAM_SERVICE_ERROR'),
  );
  assert.equal(visits, 0);
  assert.ok(paths.every((path) => path === '//other.example/../x'));
});

test('connections come from the dispatcher that is given, where addresses can be refused', async () => {
  await using subgraph = await startSubgraph(buildSubgraphSource(products));
  await using dispatcher = new (class extends Agent {
    async [Symbol.asyncDispose]() {
      await this.destroy();
    }
  })({ connect: (_, callback) => callback(new Error('refused by the guard'), null) });
  await assert.rejects(
    createDiscovery({ dispatcher }).discover('shop', {}, subgraph.url),
    refused('SERVICE_UNAVAILABLE'),
  );
  assert.equal(subgraph.requests.length, 0);
});

test('SDL that a service gives away and that does not parse is refused with its place', async () => {
  await using server = await serve([], (_, response) =>
    response.end(JSON.stringify({ data: { _service: { sdl: 'type Query {\n  a: }' } } })),
  );
  await assert.rejects(createDiscovery().discover('shop', {}, server.url), (error: unknown) => {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'REGISTRATION_REFUSED');
    assert.match(error.reasons?.[0]?.message ?? '', /line 2, column 6/);
    assert.equal(error.reasons?.[0]?.service, 'shop');
    return true;
  });
});

for (const [kind, sdl] of [
  ['federation', `${federationLink} type Query { a: Int }`],
  ['federation', 'type Query { a: A } type A @key(fields: "id") { id: ID }'],
  ['federation', 'extend type Query { a: Int }'],
  ['federation', 'type Query { a: A } type A { id: ID @external }'],
  ['federation', 'type Query { a: A } type A { id: ID @shareable }'],
  ['plain', 'type Query { a: Int }'],
  ['plain', 'type Query { a(ids: [ID]): [A] @merge } type A @key(selectionSet: "{ id }") { id: ID }'],
  ['plain', 'directive @requires(x: Int) on FIELD_DEFINITION type Query { a: Int @requires(x: 1) }'],
  ['plain', 'type Query { a: Int } extend type Query { b: Int }'],
] as const) {
  test(`given SDL is ${kind}: ${sdl.replace(federationLink, 'with @link,')}`, () => {
    const schema = parseGivenSchema(sdl);
    assert.equal(schema.kind, kind);
    assert.equal(schema.source, 'registration');
    assert.equal(parseGivenSchema(sdl, 'plain').kind, 'plain');
  });
}

test('equal SDL of another kind has another hash', () => {
  const sdl = 'type Query { a: Int }';
  assert.notEqual(parseGivenSchema(sdl, 'plain').hash, parseGivenSchema(sdl, 'federation').hash);
  assert.equal(parseGivenSchema(sdl).hash, parseGivenSchema(sdl).hash);
});
