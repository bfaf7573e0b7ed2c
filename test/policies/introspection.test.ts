/** Opaque tokens: asked about once, remembered for a while, refused with 503 while nobody can be asked. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { createAuthenticator } from '../../policies/authenticate.ts';
import type { AuthenticationOptions } from '../../policies/authentication-options.ts';
import { GatewayError } from '../../policies/errors.ts';
import type { IntrospectionOptions } from '../../policies/introspection.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

interface Asked {
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

const good = { active: true, sub: 'ada', token_type: 'Bearer', scope: 'orders:read', roles: ['buyer'] };

/** An endpoint that answers what the test wants. */
async function setUp(options: Partial<IntrospectionOptions> = {}, more: AuthenticationOptions = {}) {
  const asked: Asked[] = [];
  const clock = { nowMs: Date.UTC(2030, 0, 1) };
  const endpoint = { status: 200, answer: { ...good } as unknown, held: null as Promise<void> | null };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    asked.push({ authorization: request.headers.authorization, form: new URLSearchParams(body) });
    await endpoint.held;
    response.writeHead(endpoint.status).end(JSON.stringify(endpoint.answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const outcomes: string[] = [];
  const unavailable: unknown[] = [];
  const introspection = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/introspect`,
    clientId: 'gate way',
    clientSecret: 's:cret',
    ...options,
  };
  const { authenticate } = createAuthenticator(
    { introspection, ...more },
    {
      now: () => clock.nowMs,
      onLookup: (_, outcome) => outcomes.push(outcome),
      onUnavailable: (_, error) => unavailable.push(error),
    },
  );
  return {
    asked,
    clock,
    endpoint,
    outcomes,
    unavailable,
    ask: async (token: string) => await authenticate({ authorization: `Bearer ${token}` }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const isCoded = (code: string) => (error: unknown) => {
  assert.ok(error instanceof GatewayError, inspect(error));
  assert.equal(error.code, code);
  return true;
};

describe('token introspection', () => {
  it('makes a viewer of an active token, and shows who asks as RFC 6749 wants it', async () => {
    await using set = await setUp();
    const viewer = await set.ask('opaque-1');
    assert.equal(viewer?.id, 'ada');
    assert.equal(viewer?.kind, 'opaque');
    assert.deepEqual([[...(viewer?.scopes ?? [])], viewer?.roles], [['orders:read'], ['buyer']]);
    assert.equal(set.asked[0]?.authorization, `Basic ${btoa('gate+way:s%3Acret')}`);
    assert.equal(set.asked[0]?.form.get('token'), 'opaque-1');
  });

  it('shows who asks in the form, or by a bearer token, or not at all', async () => {
    await using post = await setUp({ clientAuthentication: 'post' });
    await post.ask('t');
    assert.equal(post.asked[0]?.form.get('client_secret'), 's:cret');
    await using bearer = await setUp({ clientAuthentication: 'bearer' });
    await bearer.ask('t');
    assert.equal(bearer.asked[0]?.authorization, 'Bearer s:cret');
    await using none = await setUp({ clientAuthentication: 'none' });
    await none.ask('t');
    assert.equal(none.asked[0]?.authorization, undefined);
  });

  it('asks once for all that wait, and not again while the answer counts', async () => {
    await using set = await setUp({ cacheFor: '30s' });
    const viewers = await Promise.all(Array.from({ length: 50 }, () => set.ask('same')));
    assert.equal(new Set(viewers).size, 1);
    set.clock.nowMs += 29_000;
    await set.ask('same');
    assert.equal(set.asked.length, 1);
    set.clock.nowMs += 1_000;
    await set.ask('same');
    assert.equal(set.asked.length, 2);
  });

  it('gives each token its own answer', async () => {
    await using set = await setUp();
    await set.ask('of-ada');
    set.endpoint.answer = { ...good, sub: 'grace' };
    assert.equal((await set.ask('of-grace'))?.id, 'grace');
    assert.equal((await set.ask('of-ada'))?.id, 'ada');
  });

  it('does not remember a token for longer than it lives', async () => {
    await using set = await setUp({ cacheFor: '1h' });
    set.endpoint.answer = { ...good, exp: set.clock.nowMs / 1_000 + 10 };
    await set.ask('short');
    set.clock.nowMs += 16_000;
    await assert.rejects(set.ask('short'), isCoded('UNAUTHENTICATED'));
    assert.equal(set.asked.length, 2);
  });

  const soon = Date.UTC(2030, 0, 1) / 1_000 + 60;
  const refused: Record<string, unknown> = {
    'is not active': { active: false },
    'is a refresh token, of which some issuers only leave out the type': { ...good, token_type: undefined },
    'is a refresh token that says so': { ...good, token_use: 'refresh_token' },
    'is bound to a key': { ...good, cnf: { jkt: 'x' } },
    'is for a proof of possession': { ...good, token_type: 'DPoP' },
    'is for somebody else': { ...good, aud: 'other' },
    'has expired': { ...good, exp: soon - 120 },
    'does not count yet': { ...good, nbf: soon },
    'is of another issuer': { ...good, iss: 'https://other.example' },
    'names nobody': { ...good, sub: '' },
  };
  for (const [what, answer] of Object.entries(refused)) {
    it(`refuses a token that ${what}`, async () => {
      await using set = await setUp({ issuer: 'https://idp.example', audience: ['shop'] });
      set.endpoint.answer = { ...good, aud: 'shop', iss: 'https://idp.example' };
      assert.equal((await set.ask('good'))?.issuer, 'https://idp.example');
      set.endpoint.answer = { aud: 'shop', iss: 'https://idp.example', ...(answer as object) };
      await assert.rejects(set.ask('bad'), isCoded('UNAUTHENTICATED'));
      await assert.rejects(set.ask('bad'), isCoded('UNAUTHENTICATED'));
      assert.equal(set.asked.length, 2, 'a refusal is remembered as well');
    });
  }

  it('does not take a client for the person whose name it chose', async () => {
    await using set = await setUp();
    set.endpoint.answer = { active: true, token_type: 'Bearer', client_id: 'ada' };
    assert.equal((await set.ask('of-a-client'))?.id, 'client:ada');
  });

  for (const [what, status, answer] of [
    ['answers 500', 500, {}],
    ['does not let the gateway in', 401, { error: 'invalid_client' }],
    ['says nothing of the token', 200, { hello: 'world' }],
    ['says yes as a text', 200, { active: 'true', sub: 'ada' }],
  ] as const) {
    it(`that ${what} makes 503 with Retry-After, nobody's token is called invalid, and nothing is remembered`, async () => {
      await using set = await setUp();
      Object.assign(set.endpoint, { status, answer });
      await assert.rejects(set.ask('t'), (error: GatewayError) => {
        assert.equal(error.retryAfterSeconds, 1);
        assert.doesNotMatch(error.message, /127\.0\.0\.1/);
        return isCoded('SERVICE_UNAVAILABLE')(error);
      });
      assert.equal(set.unavailable.length, 1);
      Object.assign(set.endpoint, { status: 200, answer: good });
      set.clock.nowMs += 1_000;
      assert.equal((await set.ask('t'))?.id, 'ada');
    });
  }

  it('that is away is not asked by every request, and tokens that are remembered go on', async () => {
    await using set = await setUp({ cacheFor: '1m' });
    await set.ask('known');
    set.endpoint.status = 500;
    for (let i = 0; i < 20; i++) await assert.rejects(set.ask(`t${i}`), isCoded('SERVICE_UNAVAILABLE'));
    assert.equal(set.asked.length, 2);
    assert.equal((await set.ask('known'))?.id, 'ada');
  });

  it('is not asked about more than a bounded number of tokens at a time', async () => {
    await using set = await setUp();
    const { promise: held, resolve } = Promise.withResolvers<void>();
    set.endpoint.held = held;
    const flood = Array.from({ length: 600 }, (_, i) =>
      set.ask(`t${i}`).then(
        () => 'in',
        (error) => error.code,
      ),
    );
    const refusals = flood.slice(500);
    assert.deepEqual([...new Set(await Promise.all(refusals))], ['SERVICE_UNAVAILABLE']);
    resolve();
    assert.deepEqual([...new Set(await Promise.all(flood.slice(0, 500)))], ['in']);
  });

  it('is not asked about a JWT of an issuer whose keys are known, however wrong the token is', async () => {
    await using issuer = await startTokenIssuer();
    await using set = await setUp({}, { jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri }] });
    await assert.rejects(set.ask(await issuer.sign({ exp: 1_000 })), isCoded('UNAUTHENTICATED'));
    assert.equal(set.asked.length, 0);
    const foreign = await issuer.sign({ iss: 'https://elsewhere.example' });
    assert.equal((await set.ask(foreign))?.id, 'ada', 'a JWT of an issuer without keys is asked for');
  });
});
