/** A cookie is sent by whatever page makes the browser send something: it proves who, not that they meant it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAuthenticator } from '../../policies/authenticate.ts';
import { readCookie } from '../../policies/cookies.ts';
import { GatewayError } from '../../policies/errors.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

const isCoded = (code: string) => (error: unknown) => error instanceof GatewayError && error.code === code;

async function setUp(cookies = {}) {
  const issuer = await startTokenIssuer();
  const jwt = [{ issuer: issuer.issuer, audience: 'shop', jwksUri: issuer.jwksUri }];
  const options = { token: '__Host-token', trustedOrigins: ['https://app.example'], ...cookies };
  const { authenticate } = createAuthenticator({ jwt, cookies: options });
  const cookie = `theme=dark; __Host-token=${await issuer.sign()}`;
  const ask = async (method: string, headers: Record<string, string> = {}) =>
    (await authenticate({ host: 'shop.example', cookie, ...headers }, { method, client: { host: 'shop.example' } }))
      ?.id;
  return { issuer, authenticate, cookie, ask, [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose]() };
}

describe('a cookie', () => {
  it('is found by its whole name, with quotes or without, and is none when it is empty', () => {
    assert.equal(readCookie('a=1; token=x.y; b=2', 'token'), 'x.y');
    assert.equal(readCookie('token="x"', 'token'), 'x');
    assert.equal(readCookie('my-token=x; token2=y; Token=z', 'token'), undefined);
    assert.equal(readCookie('token=', 'token'), undefined);
    assert.equal(readCookie('token=a=b==', 'token'), 'a=b==');
  });

  it('that comes twice is refused: another host of the site may have put one of them there', () => {
    assert.throws(() => readCookie('token=a; token=b', 'token'), isCoded('UNAUTHENTICATED'));
  });
});

describe('a token in a cookie', () => {
  it('makes a viewer of a request that changes nothing, wherever it was caused', async () => {
    await using set = await setUp();
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      assert.equal(await set.ask(method, { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }), 'ada');
    }
  });

  for (const headers of [
    { 'sec-fetch-site': 'same-origin', origin: 'https://shop.example' },
    { 'sec-fetch-site': 'none' },
    { origin: 'https://shop.example' },
    { 'sec-fetch-site': 'same-site', origin: 'https://app.example' },
    { origin: 'https://app.example' },
  ]) {
    it(`makes a viewer of a POST with ${JSON.stringify(headers)}`, async () => {
      await using set = await setUp();
      assert.equal(await set.ask('POST', headers), 'ada');
    });
  }

  for (const headers of [
    {},
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'https://shop.example' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'https://shop.example.evil.example' },
    { origin: 'https://app.example.evil.example' },
    { origin: 'https://shop.example:8443' },
  ]) {
    it(`does not open a POST with ${JSON.stringify(headers)}`, async () => {
      await using set = await setUp();
      await assert.rejects(set.ask('POST', headers), isCoded('FORBIDDEN'));
    });
  }

  it('does not open a WebSocket for a page of another origin', async () => {
    await using set = await setUp();
    const headers = { upgrade: 'websocket', origin: 'https://evil.example' };
    await assert.rejects(set.ask('GET', headers), isCoded('FORBIDDEN'));
  });

  it('is judged as if it changed something where the method is not known', async () => {
    await using set = await setUp();
    assert.throws(() => set.authenticate({ host: 'shop.example', cookie: set.cookie }), isCoded('FORBIDDEN'));
  });

  it('is not looked at where a header says who asks, and needs no origin then', async () => {
    await using set = await setUp();
    const authorization = `Bearer ${await set.issuer.sign({ sub: 'grace' })}`;
    assert.equal(await set.ask('POST', { authorization, origin: 'https://evil.example' }), 'grace');
    await assert.rejects(set.ask('GET', { authorization: 'Bearer e30.e30.e30' }), isCoded('UNAUTHENTICATED'));
  });

  it('that is not valid any more makes nobody, so that one can log in again', async () => {
    await using set = await setUp();
    const cookie = `__Host-token=${await set.issuer.sign({ exp: 1_000 })}`;
    assert.equal(await set.ask('GET', { cookie }), undefined);
  });

  it('that is not valid any more is refused where the operator says so', async () => {
    await using set = await setUp({ invalid: 'refuse' });
    const cookie = `__Host-token=${await set.issuer.sign({ exp: 1_000 })}`;
    await assert.rejects(set.ask('GET', { cookie }), isCoded('UNAUTHENTICATED'));
  });

  it('that cannot be checked now is not taken for none: 503', async () => {
    await using set = await setUp();
    set.issuer.behaviour = 'fail';
    await assert.rejects(set.ask('GET'), isCoded('SERVICE_UNAVAILABLE'));
  });

  it('is not read unless it is configured', async () => {
    await using set = await setUp({ token: undefined });
    assert.equal(await set.ask('POST'), undefined);
  });
});
