import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSchema } from 'graphql';
import { buildSettings } from '../../gateway/config.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createPolicyResolution } from '../../gateway/effective-policies.ts';
import type { PolicyDefinition } from '../../policies/policy-definition.ts';
import type { Graph } from '../../schema/graph.ts';
import type { ServiceDefinition } from '../../subgraphs/service-definition.ts';
import { buildServiceSchema, type Service, type Snapshot } from '../../subgraphs/snapshot.ts';

function service(name: string, definition: ServiceDefinition, sdl?: string): Service {
  const schema = sdl === undefined ? null : buildServiceSchema('federation', sdl, 'registration');
  return { name, definition, schema, quarantine: null, instances: [], revision: 1, origin: 'admin' };
}

function stored(name: string, definition: PolicyDefinition) {
  return { name, definition, revision: 1, at: '', author: '', history: [] };
}

const graph = {
  schema: buildSchema(
    'type Query { me: User orders: [Order] shared: Int } type User { id: ID name: String orders: [Order] } type Order { id: ID }',
  ),
} as Graph;
const users = 'type Query { me: User shared: Int } type User @key(fields: "id") { id: ID name: String }';
const orders =
  'schema { query: Root } type Root { orders: [Order] shared: Int } extend type User @key(fields: "id") { id: ID @external orders: [Order] } type Order { id: ID }';

function resolve(config: GatewayConfig, definition: ServiceDefinition, policies: Snapshot['policies'] = []) {
  const snapshot = {
    revision: 1,
    services: [service('orders', definition, orders), service('users', {}, users)],
    policies,
  };
  const { snapshot: effective, settings } = createPolicyResolution()(snapshot, buildSettings(config), graph);
  return { routes: effective.services[0]?.definition.routes, definition: effective.services[0]?.definition, settings };
}

const scopes = (...names: string[]) => ({ authorize: { scopes: names } });

test('what a service says reaches its routes, where they do not say it themselves', () => {
  const { routes } = resolve(
    {},
    {
      ...scopes('orders'),
      timeout: '3s',
      circuitBreaker: { minimumCalls: 3 },
      priority: 'low',
      cost: 5,
      fallback: { body: null },
      routes: [{ match: { path: '/a' } }, { match: { path: '/b' }, public: true, cost: 7, timeout: '1s' }],
    },
  );
  const both = { priority: 'low', fallback: { body: null } };
  assert.deepEqual(routes, [
    { match: { path: '/a' }, ...both, cost: 5, ...scopes('orders') },
    { match: { path: '/b' }, ...both, cost: 7, public: true, timeout: '1s' },
  ]);
});

test('access of a service reaches every field that only it resolves, its rate limits and cost the root fields', () => {
  const rateLimit = [{ name: 'orders', limit: 5, window: '1m' }];
  const { settings } = resolve(
    { fields: { 'User.orders': scopes('mine') } },
    { ...scopes('orders'), rateLimit, cost: 9 },
  );
  assert.deepEqual(settings.fields, {
    'Query.orders': { ...scopes('orders'), rateLimit, cost: 9 },
    'User.orders': scopes('mine'),
    'Order.id': scopes('orders'),
  });
});

test('what the gateway asks of viewers reaches all routes and root fields', () => {
  const { routes, settings } = resolve(
    { policies: scopes('all'), fields: { 'Query.me': { public: true } } },
    { routes: [{ match: { path: '/a' } }, { match: { path: '/b' }, ...scopes('b') }] },
  );
  assert.deepEqual(routes, [
    { match: { path: '/a' }, ...scopes('all') },
    { match: { path: '/b' }, ...scopes('b') },
  ]);
  assert.deepEqual(settings.fields, {
    'Query.me': { public: true },
    'Query.orders': scopes('all'),
    'Query.shared': scopes('all'),
  });
});

test('what is said of a type holds for its fields; its cost and cache for what returns it', () => {
  const { settings } = resolve(
    {
      graphql: { cache: {} },
      types: {
        Query: { timeout: '1s', cost: 2 },
        Order: { cost: 8, cache: { ttl: '5s' } },
        User: scopes('people'),
      },
      fields: { 'User.name': scopes('names') },
    },
    {},
  );
  assert.deepEqual(settings.fields, {
    'Query.me': { timeout: '1s', cost: 2 },
    'Query.orders': { timeout: '1s', cost: 8 },
    'Query.shared': { timeout: '1s', cost: 2 },
    'User.id': scopes('people'),
    'User.name': scopes('names'),
    'User.orders': { cost: 8, ...scopes('people') },
  });
  assert.deepEqual(settings.graphql.cache?.types, { Order: { ttl: '5s' } });
});

test('a named policy holds at every level that it is bound to, whether it is configured or was written at run time', () => {
  const bind = {
    gateway: true,
    services: ['orders'],
    routes: [{ service: 'orders', path: '/a' }],
    fields: ['Query.me'],
  };
  const definition = { routes: [{ match: { path: '/a' } }, { match: { path: '/b' } }] };
  for (const [config, policies] of [
    [{ policies: { named: { calm: { bind, timeout: '1s' } } } }, []],
    [{}, [stored('calm', { bind, timeout: '1s' })]],
    [{ policies: { named: { calm: { bind, timeout: '1s' } } } }, [stored('calm', { bind, timeout: '9s' })]],
  ] as [GatewayConfig, Snapshot['policies']][]) {
    const effective = resolve(config, definition, policies);
    assert.deepEqual(effective.routes, [{ match: { path: '/a' }, timeout: '1s' }, { match: { path: '/b' } }]);
    assert.equal(effective.definition?.timeout, '1s');
    assert.deepEqual(effective.settings.resilience, { timeout: '1s' });
    assert.deepEqual(effective.settings.fields, { 'Query.me': { timeout: '1s' } });
  }
});

test('a stored policy that could not be written today is left out', () => {
  const bind = { services: ['orders'] };
  const { definition, settings } = resolve({}, {}, [
    stored('old', { bind, timeout: 'soon' }),
    stored('older', { bind, unheard: true }),
    stored('sound', { bind, concurrency: 5 }),
  ]);
  assert.deepEqual(definition, { concurrency: 5 });
  assert.deepEqual(settings.fields, {});
});

test('what did not change stays the same object, and without policies everything does', () => {
  const resolution = createPolicyResolution();
  const plain = service('plain', { routes: [{ match: { path: '/p' } }] }, users);
  const bound = service('bound', { routes: [{ match: { path: '/b' } }], priority: 'high' });
  const settings = buildSettings({});
  const only = { revision: 1, services: [plain] };
  assert.equal(resolution(only, settings, graph).snapshot, only);

  const first = resolution({ revision: 2, services: [bound, plain] }, settings, graph);
  const second = resolution(
    { revision: 3, services: [{ ...bound, revision: 3 }, plain, service('new', {})] },
    settings,
    graph,
  );
  assert.equal(second.settings, first.settings);
  assert.equal(second.snapshot.services[1], plain);
  assert.equal(second.snapshot.services[0]?.definition, first.snapshot.services[0]?.definition);
  const policies = [stored('calm', { bind: { services: ['new'] }, timeout: '1s' })];
  const third = resolution({ revision: 4, services: [bound, plain], policies }, settings, graph);
  assert.equal(third.snapshot.services[1], plain);
  assert.equal(third.settings, first.settings);
});
