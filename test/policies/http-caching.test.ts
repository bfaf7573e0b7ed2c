import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildHttpCacheRule, type HttpCacheOptions } from '../../policies/cache-options.ts';
import { createHttpCaching, type StoreVerdict } from '../../policies/http-caching.ts';

const nobody = { headers: {}, credentialed: false };
const somebody = { headers: {}, credentialed: true };

/** Decisions over a clock that the test moves. */
function setUp(options: HttpCacheOptions = {}) {
  const rule = buildHttpCacheRule(options, undefined);
  assert.ok(rule);
  const clock = { ms: Date.UTC(2026, 0, 1) };
  const caching = createHttpCaching(() => clock.ms);
  const judge = (cacheControl: string, more: readonly string[] = [], status = 200, request = nobody): StoreVerdict =>
    caching.judge(request, { status, rawHeaders: ['Cache-Control', cacheControl, ...more] }, rule);
  const keep = (cacheControl: string, more: readonly string[] = []) => {
    const verdict = judge(cacheControl, more);
    assert.ok(verdict.kind === 'keep');
    return verdict.head;
  };
  return { clock, caching, judge, keep };
}

describe('what a shared cache may keep', () => {
  it('counts directives in any case, and of two numbers the lower', () => {
    const { clock, caching, judge, keep } = setUp();
    for (const refused of ['No-Store, max-age=60', 'PRIVATE', 'private="x", max-age=60'])
      assert.equal(judge(refused).kind, 'pass', refused);
    const head = keep('MAX-AGE=600, max-age="10"');
    clock.ms += 11_000;
    assert.equal(caching.evaluate(head, nobody).kind, 'validate');
  });

  it('RFC 9111 section 3.5: keeps for requests with credentials only what says so', () => {
    const { caching, judge, keep } = setUp();
    assert.equal(judge('max-age=60', [], 200, somebody).kind, 'pass');
    for (const open of ['public, max-age=60', 's-maxage=60', 'max-age=60, must-revalidate'])
      assert.equal(judge(open, [], 200, somebody).kind, 'keep', open);
    assert.equal(caching.evaluate(keep('max-age=60'), somebody).kind, 'other');
    assert.equal(caching.evaluate(keep('public, max-age=60'), somebody).kind, 'use');
  });

  it('guesses nothing: without a time, a ttl or a validator nothing is kept, and a ttl is for successes', () => {
    const old = ['Last-Modified', 'Mon, 01 Jan 2024 00:00:00 GMT'];
    const plain = setUp();
    assert.equal(plain.judge('public').kind, 'pass');
    assert.equal(plain.caching.evaluate(plain.keep('public', old), nobody).kind, 'validate');
    const timed = setUp({ ttl: '1m' });
    assert.equal(timed.caching.evaluate(timed.keep('public'), nobody).kind, 'use');
    assert.equal(timed.judge('public', [], 404).kind, 'pass');
    assert.equal(timed.judge('public, max-age=9', [], 206).kind, 'pass');
  });

  it('RFC 9111 section 4.2.4: must-revalidate allows what is fresh, and nothing stale', () => {
    const { clock, caching, keep } = setUp({ staleIfError: '1h', staleWhileRevalidate: '1h' });
    const strict = keep('max-age=10, must-revalidate, stale-if-error=3600', ['ETag', '"1"']);
    const loose = keep('max-age=10', ['ETag', '"1"']);
    assert.equal(caching.evaluate(strict, nobody).kind, 'use');
    clock.ms += 11_000;
    const anyAge = { headers: { 'cache-control': 'max-stale' }, credentialed: false };
    assert.equal(caching.evaluate(strict, anyAge).kind, 'validate');
    assert.equal(caching.mayServeInsteadOfFailure(strict, nobody), false);
    const verdict = caching.evaluate(loose, nobody);
    assert.ok(verdict.kind === 'use' && verdict.refresh);
    assert.equal(caching.mayServeInsteadOfFailure(loose, nobody), true);
  });

  it('counts the age that an answer had when it came', () => {
    const { clock, caching, keep } = setUp();
    const head = keep('max-age=60', ['Age', '50']);
    clock.ms += 5_000;
    assert.equal(caching.ageSeconds(head), 55);
    clock.ms += 6_000;
    assert.equal(caching.evaluate(head, nobody).kind, 'validate');
  });
});
