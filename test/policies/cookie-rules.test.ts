import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CookieRules, compileCookieRules } from '../../policies/cookie-rules.ts';

const shop = { match: '/api/shop/*', rewrite: '/v1/*' };
const cases: [title: string, rules: CookieRules, cookie: string, expected: string][] = [
  [
    'adds what is missing',
    { secure: true, httpOnly: true, sameSite: 'lax' },
    'a=1; Path=/x',
    'a=1; Path=/x; HttpOnly; SameSite=Lax; Secure',
  ],
  [
    'replaces what is there, in any case',
    { sameSite: 'strict' },
    'a=1;samesite=none; max-age=5',
    'a=1; SameSite=Strict; max-age=5',
  ],
  ['leaves values as they are', { httpOnly: true }, 'a="x=y"', 'a="x=y"; HttpOnly'],
  ['makes secure what browsers refuse otherwise', { sameSite: 'none' }, 'a=1', 'a=1; SameSite=None; Secure'],
  ['makes partitioned cookies secure', { partitioned: true }, 'a=1', 'a=1; Partitioned; Secure'],
  ['takes a domain away', { domain: false }, 'a=1; Domain=.internal.example; Path=/', 'a=1; Path=/'],
  ['replaces a domain', { domain: 'shop.example' }, 'a=1; domain=internal', 'a=1; Domain=shop.example'],
  ['gives no domain to a cookie of one host', { domain: 'shop.example', httpOnly: true }, 'a=1', 'a=1; HttpOnly'],
  ['rewrites a path back', { path: 'rewrite' }, 'a=1; Path=/v1/cart', 'a=1; Path=/api/shop/cart'],
  ['rewrites the prefix itself', { path: 'rewrite' }, 'a=1; Path=/v1', 'a=1; Path=/api/shop'],
  ['leaves paths that only begin alike', { path: 'rewrite' }, 'a=1; Path=/v10', 'a=1; Path=/v10'],
  [
    'leaves the place of a __Host- cookie',
    { domain: 'shop.example', path: 'rewrite' },
    '__Host-a=1; Path=/',
    '__Host-a=1; Path=/; Secure',
  ],
  ['keeps a __Secure- cookie secure', { httpOnly: true }, '__Secure-a=1', '__Secure-a=1; HttpOnly; Secure'],
];

describe('rules for cookies (RFC 6265bis)', () => {
  for (const [title, rules, cookie, expected] of cases) {
    test(title, () => assert.equal(compileCookieRules(rules, shop)?.(cookie), expected));
  }

  test('where no prefix is rewritten there is no path to rewrite', () => {
    const apply = compileCookieRules({ path: 'rewrite' }, { match: '/api/:id/*', rewrite: '/v1/:id/*' });
    assert.equal(apply?.('a=1; Path=/v1/x'), 'a=1; Path=/v1/x');
    assert.equal(compileCookieRules({}, shop), null);
  });
});
