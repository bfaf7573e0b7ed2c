import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { buildOpenapi } from '../../gateway/openapi.ts';
import { compileLeadBack } from '../../gateway/openapi-paths.ts';
import { OpenapiSources } from '../../gateway/openapi-sources.ts';
import { buildRouteTable } from '../../gateway/route-table.ts';
import { type OpenapiComponents, ServiceOpenapi } from '../../gateway/service-openapi.ts';
import type { Route } from '../../subgraphs/service-definition.ts';
import type { Snapshot } from '../../subgraphs/snapshot.ts';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';
import { findFaults, type Part } from './openapi-faults.ts';

const ok = { 200: { description: 'well' } };

const orders = {
  openapi: '3.0.3',
  info: { title: 'internal', version: '1' },
  servers: [{ url: 'http://10.0.0.7:8080/v1' }],
  security: [{ internal: [] }],
  paths: {
    '/orders': {
      get: {
        operationId: 'list',
        summary: 'All orders',
        security: [{ internal: [] }],
        parameters: [{ $ref: '#/components/parameters/limit' }],
        responses: { 200: { $ref: '#/components/responses/Orders' } },
        'x-internal': 'http://10.0.0.7',
      },
      post: {
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } } },
        responses: { 201: { description: 'made' } },
      },
    },
    '/orders/{orderId}': {
      parameters: [{ name: 'orderId', in: 'path', required: true, schema: { type: 'integer' } }],
      get: { responses: ok },
    },
    '/admin/secrets': { get: { responses: ok } },
  },
  components: {
    parameters: { limit: { name: 'limit', in: 'query', schema: { type: 'integer' } } },
    responses: {
      Orders: {
        description: 'many',
        content: { 'application/json': { schema: { type: 'array', items: { $ref: '#/components/schemas/Order' } } } },
      },
    },
    schemas: {
      Order: {
        type: 'object',
        nullable: true,
        properties: {
          parent: { $ref: '#/components/schemas/Order' },
          nullable: { type: 'boolean' },
          count: { type: 'integer', minimum: 0, exclusiveMinimum: true },
        },
      },
      Unused: { type: 'string' },
    },
  },
};

const routes = [
  { match: { path: '/api/:tenant/orders/*', methods: ['GET', 'POST'] }, rewrite: '/v1/orders/*' },
  { match: { path: '/api/:tenant/orders', methods: ['GET', 'POST'] }, rewrite: '/v1/orders' },
].map((route) => ({ ...route, validate: { openapi: { service: '/openapi.json' } } })) as Route[];

/** A service that has the document that was last said. */
async function startService(t: TestContext) {
  const state = { status: 200, body: JSON.stringify(orders), looks: 0 };
  const server = await startServer(t, (request, response) => {
    if (request.url !== '/openapi.json') return void response.end('{}');
    state.looks++;
    response.writeHead(state.status, { 'content-type': 'application/json' }).end(state.body);
  });
  return { state, url: server.url };
}

