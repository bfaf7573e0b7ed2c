import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../policies/errors.ts';
import { createAdmission } from '../../schema/admission.ts';
import { emptySnapshot, type Service, type Snapshot } from '../../subgraphs/snapshot.ts';
import { inventory, products, reviews } from './shop.ts';
import { buildService, type SubgraphSource } from './subgraph-server.ts';

const execute = async () => ({});

function buildSnapshot(...sources: readonly SubgraphSource[]): Snapshot {
  return { revision: 1, services: sources.map((source) => toRegistered(source)) };
}

function toRegistered(source: SubgraphSource): Service {
  return {
    name: source.name,
    definition: { graphql: source.merge === undefined ? {} : { merge: source.merge } },
    schema: buildService(source).schema,
    quarantine: null,
    instances: [],
    revision: 1,
    origin: 'admin',
  };
}

const changedProducts = {
  ...products,
  sdl: products.sdl.replace('name: String price: Int', 'title: String price: Int!'),
};

test('a candidate that composes is admitted with what changes for clients, the breaking changes first', async () => {
  const admit = createAdmission({ execute });
  const { graph, changes } = await admit(buildSnapshot(changedProducts), buildSnapshot(products));
  assert.deepEqual(graph.services, ['products']);
  assert.deepEqual(
    changes.map(({ path, criticality }) => [path, criticality]),
    [
      ['Product.name', 'breaking'],
      ['Product.title', 'safe'],
      ['Product.price', 'safe'],
    ],
  );
  assert.match(changes[0]?.message ?? '', /Field 'name' was removed from object type 'Product'/);
});

test('equal services compose once, also at the same time', async () => {
  const admit = createAdmission({ execute });
  const snapshot = buildSnapshot(products, reviews, inventory);
  const [one, two] = await Promise.all([admit(snapshot, emptySnapshot), admit(snapshot, emptySnapshot)]);
  const three = await admit(emptySnapshot, snapshot);
  assert.equal(one.graph, two.graph);
  assert.deepEqual((await admit({ ...snapshot, revision: 7 }, snapshot)).changes, []);
  assert.equal((await admit(snapshot, emptySnapshot)).graph, one.graph);
  assert.ok(three.changes.some(({ criticality }) => criticality === 'breaking'));
});

test('no more graphs are remembered than are needed', async () => {
  const admit = createAdmission({ execute, remembered: 2 });
  const { graph } = await admit(buildSnapshot(products), emptySnapshot);
  await admit(buildSnapshot(inventory), emptySnapshot);
  await admit(buildSnapshot(reviews, products), emptySnapshot);
  assert.notEqual((await admit(buildSnapshot(products), emptySnapshot)).graph, graph);
});

test('services without a schema and services in quarantine are no part of the graph', async () => {
  const admit = createAdmission({ execute });
  const [one, two, three] = [products, reviews, inventory].map(toRegistered);
  assert.ok(one && two && three);
  const services = [one, { ...two, schema: null }, { ...three, quarantine: [{ message: 'does not fit' }] }];
  const { graph } = await admit({ revision: 2, services }, emptySnapshot);
  assert.deepEqual(graph.services, ['products']);
});

test('a candidate that does not compose is refused with reasons, again and again', async () => {
  const admit = createAdmission({ execute });
  const { merge: _, ...unmerged } = inventory;
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(admit(buildSnapshot(products, unmerged), buildSnapshot(products)), (error) => {
      assert.ok(error instanceof GatewayError);
      assert.equal(error.code, 'REGISTRATION_REFUSED');
      assert.equal(error.service, 'inventory');
      assert.equal(error.reasons?.[0]?.code, 'FIELD_NOT_REACHABLE');
      return true;
    });
  }
});

test('a registry that does not compose now can be mended', async () => {
  const admit = createAdmission({ execute });
  const broken = { ...products, sdl: 'type Query { a: Nope }' };
  const { graph, changes } = await admit(buildSnapshot(products), buildSnapshot(broken));
  assert.deepEqual(graph.services, ['products']);
  assert.deepEqual(changes, []);
});
