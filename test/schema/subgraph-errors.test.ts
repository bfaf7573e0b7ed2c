import assert from 'node:assert/strict';
import test from 'node:test';
import { GraphQLError } from 'graphql';
import { GatewayError } from '../../policies/errors.ts';
import { normalizeResult } from '../../schema/subgraph-errors.ts';

const pass = (result: unknown) => normalizeResult('shop', result, { pass: true });
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('data alone passes untouched', () => {
  const data = { a: 1 };
  assert.equal(pass({ data, extensions: { tracing: 1 } }).data, data);
  assert.deepEqual(Object.keys(pass({ data, extensions: {} })), ['data']);
});

test('what is no GraphQL response is a failure of the service', () => {
  for (const result of [
    null,
    undefined,
    'text',
    3,
    [],
    {},
    { data: null },
    { data: [] },
    { data: 'x' },
    { errors: [] },
  ]) {
    assert.throws(
      () => pass(result),
      (error) => error instanceof GatewayError && error.code === 'DOWNSTREAM_SERVICE_ERROR' && error.service === 'shop',
    );
  }
});

test('an error keeps message, path and extensions, and gets service and code', () => {
  const result = pass({
    data: { a: null },
    errors: [{ message: 'no', path: ['a'], locations: [{ line: 1, column: 1 }], extensions: { hint: { x: [1] } } }],
  });
  assert.deepEqual(asJson(result.errors), [
    { message: 'no', path: ['a'], extensions: { hint: { x: [1] }, code: 'DOWNSTREAM_SERVICE_ERROR', service: 'shop' } },
  ]);
  assert.ok(result.errors?.[0] instanceof GraphQLError);
});

test('the inside of a service is taken out of extensions at every depth', () => {
  const inside = {
    stacktrace: ['at x'],
    stackTrace: 1,
    stack: 1,
    exception: {},
    originalError: {},
    debugMessage: 1,
    DEBUG: 1,
  };
  const extensions = {
    code: 'NO',
    ...inside,
    http: { status: 200 },
    CRITICAL_ERROR: true,
    list: [{ ...inside, kept: 1 }],
  };
  const [error] = pass({ errors: [{ message: 'no', extensions }] }).errors ?? [];
  assert.deepEqual({ ...error?.extensions }, { code: 'NO', service: 'shop', list: [{ kept: 1 }] });
});

test('masked errors keep their code alone', () => {
  const result = normalizeResult(
    'shop',
    {
      data: { a: null },
      errors: [{ message: 'secret', path: ['a'], extensions: { code: 'GONE', more: 'secret' } }, {}],
    },
    { pass: false },
  );
  assert.deepEqual(asJson(result.errors), [
    { message: 'Service "shop" reported an error', path: ['a'], extensions: { code: 'GONE', service: 'shop' } },
    { message: 'Service "shop" reported an error', extensions: { code: 'DOWNSTREAM_SERVICE_ERROR', service: 'shop' } },
  ]);
});

test('errors of any number and size are bounded', () => {
  const deep = JSON.parse(`${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`);
  const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, 'x'.repeat(100)]));
  const error = {
    message: 'm'.repeat(1e6),
    path: ['a'],
    extensions: { code: 'C'.repeat(1e6), deep, wide, long: 'x'.repeat(1e6) },
  };
  const { errors = [] } = pass({ errors: Array.from({ length: 10_000 }, () => error) });
  assert.equal(errors.length, 100);
  assert.ok(JSON.stringify(errors[0]).length < 40_000);
  assert.equal(errors[0]?.extensions['code'], 'DOWNSTREAM_SERVICE_ERROR');
});

test('entries that are no errors become errors', () => {
  for (const errors of [
    [null],
    ['text'],
    [[]],
    [{ message: 3, path: 'x', extensions: 'y' }],
    'text',
    { message: '' },
  ]) {
    const result = pass({ data: { a: 1 }, errors });
    assert.equal(result.errors?.[0]?.message, 'Service "shop" reported an error');
    assert.equal(result.errors?.[0]?.path, undefined);
  }
});

test('keys and paths do not lead to the prototype of all objects', () => {
  const result = pass(
    JSON.parse(`{ "data": { "a": {} }, "errors": [
      { "message": "m", "path": ["a", "__proto__", "x"], "extensions": { "__proto__": { "polluted": 1 }, "constructor": { "x": 1 } } },
      { "message": "m", "path": ["a", "constructor", "prototype"] },
      { "message": "m", "path": ["a", -1.5, {}] } ] }`),
  );
  assert.deepEqual(
    result.errors?.map(({ path }) => path),
    [['a'], ['a'], ['a']],
  );
  assert.equal(Object.getPrototypeOf(result.errors?.[0]?.extensions['constructor']), Object.prototype);
  assert.equal('polluted' in {}, false);
  assert.equal('polluted' in (result.errors?.[0]?.extensions ?? {}), false);
});

test('a field that is called constructor keeps its path', () => {
  const result = pass({
    data: { constructor: { name: null } },
    errors: [{ message: 'm', path: ['constructor', 'name'] }],
  });
  assert.deepEqual(result.errors?.[0]?.path, ['constructor', 'name']);
});

test('cleaning twice changes nothing, and errors of the gateway pass', () => {
  const once = pass({ data: { a: null }, errors: [{ message: 'no', path: ['a'], extensions: { code: 'X' } }] });
  assert.deepEqual(asJson(pass(once)), asJson(once));
  const own = new GraphQLError('late', { originalError: new GatewayError('GATEWAY_TIMEOUT') });
  assert.equal(pass({ data: null, errors: [own] }).errors?.[0], own);
});
