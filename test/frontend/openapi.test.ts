import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startShop } from './fixture.ts';
import { findFaults, type Part } from './openapi-faults.ts';

describe('the OpenAPI document', () => {
  it('describes routes of services, REST from the graph and aggregates, and is valid', async (t) => {
    const { url, admin } = await startShop(t, {
      openapi: { title: 'Shop' },
      authentication: { apiKeys: [{ name: 'ada', sha256: '0'.repeat(64) }] },
      aggregate: { '/overview/:id': { parts: { user: { service: 'users', path: '/users/:id' } } } },
      rest: {
        'GET /rest/orders/:order': {
          document:
            'query Order($order: ID!, $first: Int = 3) { order(id: $order) { id status note ...Items @include(if: true) } } fragment Items on Order { items(first: $first) { name price } }',
          select: '/order',
          authorize: { scopes: ['orders:read'] },
        },
        'POST /rest/orders': {
          document: 'mutation Place($input: NewOrder!) { placeOrder(input: $input) { id } }',
          variables: { input: 'body' },
          status: 201,
        },
        'GET /rest/lost': { document: '{ lost }' },
      },
      services: {
        users: {
          instances: [{ url: 'http://127.0.0.1:9' }],
          routes: [
            { match: { path: '/users/:id', methods: ['GET'] }, authorize: { anyScopes: [['a', 'b'], ['admin']] } },
            {
              match: { path: '/users/:name', methods: ['DELETE'] },
              rateLimit: [{ name: 'x', limit: 1, window: '1m' }],
            },
            { match: { path: '/files/*' } },
          ],
        },
      },
    });
    const answer = await fetch(`${url}/openapi.json`);
    const document: Part = await answer.json();
    assert.deepEqual(findFaults(document), []);
    assert.equal(document.info.title, 'Shop');
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/files/{wildcard}',
      '/overview/{id}',
      '/rest/lost',
      '/rest/orders',
      '/rest/orders/{order}',
      '/users/{id}',
    ]); // prettier-ignore
    const { get } = document.paths['/rest/orders/{order}'];
    assert.deepEqual(get.security, [{ apiKey: ['orders:read'] }]);
    assert.deepEqual(
      get.parameters.map((one: Part) => [one.name, one.in, one.required, one.schema]),
      [
        ['order', 'path', true, { type: 'string' }],
        ['first', 'query', false, { type: ['integer', 'null'], format: 'int32' }],
      ],
    );
    const { schema } = get.responses['200'].content['application/json'];
    assert.deepEqual(schema.required, ['id', 'status', 'note']);
    assert.equal(schema.type, 'object');
    assert.deepEqual(schema.properties.items.items.properties.price, { type: 'number' });
    assert.deepEqual(document.components.schemas.Status.enum, ['OPEN', 'PAID']);
    const { post } = document.paths['/rest/orders'];
    assert.deepEqual(post.requestBody.content['application/json'].schema, { $ref: '#/components/schemas/NewOrder' });
    assert.deepEqual(document.components.schemas.NewOrder.required, ['product']);
    const { get: one, delete: remove } = document.paths['/users/{id}'];
    assert.deepEqual(one.security, [{ apiKey: ['a', 'b'] }, { apiKey: ['admin'] }]);
    assert.equal(remove.parameters[0].name, 'id');
    assert.equal(remove.responses['429'].$ref, '#/components/responses/RateLimited');
    assert.deepEqual((await admin('GET', '/openapi.json')).body, document);
    const etag = answer.headers.get('etag') ?? '';
    assert.equal((await fetch(`${url}/openapi.json`, { headers: { 'if-none-match': etag } })).status, 304);
  });

  it('is at the public port only where it is asked for, and guarded where it says so', async (t) => {
    const closed = await startGateway(t, {});
    assert.equal((await fetch(`${closed.url}/openapi.json`)).status, 404);
    assert.equal((await closed.admin('GET', '/openapi.json')).status, 200);
    const guarded = await startGateway(t, { openapi: { path: '/api/docs.json', authorize: { roles: ['dev'] } } });
    assert.equal((await fetch(`${guarded.url}/api/docs.json`)).status, 401);
  });

  it('follows the registry', async (t) => {
    const { url, admin } = await startGateway(t, { openapi: {} });
    const pathsOf = async () => Object.keys(((await (await fetch(`${url}/openapi.json`)).json()) as Part).paths);
    assert.deepEqual(await pathsOf(), []);
    await admin('PUT', '/services/users', { routes: [{ match: { path: '/users/:id' } }] });
    assert.deepEqual(await pathsOf(), ['/users/{id}']);
  });
});
