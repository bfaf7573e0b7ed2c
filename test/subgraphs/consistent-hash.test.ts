import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCookie } from '../../subgraphs/balancing-key.ts';
import { candidates, chooser } from './candidates.ts';

const byHeader = { algorithm: 'consistent-hash', hash: { header: 'X-Tenant' } } as const;
const tenant = (name: string) => ({ headers: { 'x-tenant': name } });
const keys = Array.from({ length: 2_000 }, (_, index) => `tenant-${index}`);

test('a key stays with its instance, by header, cookie, claim or address', () => {
  const all = candidates([1, 1, 1, 1, 1]);
  const viewer = (sub: string) => ({
    viewer: { id: sub, kind: 'jwt', issuer: 'i', scopes: new Set<string>(), roles: [], claims: { org: sub } } as const,
  });
  const client = (address: string) => ({ client: { address, protocol: 'http', host: '', forwardedFor: '' } as const });
  const cases = [
    [byHeader, tenant],
    [
      { algorithm: 'consistent-hash', hash: { cookie: 'cart' } },
      (key: string) => ({ headers: { cookie: `a=b; cart=${key}; x=y` } }),
    ],
    [{ algorithm: 'consistent-hash', hash: { claim: 'org' } }, viewer],
    [{ algorithm: 'consistent-hash', hash: { ip: true } }, client],
    ['ip-hash', client],
  ] as const;
  for (const [options, subject] of cases) {
    const choose = chooser(all, options);
    const chosen = keys.slice(0, 200).map((key) => choose.pick(subject(key)));
    assert.deepEqual(
      keys.slice(0, 200).map((key) => choose.pick(subject(key))),
      chosen,
    );
    assert.equal(new Set(chosen).size, 5);
  }
});

test('two gateways, whatever the order they know the instances in, choose alike', () => {
  const all = candidates([1, 3, 1, 1]);
  const one = chooser(all, byHeader);
  const other = chooser(all.toReversed(), byHeader);
  for (const key of keys) assert.equal(one.pick(tenant(key)), other.pick(tenant(key)));
});

test('only the keys of an instance that left move, and they spread over all others', () => {
  const all = candidates([1, 1, 1, 1, 1]);
  const choose = chooser(all, byHeader);
  const before = keys.map((key) => choose.pick(tenant(key)));
  const [gone] = all;
  assert.ok(gone);
  gone.able = false;
  const heirs = new Map<string, number>();
  for (const [index, key] of keys.entries()) {
    const now = choose.pick(tenant(key));
    if (before[index] !== gone) assert.equal(now, before[index]);
    else heirs.set(now?.name ?? '', (heirs.get(now?.name ?? '') ?? 0) + 1);
  }
  assert.equal(heirs.size, 4);
  for (const count of heirs.values()) assert.ok(count > 60, JSON.stringify([...heirs]));
});

test('a key that everybody asks for does not drown its instance', () => {
  const all = candidates([1, 1, 1, 1]);
  const choose = chooser(all, { ...byHeader, hash: { header: 'x-tenant', boundedLoad: 1.5 } });
  for (let i = 0; i < 400; i++) {
    const chosen = choose.pick(tenant('the-big-one'));
    if (chosen !== undefined) chosen.inFlight++;
  }
  const loads = all.map(({ inFlight }) => inFlight).sort((a, b) => b - a);
  assert.ok((loads[0] ?? 0) <= 151, JSON.stringify(loads));
  assert.equal(
    loads.reduce((sum, load) => sum + load, 0),
    400,
  );
});

test('requests without the key are balanced like others', () => {
  const counts = chooser(candidates([1, 1]), byHeader).count(400);
  assert.ok((counts['a'] ?? 0) > 140 && (counts['b'] ?? 0) > 140, JSON.stringify(counts));
});

test('a cookie is found by its whole name', () => {
  assert.equal(readCookie('cart=1', 'cart'), '1');
  assert.equal(readCookie('xcart=2; cart=1', 'cart'), '1');
  assert.equal(readCookie('cart-b=2;cart=1;', 'cart'), '1');
  assert.equal(readCookie('a=cart; b=cart=7', 'cart'), undefined);
  assert.equal(readCookie('cart=', 'cart'), undefined);
  assert.equal(readCookie(undefined, 'cart'), undefined);
});
