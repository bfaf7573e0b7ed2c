import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildKeyReader, type RateLimitSubject, rateLimitKeyPattern } from '../../policies/rate-limit-key.ts';
import type { Viewer } from '../../policies/request-context.ts';

function subjectOf(part: Partial<RateLimitSubject>): RateLimitSubject {
  return { viewer: null, address: '192.0.2.1', headers: {}, ...part };
}

function viewerOf(part: Partial<Viewer>): Viewer {
  return { id: 'alice', kind: 'jwt', issuer: 'https://a', scopes: new Set(), roles: [], claims: {}, ...part };
}

describe('the key of a rate limit', () => {
  const byIp = (address: string) => buildKeyReader('', 'ip')(subjectOf({ address }));
  const byViewer = (viewer: Viewer | null) => buildKeyReader('', 'viewer')(subjectOf({ viewer }));
  const byHeader = (headers: RateLimitSubject['headers']) =>
    buildKeyReader('', 'header:X-Tenant')(subjectOf({ headers }));

  it('is the whole IPv4 address', () => {
    assert.equal(byIp('192.0.2.1'), '4:192.0.2.1');
    assert.notEqual(byIp('192.0.2.1'), byIp('192.0.2.2'));
  });

  it('is the first 64 bits of an IPv6 address, however it is written', () => {
    assert.equal(byIp('2001:db8:1:2::1'), '6:2001:db8:1:2');
    assert.equal(byIp('2001:0DB8:0001:0002:ffff:ffff:ffff:ffff'), '6:2001:db8:1:2');
    assert.equal(byIp('2001:db8::1'), '6:2001:db8:0:0');
    assert.equal(byIp('::1'), '6:0:0:0:0');
    assert.equal(byIp('fe80::1%eth0'), '6:fe80:0:0:0');
    assert.equal(byIp('64:ff9b::192.0.2.1'), '6:64:ff9b:0:0');
  });

  it('is the IPv4 address behind an IPv4-mapped one', () => {
    assert.equal(byIp('::ffff:192.0.2.1'), '4:192.0.2.1');
    assert.equal(byIp('::ffff:c000:201'), '4:192.0.2.1');
    assert.equal(byIp('0:0:0:0:0:FFFF:192.0.2.1'), '4:192.0.2.1');
  });

  it('stays short for an address that is none', () => {
    assert.ok(byIp('x'.repeat(100_000)).length < 40);
    assert.ok(byIp('').length < 40);
  });

  it('tells viewers of different issuers apart, and one viewer always the same', () => {
    assert.equal(byViewer(viewerOf({})), byViewer(viewerOf({})));
    assert.notEqual(byViewer(viewerOf({})), byViewer(viewerOf({ issuer: 'https://b' })));
    assert.notEqual(byViewer(viewerOf({ issuer: 'ab', id: 'c' })), byViewer(viewerOf({ issuer: 'a', id: 'bc' })));
    assert.notEqual(byViewer(viewerOf({})), byViewer(viewerOf({ kind: 'api-key', issuer: undefined })));
  });

  it('falls back to the address for anonymous requests', () => {
    assert.equal(byViewer(null), '4:192.0.2.1');
    assert.equal(byHeader({}), '4:192.0.2.1');
    assert.equal(byHeader({ 'x-tenant': '' }), '4:192.0.2.1');
  });

  it('counts by API key only where the viewer came with one', () => {
    const read = buildKeyReader('', 'api-key');
    assert.equal(read(subjectOf({ viewer: viewerOf({ kind: 'api-key', id: 'partner-a' }) })), 'k:partner-a');
    assert.equal(read(subjectOf({ viewer: viewerOf({}) })), '4:192.0.2.1');
    assert.equal(read(subjectOf({ headers: { 'x-api-key': 'forged' } })), '4:192.0.2.1');
  });

  it('holds neither long values nor the text of a header or a subject', () => {
    const secret = 'sk-live-0123456789';
    assert.equal(byHeader({ 'x-tenant': secret }).includes(secret), false);
    assert.ok(byHeader({ 'x-tenant': secret.repeat(10_000) }).length < 40);
    assert.ok(byViewer(viewerOf({ id: secret.repeat(10_000) })).length < 40);
    assert.ok(byViewer(viewerOf({ kind: 'api-key', id: secret.repeat(10_000) })).length < 40);
    assert.equal(byViewer(viewerOf({ id: 'alice@example.com' })).includes('alice'), false);
  });

  it('tells header values apart', () => {
    assert.notEqual(byHeader({ 'x-tenant': 'a' }), byHeader({ 'x-tenant': 'b' }));
  });

  it('counts by claim only where the viewer has it, per issuer', () => {
    const read = buildKeyReader('', 'claim:org');
    const of = (viewer: Viewer | null) => read(subjectOf({ viewer }));
    const acme = viewerOf({ claims: { org: 'acme' } });
    assert.equal(of(acme), of(viewerOf({ id: 'bob', claims: { org: 'acme' } })));
    assert.notEqual(of(acme), of(viewerOf({ claims: { org: 'other' } })));
    assert.notEqual(of(acme), of(viewerOf({ issuer: 'https://b', claims: { org: 'acme' } })));
    assert.equal(of(viewerOf({ claims: {} })), '4:192.0.2.1');
    assert.equal(of(null), '4:192.0.2.1');
    assert.equal(buildKeyReader('', 'claim:constructor')(subjectOf({ viewer: acme })), '4:192.0.2.1');
  });

  it('counts by the name that a client gives itself', () => {
    const read = buildKeyReader('', 'client-name');
    const of = (headers: RateLimitSubject['headers']) => read(subjectOf({ headers }));
    assert.equal(of({ 'graphql-client-name': 'web' }), of({ 'apollographql-client-name': 'web' }));
    assert.notEqual(of({ 'graphql-client-name': 'web' }), of({ 'graphql-client-name': 'ios' }));
    assert.equal(of({}), '4:192.0.2.1');
  });

  it('counts by route, service, operation and field, and by the route where there is no operation', () => {
    const all = subjectOf({ route: 'GET /a', service: 'shop', operation: 'query Q', field: 'Query.a' });
    const read = (key: string, subject = all) => buildKeyReader('', key)(subject);
    assert.deepEqual(
      ['route', 'service', 'operation', 'field'].map((key) => read(key)),
      ['r:6:GET /a', 's:4:shop', 'o:7:query Q', 'f:7:Query.a'],
    );
    assert.equal(read('operation', subjectOf({ route: 'GET /a' })), 'o:6:GET /a');
    assert.equal(read('route', subjectOf({})), 'r:7:graphql');
    assert.ok(read('operation', subjectOf({ operation: 'x'.repeat(10_000) })).length < 40);
  });

  it('counts networks of the length that is asked for, and no two of them alike', () => {
    const of = (key: string, address: string) => buildKeyReader('', key)(subjectOf({ address }));
    assert.equal(of('ip/24', '192.0.2.1'), of('ip/24', '192.0.2.200'));
    assert.notEqual(of('ip/24', '192.0.2.1'), of('ip/24', '192.0.3.1'));
    assert.equal(of('ip/24', '::ffff:192.0.2.1'), of('ip/24', '192.0.2.9'));
    assert.equal(of('ip/12', '10.16.0.1'), of('ip/12', '10.31.9.9'));
    assert.notEqual(of('ip/12', '10.16.0.1'), of('ip/12', '10.32.0.1'));
    assert.notEqual(of('ip/24', '192.0.2.1'), of('ip', '192.0.2.0'), 'a network is no address');
    assert.equal(of('ip/24', '2001:db8:1:2::1'), of('ip', '2001:db8:1:2::9'), 'IPv6 stays at /64');
    assert.equal(of('ip/32/48', '2001:db8:1:2::1'), of('ip/32/48', '2001:db8:1:ffff::1'));
    assert.notEqual(of('ip/32/48', '2001:db8:1::1'), of('ip/32/48', '2001:db8:2::1'));
    assert.notEqual(of('ip/32/128', '2001:db8::1'), of('ip/32/128', '2001:db8::2'));
    const pattern = new RegExp(rateLimitKeyPattern);
    for (const key of ['ip/0', 'ip/33', 'ip/24/129', 'ip/024', 'ip/']) assert.doesNotMatch(key, pattern);
    for (const key of ['ip/1', 'ip/32', 'ip/24/128', 'ip/8/9']) assert.match(key, pattern);
  });

  it('counts each combination of a list, and no two of them alike', () => {
    const read = buildKeyReader('p:', ['ip', 'route', 'operation']);
    const of = (route: string, operation: string) => read(subjectOf({ route, operation }));
    assert.equal(of('a', 'b'), 'p:4:192.0.2.1 r:1:a o:1:b');
    assert.notEqual(of('a o:1:b', 'c'), of('a', 'b o:1:c'));
  });
});