describe('the document of a service', () => {
  for (const workers of [1, 2]) {
    it(`stands in that of the gateway, under the paths of routes (workers: ${workers})`, async (t) => {
      const { state, url } = await startService(t);
      state.status = 404;
      const gateway = await startGateway(t, {
        openapi: {},
        workers,
        services: { orders: { instances: [{ url }], routes } },
      });
      const read = async (): Promise<Part> => await (await fetch(`${gateway.url}/openapi.json`)).json();
      const before = await read();
      assert.deepEqual(Object.keys(before.paths).sort(), ['/api/{tenant}/orders', '/api/{tenant}/orders/{wildcard}']);
      assert.deepEqual(findFaults(before), []);
      state.status = 200;
      // At once, so that connections lead to all workers: each fetches for itself.
      await until(async () => {
        const documents = await Promise.all(Array.from({ length: 10 }, read));
        return documents.every(({ paths }) => '/api/{tenant}/orders/{orderId}' in paths);
      }, 'the document');
      const document = await read();
      assert.deepEqual(findFaults(document), []);
      assert.deepEqual(Object.keys(document.paths).sort(), ['/api/{tenant}/orders', '/api/{tenant}/orders/{orderId}']);
      const { get, post } = document.paths['/api/{tenant}/orders'];
      assert.equal(get.summary, 'All orders');
      assert.equal(get.security, undefined);
      assert.deepEqual(
        get.parameters.map((one: Part) => `${one.in} ${one.name}`),
        ['path tenant', 'query limit'],
      );
      assert.deepEqual(get.responses['200'], { $ref: '#/components/responses/orders.Orders' });
      assert.deepEqual(get.responses.default, { $ref: '#/components/responses/Problem' });
      assert.deepEqual(post.requestBody.content['application/json'].schema, {
        $ref: '#/components/schemas/orders.Order',
      });
      assert.deepEqual(document.components.schemas['orders.Order'], {
        type: ['object', 'null'],
        properties: {
          parent: { $ref: '#/components/schemas/orders.Order' },
          nullable: { type: 'boolean' },
          count: { type: 'integer', exclusiveMinimum: 0 },
        },
      });
      const text = JSON.stringify(document);
      assert.doesNotMatch(text, /10\.0\.0\.7|internal|Unused|secrets/);
      await until(async () => {
        const { body } = await gateway.admin('GET', '/openapi.json');
        return JSON.stringify(body) === text;
      }, 'the same at the admin port');
      // What is described is what passes.
      const statusOf = async (path: string) => (await fetch(`${gateway.url}/api/acme${path}`)).status;
      assert.deepEqual([await statusOf('/orders/7'), await statusOf('/orders/7/else')], [200, 422]);
    });
  }

  it('is the last good one while the service is down or tells something else, and a new one when it has it', async (t) => {
    const said: { status: number; body: string } = { status: 200, body: JSON.stringify(orders) };
    let looks = 0;
    const sources = new OpenapiSources({
      async call({ receiver }) {
        looks++;
        if (said.status === 0) throw new Error('nobody is there');
        receiver.onHead(said.status, [], { resume() {}, abort() {} });
        receiver.onData(Buffer.from(said.body));
        receiver.onEnd([]);
      },
      log: { info() {}, warn() {} },
      intervalMs: 10,
    });
    t.after(() => sources[Symbol.dispose]());
    const snapshot = { services: [{ name: 'orders', definition: { routes } }] } as unknown as Snapshot;
    sources.follow(snapshot);
    const { targets } = buildRouteTable(snapshot, { maxBodyBytes: 1, authenticationRequired: false, rateLimit: [] });
    const settings = { own: { static: [], aggregate: {}, rest: {}, openapi: {} }, authentication: {} };
    const read = () =>
      Object.keys(
        buildOpenapi({
          ...{ settings: { ...settings, graphql: { path: '/graphql' } } as never, targets, bound: [], own: [] },
          ...{ schema: {} as never, documents: sources },
        })['paths'] as object,
      ).sort();
    const known = ['/api/{tenant}/orders', '/api/{tenant}/orders/{orderId}'];
    await until(() => sources.revision === 1, 'the first document');
    assert.deepEqual(read(), known);
    for (const bad of [{ status: 0 }, { status: 503 }, { body: '{"openapi":"2.0"}' }, { body: 'x: &a [*a]' }]) {
      Object.assign(said, { status: 200, ...bad });
      const before = looks;
      await until(() => looks > before + 1, 'further looks');
      assert.deepEqual(read(), known);
    }
    const { revision } = sources;
    Object.assign(said, {
      status: 200,
      body: JSON.stringify({ ...orders, paths: { '/orders/{id}/items': { get: { responses: ok } } } }),
    });
    await until(() => sources.revision > revision, 'the second document');
    assert.deepEqual(read(), ['/api/{tenant}/orders/{id}/items']);
  });

  it('cannot be larger than what is read of it, nor by what YAML repeats', async (t) => {
    const bodies = [
      `{"openapi":"3.1.0","paths":{"/a":{"get":{"responses":{},"summary":"${'x'.repeat(5_000_000)}"}}}}`,
      `openapi: 3.1.0\nbig: &big "${'x'.repeat(100_000)}"\npaths: { /a: { get: { tags: [${'*big, '.repeat(90)}] } } }`,
      `openapi: 3.1.0\npaths: &p { /a: { get: { responses: {} } }, x: *p }`,
      `{"openapi":"3.1.0","paths":{},"x":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`,
    ];
    const warnings: string[] = [];
    let asked = 0;
    const sources = new OpenapiSources({
      async call({ receiver }) {
        let failure: Error | undefined;
        receiver.onHead(200, [], {
          resume() {},
          abort: (reason) => {
            failure = reason;
          },
        });
        receiver.onData(Buffer.from(bodies[asked++ % bodies.length] ?? ''));
        if (failure !== undefined) throw failure;
        receiver.onEnd([]);
      },
      log: { info() {}, warn: (_, fields) => void warnings.push(String((fields?.['error'] as Error)?.message)) },
      intervalMs: 10,
    });
    t.after(() => sources[Symbol.dispose]());
    sources.follow({ services: [{ name: 'orders', definition: { routes } }] } as unknown as Snapshot);
    await until(() => asked > bodies.length, 'all of them');
    assert.equal(sources.revision, 0, warnings.join());
    assert.equal(sources.findDocument('orders', routes[0]?.validate ?? {}), null);
  });
});

const list = (document: object, route: object = { match: { path: '/*' } }, characters = 1_000_000) => {
  const components: OpenapiComponents = {};
  const found = new ServiceOpenapi('s', { openapi: '3.1.0', ...document }, components, { characters }).list(
    route as never,
  );
  return { ...found, components };
};
const withSchema = (schema: unknown, components: object = {}) => ({
  paths: { '/a': { get: { responses: { 200: { description: '', content: { 'application/json': { schema } } } } } } },
  components,
});

