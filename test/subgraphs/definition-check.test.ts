import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../policies/errors.ts';
import {
  buildStaticId,
  checkDefinition,
  checkDefinitions,
  checkInstance,
  findDefinitionMistakes,
} from '../../subgraphs/definition-check.ts';
import { maxSdlLength } from '../../subgraphs/graphql-endpoint.ts';

/** The reasons of a refusal, as `pointer: message`. */
function reasonsOf(check: () => unknown): readonly string[] {
  try {
    check();
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'BAD_REQUEST');
    return (error.reasons ?? []).map(({ path, message }) => `${path}: ${message}`);
  }
  assert.fail('nothing was refused');
}

const routes = [{ match: { path: '/orders' } }];

test('all mistakes come at once, each with its place and what was expected there', () => {
  const definition = {
    grahpql: {},
    graphql: { merge: { User: { keyField: '1', many: true }, Order: 5, Item: [{ keyField: 'id' }] } },
    instances: [{ url: 'ftp://a' }, { weight: 0 }],
    routes: [{ match: { path: '/a', methods: ['FETCH'] }, timeout: 5 }],
    loadBalancing: { algorithm: 'fastest' },
    concurrency: 1.5,
  };
  assert.deepEqual(reasonsOf(() => checkDefinition(definition)).toSorted(), [
    '/concurrency: expected a whole number from 1 to 100000, got the number 1.5',
    '/grahpql: unknown key; did you mean `graphql`?',
    '/graphql/merge/Item/0: the key `fieldName` is missing; expected text that matches `^[_A-Za-z][_0-9A-Za-z]*$`',
    '/graphql/merge/Order: expected an object, or a list of at least 1, got the number 5',
    '/graphql/merge/User/keyField: expected text that matches `^[_A-Za-z][_0-9A-Za-z]*$`, got "1"',
    '/graphql/merge/User/many: unknown key; known here: `keyField`, `fieldName`, `keyArg`',
    '/graphql/merge/User: the key `fieldName` is missing; expected text that matches `^[_A-Za-z][_0-9A-Za-z]*$`',
    '/instances/0/url: expected an origin such as http://10.0.0.5:8080: no path, no credentials, got "ftp://a"',
    '/instances/1/weight: expected a whole number from 1 to 1000, got the number 0',
    '/instances/1: the key `url` is missing; expected an origin such as http://10.0.0.5:8080: no path, no credentials',
    '/loadBalancing/algorithm: expected one of "p2c", "least-connections", "response-time", "round-robin", "weighted", "random", "ip-hash", "consistent-hash", got "fastest"',
    '/routes/0/match/methods/0: expected one of "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", got "FETCH"',
    '/routes/0/timeout: expected a duration such as 500ms, 5s or 1m, got the number 5',
  ]);
});

test('what is no object at all is refused', () => {
  for (const value of [null, undefined, 5, 'x', []]) {
    assert.match(reasonsOf(() => checkDefinition(value)).join(), /expected an object/);
  }
});

test('a service offers something: graphql, routes or both', () => {
  assert.match(reasonsOf(() => checkDefinition({})).join(), /offers nothing/);
  assert.match(reasonsOf(() => checkDefinition({ routes: [] })).join(), /offers nothing/);
  checkDefinition({ graphql: {} });
  checkDefinition({ routes });
});

test('an SDL that is longer than allowed is refused', () => {
  const schema = 'x'.repeat(maxSdlLength + 1);
  assert.deepEqual(
    reasonsOf(() => checkDefinition({ graphql: { schema } })),
    [`/graphql/schema: expected at most ${maxSdlLength} characters, got more`],
  );
});

test('a time that no timer can wait, or that fails every request, is refused', () => {
  const definition = {
    routes: [{ match: { path: '/orders' }, timeout: '25d' }],
    timeout: '0s',
    health: { interval: '600h', timeout: '0.5ms' },
    circuitBreaker: { openFor: '24d' },
  };
  assert.deepEqual(reasonsOf(() => checkDefinition(definition)).toSorted(), [
    '/health/interval: 600h is too long: at most 24d',
    '/health/timeout: 0.5ms is too short: at least 1ms',
    '/routes/0/timeout: 25d is too long: at most 24d',
    '/timeout: 0s is too short: at least 1ms',
  ]);
});

test('merge configuration is for plain services', () => {
  const merge = { User: { keyField: 'id', fieldName: 'user' } };
  assert.match(reasonsOf(() => checkDefinition({ graphql: { kind: 'federation', merge } })).join(), /\/graphql\/merge/);
  checkDefinition({ graphql: { kind: 'plain', merge } });
});

