/** Keys come late, go stale and get replaced; the gateway starts and goes on without their issuer. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { GatewayError } from '../../policies/errors.ts';
import { createJwtVerifier } from '../../policies/jwt.ts';
import type { JwtIssuer } from '../../policies/jwt-issuer.ts';
import { startTokenIssuer, type TokenIssuer } from '../support/token-issuer.ts';

async function setUp(discovery = false, more: Partial<JwtIssuer> = {}) {
  const clock = { nowMs: Date.UTC(2030, 0, 1) };
  const now = () => clock.nowMs;
  const issuer = await startTokenIssuer(now);
  const options = { issuer: issuer.issuer, audience: 'shop', ...(!discovery && { jwksUri: issuer.jwksUri }), ...more };
  const verifier = createJwtVerifier([options], { now, fetch });
  /** Never the same token twice, so that no verification is remembered. */
  let count = 0;
  const verify = async (sign: TokenIssuer['sign'] = issuer.sign) => {
    count += 1;
    return (await verifier.verify(await sign({ jti: String(count) }))).id;
  };
  return { clock, issuer, verify, [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose]() };
}

function isCoded(code: string, retryAfterSeconds?: number) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof GatewayError, inspect(error));
    assert.equal(error.code, code, inspect(error));
    assert.equal(error.retryAfterSeconds, retryAfterSeconds);
    return true;
  };
}

describe('keys of an issuer', () => {
  it('are fetched with the first token, once for all that wait', async () => {
    await using set = await setUp();
    assert.equal(set.issuer.fetches, 0);
    await Promise.all(Array.from({ length: 20 }, () => set.verify()));
    assert.equal(set.issuer.fetches, 1);
  });

  for (const behaviour of ['fail', 'empty', 'redirect', 'garbage', 'flood'] as const) {
    it(`cannot be had (${behaviour}): 503 with Retry-After, and another try after a pause`, async () => {
      await using set = await setUp();
      set.issuer.behaviour = behaviour;
      await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
      set.issuer.behaviour = 'serve';
      set.clock.nowMs += 2_000;
      await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 3));
      assert.equal(set.issuer.fetches, 1, 'no second try within the pause');
      set.clock.nowMs += 3_000;
      assert.equal(await set.verify(), 'ada');
    });
  }

  it('say nothing of their address to the client when they cannot be had', async () => {
    await using set = await setUp();
    set.issuer.behaviour = 'fail';
    await assert.rejects(set.verify(), (error: Error) => !error.message.includes('127.0.0.1'));
  });

  it('serve on while the issuer is away', async () => {
    await using set = await setUp();
    await set.verify();
    set.issuer.behaviour = 'fail';
    for (let minute = 0; minute < 60; minute += 1) {
      set.clock.nowMs += 60_000;
      assert.equal(await set.verify(), 'ada');
    }
    assert.ok(set.issuer.fetches > 1, 'refreshes were tried');
  });

  it('serve no longer than they may while the issuer is away, and at once when it is back', async () => {
    await using set = await setUp(false, { staleFor: '2h' });
    await set.verify();
    set.issuer.behaviour = 'fail';
    set.clock.nowMs += 7_200_000;
    assert.equal(await set.verify(), 'ada');
    set.clock.nowMs += 5_001;
    await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
    set.issuer.behaviour = 'serve';
    set.clock.nowMs += 5_000;
    assert.equal(await set.verify(), 'ada');
  });

  it('that are too old after a quiet time are fetched before they are used', async () => {
    await using set = await setUp(false, { staleFor: '2h' });
    await set.verify();
    set.clock.nowMs += 86_400_000;
    assert.equal(await set.verify(), 'ada');
    assert.equal(set.issuer.fetches, 2);
  });

  it('are replaced when a token names a new one, and the old one stops working', async () => {
    await using set = await setUp();
    await set.verify();
    const signOld = set.issuer.sign;
    const oldToken = await signOld({ exp: set.clock.nowMs / 1_000 + 3_600 });
    await set.issuer.rotate('key-2');
    set.clock.nowMs += 30_000;
    assert.equal(await set.verify(), 'ada');
    assert.equal(set.issuer.fetches, 2);
    await assert.rejects(
      set.verify(() => Promise.resolve(oldToken)),
      isCoded('UNAUTHENTICATED'),
    );
  });

  it('are not fetched more than twice a minute, however many made-up key ids come', async () => {
    await using set = await setUp();
    await set.verify();
    set.clock.nowMs += 30_000;
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const sign = () => set.issuer.sign({}, { kid: `made-up-${attempt}` });
      await assert.rejects(set.verify(sign), isCoded('UNAUTHENTICATED'));
    }
    assert.equal(set.issuer.fetches, 2);
    assert.equal(await set.verify(), 'ada');
  });

  it('that are new cannot be judged while the issuer is away: 503, not 401', async () => {
    await using set = await setUp();
    await set.verify();
    await set.issuer.rotate('key-2');
    set.issuer.behaviour = 'fail';
    set.clock.nowMs += 30_000;
    await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
  });

  it('are fetched again after the clock was set back', async () => {
    await using set = await setUp();
    set.issuer.behaviour = 'fail';
    await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
    set.issuer.behaviour = 'serve';
    set.clock.nowMs -= 3_600_000;
    assert.equal(await set.verify(), 'ada');
  });
});

describe('keys that are not fetched', () => {
  it('can be written down, and ask nobody', async () => {
    await using issuer = await startTokenIssuer();
    const jwks = { keys: issuer.keys as Record<string, unknown>[] };
    const verifier = createJwtVerifier([{ issuer: issuer.issuer, jwks }], { now: Date.now, fetch });
    assert.equal((await verifier.verify(await issuer.sign())).id, 'ada');
    const unknown = await issuer.sign({}, { kid: 'other' });
    await assert.rejects(async () => verifier.verify(unknown), isCoded('UNAUTHENTICATED'));
    assert.equal(issuer.fetches, 0);
  });

  it('can stand in a file, whose change is noticed', async (t) => {
    await using issuer = await startTokenIssuer();
    const folder = await mkdtemp(join(tmpdir(), 'selvage-keys-'));
    t.after(() => rm(folder, { recursive: true }));
    const jwksFile = join(folder, 'keys.json');
    let nowMs = Date.now();
    const verifier = createJwtVerifier([{ issuer: issuer.issuer, jwksFile }], { now: () => nowMs, fetch });
    const attempt = async () => (await verifier.verify(await issuer.sign())).id;
    await assert.rejects(attempt, isCoded('SERVICE_UNAVAILABLE', 5));
    await writeFile(jwksFile, JSON.stringify({ keys: issuer.keys }));
    nowMs += 5_000;
    assert.equal(await attempt(), 'ada');
    await issuer.rotate('key-2');
    await writeFile(jwksFile, JSON.stringify({ keys: issuer.keys }));
    nowMs += 10_000;
    assert.equal(await attempt(), 'ada');
    assert.equal(issuer.fetches, 0);
  });
});

describe('discovery', () => {
  it('finds the keys', async () => {
    await using set = await setUp(true);
    assert.equal(await set.verify(), 'ada');
  });

  it('believes no document about another issuer (RFC 8414 section 3.3)', async () => {
    await using set = await setUp(true);
    set.issuer.metadata.issuer = 'https://idp.example';
    await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
    assert.equal(set.issuer.fetches, 0);
  });

  it('follows no jwks_uri that is not HTTP', async () => {
    await using set = await setUp(true);
    set.issuer.metadata.jwks_uri = 'file:///etc/passwd';
    await assert.rejects(set.verify(), isCoded('SERVICE_UNAVAILABLE', 5));
  });
});
