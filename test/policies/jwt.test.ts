/** Whatever somebody does to a token, only what the issuer signed for this audience and this time gets in. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { GatewayError } from '../../policies/errors.ts';
import { createJwtVerifier, type JwtVerifier } from '../../policies/jwt.ts';
import { startOpenIdProvider } from '../support/openid-provider.ts';
import { startTokenIssuer, type TokenIssuer } from '../support/token-issuer.ts';

const startMs = Date.UTC(2030, 0, 1);

/** An issuer and a verifier for it, on one clock that only a test moves. */
async function setUp(settings: Record<string, unknown> = {}) {
  const clock = { nowMs: startMs };
  const now = () => clock.nowMs;
  const issuer = await startTokenIssuer(now);
  const options = { issuer: issuer.issuer, audience: 'shop', jwksUri: issuer.jwksUri, ...settings };
  const verifier = createJwtVerifier([options], { now, fetch });
  return { clock, issuer, verifier, [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose]() };
}

async function refusal(verifier: JwtVerifier, token: string): Promise<GatewayError> {
  try {
    await verifier.verify(token);
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'the token was accepted' });
}

async function assertInvalid(verifier: JwtVerifier, token: string): Promise<void> {
  const error = await refusal(verifier, token);
  assert.equal(error.code, 'UNAUTHENTICATED');
  assert.match(error.challenge ?? '', /^Bearer error="invalid_token"/);
  if (token.length < 20) return;
  const signature = token.split('.')[2] ?? '';
  assert.ok(!inspect(error, { depth: 9 }).includes(token), 'the error holds the token');
  assert.ok(signature === '' || !inspect(error, { depth: 9 }).includes(signature), 'the error holds the signature');
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** The signed token with another header or other claims, and the old signature. */
function tamper(token: string, header: Record<string, unknown>, claims: Record<string, unknown>): string {
  const [head = '', body = '', signature = ''] = token.split('.');
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return `${encode({ ...read(head), ...header })}.${encode({ ...read(body), ...claims })}.${signature}`;
}

describe('a token of a real OpenID provider', () => {
  it('becomes a viewer, with keys found by discovery', async () => {
    await using provider = await startOpenIdProvider();
    const verifier = createJwtVerifier([{ issuer: provider.issuer, audience: provider.audience }], {
      now: Date.now,
      fetch,
    });
    const viewer = await verifier.verify(await provider.token({ scope: 'orders:read profile:read' }));
    assert.equal(viewer.id, provider.clientId);
    assert.equal(viewer.kind, 'jwt');
    assert.equal(viewer.issuer, provider.issuer);
    assert.deepEqual([...viewer.scopes], ['orders:read', 'profile:read']);
  });

  it('is refused where another audience is expected', async () => {
    await using provider = await startOpenIdProvider();
    const options = { issuer: provider.issuer, audience: 'warehouse' };
    await assertInvalid(createJwtVerifier([options], { now: Date.now, fetch }), await provider.token());
  });
});

describe('a good token', () => {
  it('is verified once, then answered without a promise', async () => {
    await using set = await setUp();
    const token = await set.issuer.sign({ roles: ['buyer', 7] });
    const first = await set.verifier.verify(token);
    assert.deepEqual(first.roles, ['buyer']);
    assert.equal(set.verifier.verify(token), first);
  });

  it('ends when it expires, also where it is remembered', async () => {
    await using set = await setUp();
    const token = await set.issuer.sign({ exp: startMs / 1_000 + 30 });
    await set.verifier.verify(token);
    set.clock.nowMs += 34_999;
    assert.ok(await set.verifier.verify(token), 'the clock tolerance of 5 s still covers it');
    set.clock.nowMs += 1;
    const error = await refusal(set.verifier, token);
    assert.equal(error.message, 'The access token has expired');
  });

  it('is verified anew within a minute, so that a withdrawn key stops working', async () => {
    await using set = await setUp();
    const token = await set.issuer.sign();
    await set.verifier.verify(token);
    set.clock.nowMs += 60_000;
    assert.ok(set.verifier.verify(token) instanceof Promise);
  });

  it('may name its scopes and roles in other claims, as lists too', async () => {
    await using set = await setUp({ scopesClaim: 'scp', rolesClaim: 'groups' });
    const viewer = await set.verifier.verify(await set.issuer.sign({ scp: ['a', 'b'], groups: ['staff'] }));
    assert.deepEqual([...viewer.scopes], ['a', 'b']);
    assert.deepEqual(viewer.roles, ['staff']);
  });

  it('cannot be changed by whoever gets the viewer', async () => {
    await using set = await setUp();
    const viewer = await set.verifier.verify(await set.issuer.sign());
    assert.ok(Object.isFrozen(viewer) && Object.isFrozen(viewer.claims) && Object.isFrozen(viewer.roles));
  });

  it('is judged by the settings of its own issuer only', async () => {
    await using shop = await startTokenIssuer(() => startMs);
    await using partner = await startTokenIssuer(() => startMs);
    const verifier = createJwtVerifier(
      [
        { issuer: shop.issuer, jwksUri: shop.jwksUri, audience: 'shop' },
        { issuer: partner.issuer, jwksUri: partner.jwksUri, audience: 'partners' },
      ],
      { now: () => startMs, fetch },
    );
    assert.equal((await verifier.verify(await shop.sign())).issuer, shop.issuer);
    assert.equal((await verifier.verify(await partner.sign({ aud: 'partners' }))).issuer, partner.issuer);
    await assertInvalid(verifier, await partner.sign({ aud: 'shop' }));
    await assertInvalid(verifier, await partner.sign({ iss: shop.issuer }));
  });
});

describe('a token is refused', () => {
  const attacks: Record<string, (issuer: TokenIssuer) => Promise<string> | string> = {
    'with alg none': async (issuer) => tamper(await issuer.sign(), { alg: 'none' }, {}).replace(/[^.]*$/, ''),
    'with alg none in other spelling': async (issuer) => tamper(await issuer.sign(), { alg: 'NoNe' }, {}),
    'with HS256 keyed by the public key': async (issuer) => {
      const signed = tamper(await issuer.sign(), { alg: 'HS256' }, { sub: 'root' }).replace(/\.[^.]*$/, '');
      const secret = await exportSPKI(issuer.publicKey);
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
    'with HS256 keyed by the served JWK': async (issuer) => {
      const signed = tamper(await issuer.sign(), { alg: 'HS256' }, { sub: 'root' }).replace(/\.[^.]*$/, '');
      const secret = JSON.stringify(issuer.keys[0]);
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
    'with an algorithm that is not configured': async (issuer) => {
      const { privateKey } = await generateKeyPair('ES384');
      return new SignJWT({ iss: issuer.issuer, aud: 'shop', sub: 'ada', exp: startMs / 1_000 + 300 })
        .setProtectedHeader({ alg: 'ES384' })
        .sign(privateKey);
    },
    'with changed claims': async (issuer) => tamper(await issuer.sign(), {}, { sub: 'root' }),
    'with a changed signature': async (issuer) => {
      const token = await issuer.sign();
      const at = token.lastIndexOf('.') + 5;
      return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
    },
    'with a zero signature (CVE-2022-21449)': async (issuer) =>
      (await issuer.sign()).replace(/[^.]*$/, Buffer.alloc(64).toString('base64url')),
    'with a key of its own in the header (jwk)': async (issuer) => {
      const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
      return new SignJWT({ iss: issuer.issuer, aud: 'shop', sub: 'root', exp: startMs / 1_000 + 300 })
        .setProtectedHeader({ alg: 'ES256', kid: 'key-1', jwk: await exportJWK(publicKey) })
        .sign(privateKey);
    },
    'with a key set of its own (jku, x5u)': async (issuer) => {
      const { privateKey } = await generateKeyPair('ES256');
      const jku = 'http://127.0.0.1:9/keys';
      return new SignJWT({ iss: issuer.issuer, aud: 'shop', sub: 'root', exp: startMs / 1_000 + 300 })
        .setProtectedHeader({ alg: 'ES256', kid: 'key-1', jku, x5u: jku })
        .sign(privateKey);
    },
    'with a kid that is a path or a query': (issuer) => issuer.sign({}, { kid: "../../dev/null' OR 1=1--" }),
    'with a kid that is a property of every object': (issuer) => issuer.sign({}, { kid: '__proto__' }),
    'with a critical extension that nobody knows': async (issuer) =>
      tamper(await issuer.sign(), { crit: ['exp2'], exp2: 1 }, {}),
    'of another issuer': (issuer) => issuer.sign({ iss: 'https://idp.example' }),
    'of an issuer that is a property of every object': (issuer) => issuer.sign({ iss: 'constructor' }),
    'of an issuer that is no string': (issuer) => issuer.sign({ iss: [issuer.issuer] }),
    'without an issuer': (issuer) => issuer.sign({ iss: undefined }),
    'for another audience': (issuer) => issuer.sign({ aud: ['warehouse', 'shop2'] }),
    'without an audience': (issuer) => issuer.sign({ aud: undefined }),
    'after its time': (issuer) => issuer.sign({ exp: startMs / 1_000 - 6 }),
    'before its time': (issuer) => issuer.sign({ nbf: startMs / 1_000 + 6 }),
    'without exp': (issuer) => issuer.sign({ exp: undefined }),
    'without sub': (issuer) => issuer.sign({ sub: undefined }),
    'with an empty sub': (issuer) => issuer.sign({ sub: '' }),
    'with a sub that is no string': (issuer) => issuer.sign({ sub: { id: 1 } }),
    'of another kind (logout+jwt)': (issuer) => issuer.sign({}, { typ: 'logout+jwt' }),
    'of more than 8 KB': (issuer) => issuer.sign({ padding: 'x'.repeat(8_192) }),
    'that is none': () => 'no-token',
    'that is three dots': () => '...',
    'that is encrypted (five parts)': () => 'e30.e30.e30.e30.e30',
  };
  for (const [title, makeToken] of Object.entries(attacks)) {
    it(title, async () => {
      await using set = await setUp();
      await assertInvalid(set.verifier, await makeToken(set.issuer));
      // The attack must have met a verifier that lets good tokens in.
      set.clock.nowMs += 30_000;
      assert.equal((await set.verifier.verify(await set.issuer.sign())).id, 'ada');
    });
  }

  it('without the claims getting into the log', async () => {
    await using set = await setUp();
    const error = await refusal(set.verifier, await set.issuer.sign({ aud: 'other', email: 'ada@example.com' }));
    assert.ok(!inspect(error, { depth: 9 }).includes('ada@example.com'));
    assert.match(inspect(error.cause), /ERR_JWT_CLAIM_VALIDATION_FAILED/);
  });
});

it('an issuer that is configured twice is a mistake', () => {
  const issuer = { issuer: 'https://idp.example' };
  assert.throws(() => createJwtVerifier([issuer, issuer], { now: Date.now, fetch }), /configured twice/);
});
