/** What is presented must be right; what is not presented makes nobody; what is not configured is not read. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { createAuthenticator } from '../../policies/authenticate.ts';
import type { AuthenticationOptions } from '../../policies/authentication-options.ts';
import { GatewayError } from '../../policies/errors.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const apiKeys = [{ name: 'partner-a', sha256: sha256('key-a'), scopes: ['orders:read'], roles: ['partner'] }];

async function setUp(options: AuthenticationOptions = {}) {
  const issuer = await startTokenIssuer();
  const jwt = [{ issuer: issuer.issuer, audience: 'shop', jwksUri: issuer.jwksUri }];
  const authenticator = createAuthenticator({ jwt, ...options });
  return { issuer, authenticator, [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose]() };
}

function isRefusal(challenge?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof GatewayError, inspect(error));
    assert.equal(error.code, 'UNAUTHENTICATED');
    if (challenge !== undefined) assert.match(error.challenge ?? '', challenge);
    return true;
  };
}

describe('authentication', () => {
  it('makes nobody of a request without a credential, at once', async () => {
    await using set = await setUp({ apiKeys });
    assert.equal(set.authenticator.authenticate({ host: 'shop' }), null);
    assert.equal(set.issuer.fetches, 0);
  });

  it('makes a viewer of a token, whatever the case of the scheme', async () => {
    await using set = await setUp();
    for (const scheme of ['Bearer', 'bearer', 'BEARER ']) {
      const viewer = await set.authenticator.authenticate({ authorization: `${scheme} ${await set.issuer.sign()}` });
      assert.equal(viewer?.id, 'ada');
    }
  });

  it('makes a viewer of an API key, at once', () => {
    const viewer = createAuthenticator({ apiKeys }).authenticate({ 'x-api-key': 'key-a' });
    assert.ok(viewer !== null && !(viewer instanceof Promise));
    assert.deepEqual(
      { ...viewer, scopes: [...viewer.scopes] },
      { id: 'partner-a', kind: 'api-key', issuer: undefined, scopes: ['orders:read'], roles: ['partner'], claims: {} },
    );
  });

  it('refuses a wrong API key, also where anonymous requests pass', () => {
    const { authenticate } = createAuthenticator({ required: false, apiKeys });
    for (const key of ['key-b', '', 'key-a, key-a', sha256('key-a')]) {
      assert.throws(() => authenticate({ 'x-api-key': key }), isRefusal());
    }
  });

  it('says nothing of the key that it refuses', () => {
    const { authenticate } = createAuthenticator({ apiKeys });
    assert.throws(
      () => authenticate({ 'x-api-key': 'my-secret' }),
      (error) => !inspect(error, { depth: 9 }).includes('my-secret') || assert.fail('the key is in the error'),
    );
  });

  it('refuses what is not exactly one bearer token', async () => {
    await using set = await setUp();
    const token = await set.issuer.sign();
    for (const authorization of [
      '',
      'Bearer',
      'Bearer ',
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token} ${token}`,
      `Bearer\t${token}`,
      `Bearer "${token}"`,
      token,
    ]) {
      const attempt = async () => set.authenticator.authenticate({ authorization });
      await assert.rejects(attempt, isRefusal(/^Bearer/), authorization);
    }
  });

  it('refuses other schemes where it reads tokens, and names Bearer without an error code', async () => {
    await using set = await setUp();
    const headers = { authorization: `Basic ${btoa('ada:secret')}` };
    assert.throws(() => set.authenticator.authenticate(headers), isRefusal(/^Bearer$/));
  });

  it('leaves to the services what it is not configured to read', () => {
    const { authenticate } = createAuthenticator({ apiKeys });
    assert.equal(authenticate({ authorization: 'Basic abc' }), null);
    assert.equal(createAuthenticator({}).authenticate({ authorization: 'Bearer x', 'x-api-key': 'y' }), null);
  });

  it('leaves API keys to the services where only tokens are configured', async () => {
    await using set = await setUp();
    assert.equal(set.authenticator.authenticate({ 'x-api-key': 'for a service' }), null);
  });

  it('wants both to be valid where both are presented, and the token is the viewer', async () => {
    await using set = await setUp({ apiKeys });
    const authorization = `Bearer ${await set.issuer.sign({ scope: 'profile:read' })}`;
    const viewer = await set.authenticator.authenticate({ authorization, 'x-api-key': 'key-a' });
    assert.equal(viewer?.id, 'ada');
    assert.deepEqual([...(viewer?.scopes ?? [])], ['profile:read'], 'the scopes of the key are not added');
    const wrongKey: IncomingHttpHeaders = { authorization, 'x-api-key': 'key-b' };
    assert.throws(() => set.authenticator.authenticate(wrongKey), isRefusal());
    const wrongToken = { authorization: 'Bearer e30.e30.e30', 'x-api-key': 'key-a' };
    await assert.rejects(async () => set.authenticator.authenticate(wrongToken), isRefusal());
  });

  it('takes the first of two Authorization fields, as node:http hands it on', async () => {
    await using set = await setUp();
    const seen: unknown[] = [];
    const server = createServer(async (incoming, response) => {
      seen.push(await Promise.resolve(set.authenticator.authenticate(incoming.headers)).catch((error) => error));
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const [ada, eve] = [await set.issuer.sign(), await set.issuer.sign({ sub: 'eve' })];
    await new Promise((resolve, reject) => {
      const headers = ['authorization', `Bearer ${ada}`, 'authorization', `Bearer ${eve}`, 'host', 'shop'];
      request({ port, host: '127.0.0.1', headers, agent: false }, (response) => response.resume().on('end', resolve))
        .on('error', reject)
        .end();
    });
    await new Promise((resolve) => server.close(resolve));
    assert.equal((seen[0] as { id?: string }).id, 'ada');
  });

  it('refuses two names for one key', () => {
    const twins = [...apiKeys, { name: 'partner-b', sha256: sha256('key-a') }];
    assert.throws(() => createAuthenticator({ apiKeys: twins }), /partner-a and partner-b have the same sha256/);
  });

  it('makes one viewer of several keys of a client, each with its own scopes, until it expires', () => {
    let nowMs = Date.UTC(2030, 0, 30);
    const { authenticate } = createAuthenticator(
      {
        apiKeys: [
          { name: 'old', client: 'partner', sha256: sha256('key-1'), scopes: ['a'], expires: '2030-01-31' },
          { name: 'new', client: 'partner', sha256: sha256('key-2'), scopes: ['a', 'b'] },
        ],
      },
      { now: () => nowMs },
    );
    const look = (key: string) => {
      const viewer = authenticate({ 'x-api-key': key });
      assert.ok(viewer !== null && !(viewer instanceof Promise));
      return [viewer.id, [...viewer.scopes]];
    };
    assert.deepEqual(look('key-1'), ['partner', ['a']]);
    assert.deepEqual(look('key-2'), ['partner', ['a', 'b']]);
    nowMs = Date.UTC(2030, 0, 31);
    assert.throws(() => look('key-1'), isRefusal());
    assert.deepEqual(look('key-2'), ['partner', ['a', 'b']]);
  });
});