test('two instances cannot have one id, given or not', () => {
  const twice = [{ url: 'http://a' }, { url: 'http://a:80/' }];
  assert.match(reasonsOf(() => checkDefinition({ routes, instances: twice })).join(), /\/instances\/1.*"a:80"/);
  checkDefinition({ routes, instances: [{ url: 'http://a' }, { id: 'b', url: 'http://a' }] });
});

test('an instance without an id is called by host and port', () => {
  assert.equal(buildStaticId({ url: 'http://a.example' }), 'a.example:80');
  assert.equal(buildStaticId({ url: 'https://a.example/' }), 'a.example:443');
  assert.equal(buildStaticId({ url: 'http://my_service:8080' }), 'my_service:8080');
  assert.equal(buildStaticId({ url: 'http://[::1]:8080' }), '0::1:8080');
  assert.equal(buildStaticId({ id: 'x', url: 'http://a' }), 'x');
});

test('a wildcard is a whole segment at the end', () => {
  for (const path of ['/a/*/b', '/a*', '/*a', '/a/**', '/a/*/']) {
    assert.match(reasonsOf(() => checkDefinition({ routes: [{ match: { path } }] })).join(), /last segment/, path);
  }
  for (const path of ['/*', '/a/*', '/a/:id/*', '/']) checkDefinition({ routes: [{ match: { path } }] });
});

test('a route says nothing that a URL parser would read otherwise', () => {
  for (const path of ['/a/../b', '/a/.', '/a/%2e%2E/b', '/a?b=1', '/a#b', '/a\\b', '/:', '/:a-:b', '/a/:id/:id']) {
    assert.equal(reasonsOf(() => checkDefinition({ routes: [{ match: { path } }] })).length, 1, path);
    if (path.includes(':')) continue;
    const rewrite = path;
    assert.equal(reasonsOf(() => checkDefinition({ routes: [{ match: { path: '/' }, rewrite }] })).length, 1, path);
  }
});

test('a rewrite uses only what the match captured', () => {
  const route = (path: string, rewrite: string) => ({ routes: [{ match: { path }, rewrite }] });
  assert.match(reasonsOf(() => checkDefinition(route('/a/:id', '/b/:key'))).join(), /:key captures nothing/);
  assert.match(reasonsOf(() => checkDefinition(route('/a/:id', '/b/*'))).join(), /\* captures nothing/);
  checkDefinition(route('/a/:id/*', '/v1/:id/*'));
  checkDefinition(route('/a/*', '/v1/items:all'));
});

test('several definitions are checked together, names included', () => {
  const reasons = reasonsOf(() => checkDefinitions({ orders: { routes: 5 }, '1st': { routes }, 'a/b': {} }));
  assert.deepEqual(
    reasons.map((reason) => reason.split(': ')[0]),
    ['/services/orders/routes', '/services/1st', '/services/a~1b', '/services/a~1b'],
  );
});

test('what is checked is detached from what the caller holds', () => {
  const value = { routes: [{ match: { path: '/a' } }], timeout: undefined };
  const definition = checkDefinition(value);
  value.routes.length = 0;
  assert.deepEqual(definition, { routes: [{ match: { path: '/a' } }] });
});

test('the registration of an instance is checked the same way', () => {
  assert.deepEqual(checkInstance({ url: 'http://a', weight: 2, leaseSeconds: 5 }), {
    url: 'http://a',
    weight: 2,
    leaseSeconds: 5,
  });
  assert.deepEqual(reasonsOf(() => checkInstance({ weight: 1_001, leaseSeconds: 0, id: 'x' })).toSorted(), [
    '/id: unknown key; known here: `url`, `weight`, `zone`, `version`, `leaseSeconds`',
    '/leaseSeconds: expected a whole number from 1 to 3600, got the number 0',
    '/weight: expected a whole number from 1 to 1000, got the number 1001',
    ': the key `url` is missing; expected an origin such as http://10.0.0.5:8080: no path, no credentials',
  ]);
});

test('what a registered service says of access and limits may contradict itself no more than in a configuration', () => {
  const rule = { name: 'a', limit: 1, window: '1m' };
  const contradiction = { public: true, authorize: { scopes: ['s'] }, rateLimit: [rule, { ...rule, limit: 2 }] };
  const definition = { ...contradiction, routes: [{ match: { path: '/a' }, ...contradiction }] };
  assert.deepEqual(
    findDefinitionMistakes(definition).map(({ path }) => path),
    ['/rateLimit/1/name', '/public', '/routes/0/rateLimit/1/name', '/routes/0/public'],
  );
  const open = { public: true, authorize: { authenticated: false, expression: "request.host == 'a'" } };
  assert.deepEqual(findDefinitionMistakes({ routes: [{ match: { path: '/a' }, ...open }] }), []);
});
