import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startSubgraph, type TestService } from '../support/subgraph.ts';

// Breaking changes, weighed against what clients were really seen to use.

const sdl = `type Query { products(filter: Filter, sort: Sort): [Product!]! unused: Int }
  type Product @key(fields: "id") { id: ID! name: String price: Int size: Size weight: Int }
  input Filter { name: String inStock: Boolean colour: String } enum Sort { NAME PRICE AGE } enum Size { SMALL BIG }`;

async function startShop(
  t: TestContext,
  config: GatewayConfig,
): Promise<{ gateway: TestGateway; service: TestService }> {
  const service = await startSubgraph(t, sdl, { Query: { products: () => [{ id: '1', name: 'Table', price: 5 }] } });
  const gateway = await startGateway(t, config);
  const answer = await gateway.admin('PUT', '/services/products', definition(service, sdl));
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return { gateway, service };
}

function definition(service: TestService, schema: string, more: object = {}) {
  return { graphql: { kind: 'federation', schema }, instances: [{ url: service.url }], ...more };
}

const inUse: GatewayConfig = { registry: { schemaChanges: 'no-breaking-in-use' } };
const web = { 'apollographql-client-name': 'web', 'apollographql-client-version': '1.2' };

interface Change {
  path: string;
  verdict: string;
  criticality: string;
  usedBy?: { client: string; version: string; count: number; lastSeen: string }[];
}

for (const engine of ['auto', 'stitched'] as const) {
  test(`a breaking change of a field that a client uses is refused, and of another one accepted (${engine})`, async (t) => {
    const { gateway, service } = await startShop(t, { ...inUse, graphql: { engine } });
    for (let count = 0; count < 3; count += 1) {
      assert.equal((await gateway.graphql('{ products { name } }', { headers: web })).errors, undefined);
    }
    const graph = await gateway.admin('GET', '/graph');
    const withoutName = definition(service, sdl.replace('name: String price', 'price'));
    for (const path of ['/services/products?dryRun=1', '/services/products']) {
      const refused = await gateway.admin('PUT', path, withoutName);
      assert.equal(refused.status, 422);
      assert.equal(refused.body.reasons.length, 1);
      assert.equal(refused.body.reasons[0].code, 'BREAKING_CHANGE_IN_USE');
      assert.equal(refused.body.reasons[0].path, 'Product.name');
      assert.equal(refused.body.reasons[0].service, 'products');
      assert.match(refused.body.reasons[0].message, /used by web 1\.2 \(3 requests, last seen 20/);
    }
    assert.deepEqual((await gateway.admin('GET', '/graph')).body, graph.body);
    assert.equal((await gateway.graphql('{ products { name } }')).errors, undefined);

    const accepted = await gateway.admin(
      'PUT',
      '/services/products',
      definition(service, sdl.replace(' weight: Int', ' mass: Int')),
    );
    assert.equal(accepted.status, 200);
    assert.deepEqual(
      accepted.body.changes.map(({ path, criticality, verdict, usedBy }: Change) => [
        path,
        criticality,
        verdict,
        usedBy,
      ]),
      [
        ['Product.weight', 'breaking', 'accepted', []],
        ['Product.mass', 'safe', 'accepted', undefined],
      ],
    );
  });
}

test('arguments, input fields and enum values count as used, in documents and in variables', async (t) => {
  const { gateway, service } = await startShop(t, inUse);
  const query = 'query Q($filter: Filter) { products(filter: $filter, sort: PRICE) { id } }';
  await gateway.graphql(query, {
    variables: { filter: { inStock: true } },
    headers: { 'x-graphql-client-name': 'app' },
  });
  const put = (schema: string) => gateway.admin('PUT', '/services/products?dryRun=1', definition(service, schema));
  assert.equal((await put(sdl.replace(' inStock: Boolean', ''))).status, 422);
  assert.equal((await put(sdl.replace(' colour: String', ''))).status, 200);
  assert.equal((await put(sdl.replace(' PRICE', ''))).status, 422);
  assert.equal((await put(sdl.replace(' AGE', ''))).status, 200);
  assert.equal((await put(sdl.replace(', sort: Sort', ''))).status, 422);
  assert.equal((await put(sdl.replace('sort: Sort)', 'sort: Sort, page: Int!)'))).status, 422);
  assert.equal((await put(sdl.replace('colour: String', 'colour: String!'))).status, 422);
  assert.equal((await put(sdl.replace(' unused: Int', ''))).status, 200);
  const usage = await gateway.admin('GET', '/graph/usage?field=Filter.inStock');
  assert.equal(usage.body.usedBy[0].client, 'app');
});

test('`no-breaking` refuses what nobody uses too, and a service may have its own policy', async (t) => {
  const { gateway, service } = await startShop(t, { registry: { schemaChanges: 'no-breaking' } });
  const changed = sdl.replace(' unused: Int', '');
  const refused = await gateway.admin('PUT', '/services/products', definition(service, changed));
  assert.equal(refused.status, 422);
  assert.equal(refused.body.reasons[0].code, 'BREAKING_CHANGE');
  assert.equal((await gateway.admin('DELETE', '/services/products')).status, 422);
  const own = await gateway.admin('PUT', '/services/products', definition(service, changed, { schemaChanges: 'any' }));
  assert.equal(own.status, 200);
});

test('a reload of the configuration follows the same rule', async (t) => {
  const service = await startSubgraph(t, sdl, { Query: { products: () => [] } });
  const withSchema = (schema: string): GatewayConfig => ({
    ...inUse,
    store: 'memory',
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    services: { products: { graphql: { kind: 'federation', schema }, instances: [{ url: service.url }] } },
  });
  const gateway = await startGateway(t, withSchema(sdl));
  assert.deepEqual((await gateway.graphql('{ products { name } }')).data, { products: [] });
  await assert.rejects(gateway.gateway.reload(withSchema(sdl.replace('name: String price', 'price'))), /schemaChanges/);
  assert.deepEqual((await gateway.graphql('{ products { name } }')).data, { products: [] });
  await gateway.gateway.reload(withSchema(sdl.replace(' unused: Int', '')));
  await assertUnknown(gateway, '{ unused }');
});

async function assertUnknown(gateway: TestGateway, query: string): Promise<void> {
  const { errors } = await gateway.graphql(query);
  assert.equal(errors?.[0]?.extensions['code'], 'GRAPHQL_VALIDATION_FAILED');
}
