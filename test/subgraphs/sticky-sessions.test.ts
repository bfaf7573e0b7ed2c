import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BalancingSubject } from '../../subgraphs/balancing-key.ts';
import { StickySessions } from '../../subgraphs/sticky-sessions.ts';
import { createRequestContext } from '../support/request-context.ts';

const [a, b] = [{ key: 'a' }, { key: 'b' }];

function sessions(secrets: readonly string[], options = {}, holders = [a, b], service = 'shop') {
  return new StickySessions({ service, options, secrets }, holders);
}

/** A client that has this cookie. */
function client(cookie?: string, protocol: 'http' | 'https' = 'http'): BalancingSubject {
  const context = createRequestContext();
  return { ...context, client: { ...context.client, protocol }, headers: cookie === undefined ? {} : { cookie } };
}

function pairOf(setCookie: string | null): string {
  return setCookie?.split(';')[0] ?? '';
}

test('a client is brought back by the cookie it got, which names nothing', () => {
  const shop = sessions(['one']);
  const cookie = shop.cookieFor(b, client());
  assert.match(cookie ?? '', /^selvage-shop=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax$/);
  assert.equal(shop.find(client(pairOf(cookie))), b);
  assert.equal(shop.cookieFor(b, client(pairOf(cookie))), null);
  assert.equal(shop.find(client()), undefined);
});

test('a cookie of another service, another secret, or made up is nothing', () => {
  const shop = sessions(['one']);
  const other = pairOf(sessions(['one'], { cookie: 'selvage-shop' }, [a, b], 'other').cookieFor(a, client()));
  const foreign = pairOf(sessions(['two']).cookieFor(a, client()));
  for (const cookie of [other, foreign, 'selvage-shop=a', 'selvage-shop=', 'selvage-shop', '=', ';;;'])
    assert.equal(shop.find(client(cookie)), undefined, cookie);
});

test('when a secret is replaced, old cookies hold and are exchanged for new ones', () => {
  const old = pairOf(sessions(['old']).cookieFor(a, client()));
  const during = sessions(['new', 'old']);
  assert.equal(during.find(client(old)), a);
  const fresh = pairOf(during.cookieFor(a, client(old)));
  assert.notEqual(fresh, old);
  const after = sessions(['new']);
  assert.equal(after.find(client(fresh)), a);
  assert.equal(after.find(client(old)), undefined);
});

test('an instance that is gone gets its clients another one', () => {
  const cookie = pairOf(sessions(['one']).cookieFor(b, client()));
  const later = sessions(['one'], {}, [a]);
  assert.equal(later.find(client(cookie)), undefined);
  assert.notEqual(pairOf(later.cookieFor(a, client(cookie))), cookie);
  assert.equal(later.cookieFor(b, client(cookie)), null);
});

test('attributes are as the service wants them', () => {
  const text = (options: object, protocol: 'http' | 'https' = 'http') =>
    sessions(['one'], options).cookieFor(a, client(undefined, protocol)) ?? '';
  assert.match(text({ cookie: 'own', maxAge: '90s' }), /^own=.*; HttpOnly; Max-Age=90; SameSite=Lax$/);
  assert.match(text({}, 'https'), /; Secure; SameSite=Lax$/);
  assert.match(text({ secure: false }, 'https'), /; HttpOnly; SameSite=Lax$/);
  assert.match(text({ sameSite: 'strict', secure: true }), /; Secure; SameSite=Strict$/);
  assert.match(text({ sameSite: 'none' }), /; Secure; SameSite=None$/);
});