describe('a hostile document', () => {
  it('refers to nothing but itself, and may go in circles', () => {
    const schemas = {
      A: { $ref: '#/components/schemas/A' },
      B: { properties: { c: { $ref: '#/components/schemas/C' } } },
      C: { allOf: [{ $ref: '#/components/schemas/B' }, { $ref: '#/components/schemas/A' }] },
    };
    const { components, operations } = list(
      withSchema(
        { anyOf: [{ $ref: '#/components/schemas/B' }, { $ref: 'http://10.0.0.1/x' }, { $ref: '#x' }] },
        { schemas },
      ),
    );
    assert.deepEqual(Object.keys(components['schemas'] ?? {}).sort(), ['s.A', 's.B', 's.C']);
    assert.doesNotMatch(JSON.stringify(operations), /10\.0\.0\.1|#x/);
    const inPath = { get: { parameters: [{ $ref: '#/paths/~1a/get/parameters/0' }], responses: {} } };
    assert.deepEqual(list({ paths: { '/a': inPath } }).operations[0]?.operation['parameters'], []);
    const { operations: none } = list({ paths: { '/a': { $ref: '#/paths/~1b' }, '/b': { $ref: '#/paths/~1a' } } });
    assert.deepEqual(none, []);
  });

  it('has names that are none, and touches no prototype', () => {
    const schemas = JSON.parse('{"__proto__":{"type":"string"},"a/b c":{"type":"integer"},"a_b_c":{"type":"null"}}');
    const refs = ['__proto__', 'a~1b c', 'a_b_c', 'toString'].map((name) => ({ $ref: `#/components/schemas/${name}` }));
    const { components, operations } = list(withSchema({ anyOf: refs }, { schemas }));
    assert.deepEqual(Object.keys(components['schemas'] ?? {}).sort(), ['s.__proto__', 's.a_1b_c', 's.a_b_c']);
    assert.equal(({} as Record<string, unknown>)['type'], undefined);
    assert.equal(operations.length, 1);
    const paths = JSON.parse(
      '{"/{a}/{a}":{"get":{}},"/{a":{"get":{}},"/b?c":{"get":{}},"/ok":{"__proto__":{"get":{}},"get":{}}}',
    );
    assert.deepEqual(
      list({ paths }).operations.map(({ path, method }) => `${method} ${path}`),
      ['get /ok'],
    );
  });

  it('is taken as far as there is room, and the rest is described in general', () => {
    const paths = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [
        `/p${index}`,
        { get: { summary: 'x'.repeat(1_000), responses: {} } },
      ]),
    );
    const { operations, isWhole } = list({ paths }, undefined, 100_000);
    assert.equal(isWhole, false);
    assert.ok(operations.length > 50 && operations.length < 100, String(operations.length));
    let deep: object = { type: 'string' };
    for (let depth = 0; depth < 5_000; depth++) deep = { items: deep };
    assert.ok(JSON.stringify(list(withSchema(deep)).operations).length < 5_000);
  });
});

describe('the way back from a path at a service', () => {
  const back = (match: object, rewrite: string | undefined, template: string) =>
    compileLeadBack({ match, ...(rewrite !== undefined && { rewrite }) } as never)?.(template);

  it('is that of the route, with what it captures', () => {
    assert.equal(back({ path: '/api/*' }, '/v1/*', '/v1/users/{id}'), '/api/users/{id}');
    assert.equal(back({ path: '/api/*' }, undefined, '/api/a'), '/api/a');
    assert.equal(back({ path: '/API/*', ignoreCase: true }, undefined, '/api/a'), '/API/a');
    assert.equal(back({ path: '/u/:id' }, '/users/:id', '/users/{userId}'), '/u/{userId}');
    assert.equal(back({ path: '/t/:id/*' }, '/v1/*', '/v1/orders/{id}'), '/t/{id_}/orders/{id}');
    assert.equal(back({ path: '/a/*' }, '/fixed', '/fixed'), '/a/{wildcard}');
    for (const other of ['/v2/users', '/v1', '/v1x/a', '/v1/{a', '/v1/a b', '/v1/{a}/{a}'])
      assert.equal(back({ path: '/api/*' }, '/v1/*', other), null, other);
  });

  it('is not told where nobody knows it', () => {
    assert.equal(back({ path: '/o/:id(\\d+)' }, '/v1/:id', '/v1/latest'), null);
    assert.equal(back({ path: '/o/:id(\\d+)' }, '/v1/:id', '/v1/{id}'), '/o/{id}');
    assert.equal(back({ path: '/*', regex: '/(\\w+)/x' }, '/v1/:1', '/v1/a'), undefined);
  });
});
