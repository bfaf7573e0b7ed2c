import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../policies/errors.ts';
import { buildStaticId, checkDefinition, checkDefinitions, checkInstance } from '../../subgraphs/definition-check.ts';
import { maxSdlLength } from '../../subgraphs/service-definition.ts';

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
    '/concurrency: expected an integer, got 1.5',
    '/grahpql: unknown key "grahpql"',
    '/graphql/merge/Item/0/fieldName: "fieldName" is missing',
    '/graphql/merge/Order: expected one of an object, an array, got 5',
    '/graphql/merge/User/fieldName: "fieldName" is missing',
    '/graphql/merge/User/keyField: expected text that matches ^[_A-Za-z][_0-9A-Za-z]*$, got "1"',
    '/graphql/merge/User/many: unknown key "many"',
    '/instances/0/url: expected text that matches ^https?://[^/?#@\\s]+/?$, got "ftp://a"',
    '/instances/1/url: "url" is missing',
    '/instances/1/weight: expected a number >= 1, got 0',
    '/loadBalancing/algorithm: expected one of "round-robin", "weighted", "least-connections", "random", got "fastest"',
    '/routes/0/match/methods/0: expected one of "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", got "FETCH"',
    '/routes/0/timeout: expected a string, got 5',
  ]);
});

test('a key that a JSON pointer must escape is escaped (RFC 6901 section 3)', () => {
  assert.deepEqual(
    reasonsOf(() => checkDefinition({ 'a/b~c': 1, routes })),
    ['/a~1b~0c: unknown key "a/b~c"'],
  );
});

test('a password in a URL is not repeated', () => {
  const [reason = ''] = reasonsOf(() => checkDefinition({ routes, instances: [{ url: 'http://user:secret@a' }] }));
  assert.match(reason, /\/\/\*\*\*@a/);
  assert.doesNotMatch(reason, /secret/);
});

test('the list of mistakes is bounded', () => {
  const instances = Array.from({ length: 900 }, () => ({ url: 5 }));
  assert.equal(reasonsOf(() => checkDefinition({ routes, instances })).length, 100);
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
    [`/graphql/schema: expected at most ${maxSdlLength} characters`],
  );
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
    '/id: unknown key "id"',
    '/leaseSeconds: expected a number >= 1, got 0',
    '/url: "url" is missing',
    '/weight: expected a number <= 1000, got 1001',
  ]);
});
