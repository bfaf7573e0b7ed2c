/** What an issuer's options make of tokens: families of algorithms, types, ages. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { exportJWK, exportSPKI, type JWTHeaderParameters, SignJWT } from 'jose';
import { GatewayError } from '../../policies/errors.ts';
import { createJwtVerifier } from '../../policies/jwt.ts';
import type { JwtIssuer } from '../../policies/jwt-issuer.ts';

const nowMs = Date.UTC(2030, 0, 1);
const nowSeconds = nowMs / 1_000;
const issuer = 'https://idp.example';
const secret = randomBytes(48).toString('base64url');

function sign(
  key: KeyObject | Uint8Array,
  header: JWTHeaderParameters,
  claims: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT({ iss: issuer, sub: 'ada', exp: nowSeconds + 300, iat: nowSeconds, ...claims })
    .setProtectedHeader(header)
    .sign(key);
}

async function outcome(options: Omit<JwtIssuer, 'issuer'>, token: string, atMs = nowMs): Promise<string> {
  const verifier = createJwtVerifier([{ issuer, ...options }], { now: () => atMs, fetch: refuseFetch });
  try {
    return (await verifier.verify(token)).id;
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error.message;
  }
}

const refuseFetch = () => Promise.reject(new Error('nothing is fetched here'));
const refused = 'The access token is not valid';

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const families = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: ec('P-256'),
  ES384: ec('P-384'),
  ES512: ec('P-521'),
  EdDSA: generateKeyPairSync('ed25519'),
} as const;

describe('a token with keys', () => {
  for (const [algorithm, pair] of Object.entries(families)) {
    it(`may be of ${algorithm} where that is listed, and nowhere else`, async () => {
      const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k' }] };
      const token = await sign(pair.privateKey, { alg: algorithm, kid: 'k' });
      const listed = algorithm as keyof typeof families;
      assert.equal(await outcome({ jwks, algorithms: [listed] }, token), 'ada');
      const others = (Object.keys(families) as (keyof typeof families)[]).filter((one) => one !== algorithm);
      assert.equal(await outcome({ jwks, algorithms: others }, token), refused);
    });
  }
});

describe('a token with a secret', () => {
  for (const algorithm of ['HS256', 'HS384', 'HS512'] as const) {
    it(`may be of ${algorithm} where that is listed`, async () => {
      const token = await sign(Buffer.from(secret), { alg: algorithm, kid: 'whatever' });
      assert.equal(await outcome({ secret, algorithms: [algorithm] }, token), 'ada');
      const other = algorithm === 'HS256' ? 'HS512' : 'HS256';
      assert.equal(await outcome({ secret, algorithms: [other] }, token), refused);
      const forged = await sign(randomBytes(64), { alg: algorithm });
      assert.equal(await outcome({ secret, algorithms: [algorithm] }, forged), refused);
    });
  }

  it('is not verified with a public key, and one with keys not with a secret', async () => {
    const { publicKey, privateKey } = families.RS256;
    const jwks = { keys: [await exportJWK(publicKey)] };
    const confused = await sign(Buffer.from(await exportSPKI(publicKey)), { alg: 'HS256' });
    assert.equal(await outcome({ jwks, algorithms: ['RS256'] }, confused), refused);
    const token = await sign(privateKey, { alg: 'RS256' });
    assert.equal(await outcome({ secret, algorithms: ['HS256'] }, token), refused);
  });

  it('may have it in a file, without the line break at its end', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'selvage-secret-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const secretFile = join(folder, 'secret');
    const token = await sign(Buffer.from(secret), { alg: 'HS256' });
    await writeFile(secretFile, `${secret}\n`);
    assert.equal(await outcome({ secretFile, algorithms: ['HS256'] }, token), 'ada');
    await writeFile(secretFile, 'short\n');
    assert.equal(
      await outcome({ secretFile, algorithms: ['HS256'] }, token),
      'The identity provider cannot be reached',
    );
  });

  const mixes: Record<string, Omit<JwtIssuer, 'issuer'>> = {
    'an algorithm with keys beside a secret': { secret, algorithms: ['HS256', 'RS256'] },
    'a secret and no list': { secret },
    'a secret and keys': { secret, jwksUri: `${issuer}/keys`, algorithms: ['HS256'] },
    'HS256 without a secret': { algorithms: ['HS256'] },
    'HS256 among those with keys': { algorithms: ['RS256', 'HS256'] },
    'a secret that is too short': { secret: secret.slice(0, 47), algorithms: ['HS256', 'HS384'] },
  };
  for (const [what, options] of Object.entries(mixes)) {
    it(`cannot come about with ${what}`, () => {
      const build = () => createJwtVerifier([{ issuer, ...options }], { now: Date.now, fetch });
      assert.throws(build, (error) => error instanceof TypeError && !error.message.includes(secret.slice(0, 20)));
    });
  }
});

describe('the type of a token', () => {
  const judge = (typ: string | undefined, wanted?: string) =>
    sign(Buffer.from(secret), { alg: 'HS256', ...(typ !== undefined && { typ }) }).then((token) =>
      outcome({ secret, algorithms: ['HS256'], ...(wanted !== undefined && { typ: wanted }) }, token),
    );

  it('is none, JWT or at+jwt, if nothing else is said', async () => {
    for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt', 'application/jwt']) {
      assert.equal(await judge(typ), 'ada', typ);
    }
    for (const typ of ['viewer+jwt', 'logout+jwt', 'dpop+jwt', 'secevent+jwt', 'token-introspection+jwt', '', 'jwt ']) {
      assert.equal(await judge(typ), 'The JWT is not an access token', typ);
    }
  });

  it('is the one of the options, and no other', async () => {
    for (const typ of ['at+jwt', 'application/at+jwt', 'AT+jwt']) assert.equal(await judge(typ, 'at+jwt'), 'ada', typ);
    for (const typ of [undefined, 'JWT', 'viewer+jwt']) {
      assert.equal(await judge(typ, 'at+jwt'), 'The JWT is not an access token', typ);
    }
    assert.equal(await judge('viewer+jwt', 'viewer+jwt'), 'ada', 'one gateway may stand behind another');
  });
});

describe('the age of a token', () => {
  const options: Omit<JwtIssuer, 'issuer'> = { secret, algorithms: ['HS256'], maxTokenAge: '1m' };
  const judge = async (claims: Record<string, unknown>, more: object = {}) =>
    outcome({ ...options, ...more }, await sign(Buffer.from(secret), { alg: 'HS256' }, claims));

  it('counts from iat, whatever exp says, with the same tolerance', async () => {
    assert.equal(await judge({ iat: nowSeconds - 64 }), 'ada');
    assert.equal(await judge({ iat: nowSeconds - 65 }), 'The access token is too old');
    assert.equal(await judge({ iat: undefined }), refused);
    assert.equal(await judge({ iat: String(nowSeconds) }), refused);
    assert.equal(await judge({ iat: nowSeconds - 3_000 }, { maxTokenAge: '1h' }), 'ada');
  });

  it('cannot be negative, with or without a maximum', async () => {
    assert.equal(await judge({ iat: nowSeconds + 5 }), 'ada');
    assert.equal(await judge({ iat: nowSeconds + 6 }), 'The access token is of the future');
    const token = await sign(Buffer.from(secret), { alg: 'HS256' }, { iat: nowSeconds + 6 });
    assert.equal(await outcome({ secret, algorithms: ['HS256'] }, token), 'The access token is of the future');
  });

  it('also ends what is remembered of it', async () => {
    let atMs = nowMs;
    const verifier = createJwtVerifier([{ issuer, ...options }], { now: () => atMs, fetch: refuseFetch });
    const token = await sign(Buffer.from(secret), { alg: 'HS256' }, { iat: nowSeconds - 40 });
    await verifier.verify(token);
    atMs += 24_999;
    assert.ok(!(verifier.verify(token) instanceof Promise));
    atMs += 1;
    await assert.rejects(async () => verifier.verify(token), /too old/);
  });
});
