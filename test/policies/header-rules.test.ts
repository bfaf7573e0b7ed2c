import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileHeaderRules, findHeaderMistakes, type HeaderRule } from '../../policies/header-rules.ts';
import type { Viewer } from '../../policies/request-context.ts';
import { createRequestContext } from '../support/request-context.ts';

const ada: Viewer = {
  id: 'ada',
  kind: 'jwt',
  issuer: 'https://idp.example',
  scopes: new Set(['a', 'b']),
  roles: ['admin', 'x,y'],
  claims: {
    tenant: 'acme',
    nested: { plan: 'pro' },
    'https://a.b/c': 7,
    evil: 'a\r\nx-user-id: root',
    city: 'Köln 100%',
    on: true,
    list: [],
    nothing: null,
  },
};
const scope = { service: 'shop', routePath: '/api/:id/items/*' };

function apply(
  rules: HeaderRule[],
  headers: string[] = [],
  direction: 'request' | 'response' = 'request',
  viewer: Viewer | null = ada,
) {
  assert.deepEqual(findHeaderMistakes({ [direction]: rules }, scope), []);
  const context = createRequestContext({ viewer, headers: { 'x-foo': 'foo', cookie: 'a=1' } });
  return compileHeaderRules(rules, direction, scope)?.(headers, context, '/api/a%20b/items/1');
}

describe('rules for headers', () => {
  test('set replaces, add adds, default fills in, remove removes and rename renames, in order', () => {
    const rules = [
      { set: 'x-a', value: '1' },
      { add: 'x-a', value: '2' },
      { default: 'x-a', value: '3' },
      { default: 'x-d', value: '4' },
      { remove: 'X-Internal-*' },
      { remove: 'x-gone' },
      { rename: 'x-old', to: 'x-new' },
    ];
    const headers = ['X-A', '0', 'x-internal-a', 'i', 'X-Gone', 'g', 'x-new', 'before', 'X-Old', 'o', 'Accept', '*/*'];
    assert.deepEqual(apply(rules, headers), ['x-new', 'o', 'Accept', '*/*', 'x-a', '1', 'x-a', '2', 'x-d', '4']);
  });

  test('every variable has its value', () => {
    const values: Record<string, string> = {
      '{viewer.id}': 'ada',
      '{viewer.kind}': 'jwt',
      '{viewer.issuer}': 'https://idp.example',
      '{viewer.scopes}': 'a,b',
      '{viewer.roles}': 'admin,x%2Cy',
      '{viewer.claims.tenant}': 'acme',
      '{viewer.claims.nested.plan}': 'pro',
      '{viewer.claims.https://a.b/c}': '7',
      '{viewer.claims.on}': 'true',
      '{request.header.X-Foo}': 'foo',
      '{request.id}': 'request-1',
      '{request.method}': 'GET',
      '{request.host}': 'shop.example',
      '{request.ip}': '192.0.2.1',
      '{request.protocol}': 'http',
      '{service}/{route.params.id}': 'shop/a%20b',
      'literal {{braces}}': 'literal {braces}',
    };
    for (const [value, expected] of Object.entries(values)) {
      assert.deepEqual(apply([{ set: 'x', value }]), ['x', expected], value);
    }
  });

  test('a variable without a value leaves the header out, and what the client sent under that name too', () => {
    for (const value of [
      '{viewer.claims.none}',
      '{viewer.claims.list}',
      '{viewer.claims.nothing}',
      '{viewer.claims.nested}',
      '{request.header.none}',
      'a {viewer.claims.none}',
    ]) {
      assert.deepEqual(apply([{ set: 'x-tenant', value }], ['X-Tenant', 'forged', 'x_tenant', 'forged']), []);
    }
    assert.deepEqual(apply([{ set: 'x-tenant', value: '{viewer.id}' }], ['x-tenant', 'forged'], 'request', null), []);
  });

  test('no value can end a line or leave what a field may hold (RFC 9110 section 5.5)', () => {
    assert.deepEqual(apply([{ set: 'x', value: '{viewer.claims.evil}' }]), ['x', 'a%0D%0Ax-user-id: root']);
    assert.deepEqual(apply([{ set: 'x', value: '{viewer.claims.city}' }]), ['x', 'K%C3%B6ln 100%25']);
  });

  test('a beginning removes nothing that belongs to the protocol', () => {
    const headers = ['content-length', '1', 'content-type', 'a', 'connection', 'close'];
    assert.deepEqual(apply([{ remove: 'con*' }], headers, 'response'), ['content-length', '1', 'connection', 'close']);
  });

  const mistakes: [title: string, rule: HeaderRule, direction: 'request' | 'response', expected: RegExp][] = [
    ['the length of a message', { set: 'Content-Length', value: '1' }, 'response', /decided by the gateway/],
    ['the framing of a message', { remove: 'transfer-encoding' }, 'response', /decided by the gateway/],
    ['the host', { set: 'host', value: 'a' }, 'request', /decided by the gateway/],
    ['who asks', { set: 'x-user-id', value: 'root' }, 'request', /decided by the gateway/],
    ['who asks, spelled otherwise', { add: 'X_User.Roles', value: 'root' }, 'request', /decided by the gateway/],
    ['where a request came from', { rename: 'x-a', to: 'X-Forwarded-For' }, 'request', /decided by the gateway/],
    ['what is for one hop', { default: 'connection', value: 'x' }, 'request', /decided by the gateway/],
    [
      'a variable that nobody knows',
      { set: 'x', value: '{viewer.name}' },
      'request',
      /unknown variable \{viewer\.name\}/,
    ],
    [
      'a parameter that the route lacks',
      { set: 'x', value: '{route.params.no}' },
      'request',
      /unknown variable .* in \/api/,
    ],
    ['who a client says it is', { set: 'x', value: '{request.header.x-user-id}' }, 'request', /what a client claims/],
    ['a brace alone', { set: 'x', value: '{viewer.id' }, 'request', /a single \{/],
    ['a value without an operation', { value: 'x' }, 'request', /expected one of/],
    ['two operations at once', { set: 'x', add: 'y', value: 'x' }, 'request', /expected one of/],
    ['an operation without its value', { set: 'x' }, 'request', /needs a `value`/],
    ['a rename to nothing', { rename: 'x' }, 'request', /needs `to`/],
    ['a star in a name', { set: 'x-*', value: 'x' }, 'request', /only `remove`/],
  ];
  for (const [title, rule, direction, expected] of mistakes) {
    test(`a rule is refused that would decide, or does not say: ${title}`, () => {
      const [mistake, ...others] = findHeaderMistakes({ [direction]: [rule] }, scope);
      assert.match(mistake?.message ?? '', expected);
      assert.deepEqual(others, []);
    });
  }
});
