/** Whatever somebody makes of a token, both doors of a real gateway refuse it, and no line of the log holds a part of it. */
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, KeyObject, randomBytes, sign as signBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { CompactEncrypt, exportJWK, exportSPKI, type JWTHeaderParameters, SignJWT } from 'jose';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';
import { startTokenIssuer, type TokenIssuer } from '../support/token-issuer.ts';

const secret = randomBytes(48).toString('base64url');
const secretIssuer = 'https://secret.example';
const strictIssuer = 'https://strict.example';

/** Sends a request as it stands; resolves with the status. */
function send(url: string, text: string): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])));
  });
}

const body = JSON.stringify({ query: '{ a }' });

/** The statuses of both doors: GraphQL, REST. */
async function knock(url: string, fields: readonly string[], query = ''): Promise<number[]> {
  const head = ['host: gateway.example', 'connection: close', ...fields];
  const type = ['content-type: application/json', `content-length: ${body.length}`];
  return [
    await send(url, `${[`POST /graphql${query} HTTP/1.1`, ...head, ...type, '', body].join('\r\n')}`),
    await send(url, `${[`GET /read${query} HTTP/1.1`, ...head, '', ''].join('\r\n')}`),
  ];
}

const bearer = (token: string): string[] => [`authorization: Bearer ${token}`];
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const seconds = (): number => Math.floor(Date.now() / 1_000);

function claimsOf(issuer: string, claims: Record<string, unknown> = {}): Record<string, unknown> {
  return { iss: issuer, aud: 'shop', sub: 'mallory', iat: seconds(), exp: seconds() + 300, ...claims };
}

/** Header and claims as texts, over which the issuer's own key signs: what only a careless issuer would do. */
function signText({ privateKey }: TokenIssuer, header: string, claims: string): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const key = { key: KeyObject.from(privateKey), dsaEncoding: 'ieee-p1363' as const };
  return `${signed}.${signBytes('sha256', Buffer.from(signed), key).toString('base64url')}`;
}

function hmac(header: Record<string, unknown>, claims: Record<string, unknown>, key: string | Buffer): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

/** A good token with another header or other claims, and the old signature. */
function tamper(token: string, header: Record<string, unknown>, claims: Record<string, unknown> = {}): string {
  const [head = '', payload = '', signature = ''] = token.split('.');
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return `${encode({ ...read(head), ...header })}.${encode({ ...read(payload), ...claims })}.${signature}`;
}

/** Signed with a key of the attacker, who brings it along in the header. */
async function bring(issuer: TokenIssuer, header: (jwk: object) => object): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const all = { alg: 'ES256', kid: 'key-1', ...header(await exportJWK(publicKey)) };
  return new SignJWT(claimsOf(issuer.issuer)).setProtectedHeader(all as JWTHeaderParameters).sign(privateKey);
}

function order(length: number): Buffer {
  return Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'.slice(0, length * 2), 'hex');
}

type Attack = (issuer: TokenIssuer) => Promise<string> | string;

const kids: Record<string, string> = {
  'a path': '../../../../dev/null',
  SQL: "x' UNION SELECT 'secret' --",
  'a command': '$(curl http://127.0.0.1:9/)',
  'a URL': 'http://127.0.0.1:9/keys',
  'a line break': 'key-1\r\nx-user-id: root',
  'a NUL': 'key-1\0',
  'a name of every object': '__proto__',
  'six thousand characters': 'k'.repeat(4_000),
  nothing: '',
};

const attacks: Record<string, Attack> = {
  'alg none, without a signature': async (issuer) => tamper(await issuer.sign(), { alg: 'none' }).replace(/[^.]*$/, ''),
  'alg none, with the signature': async (issuer) => tamper(await issuer.sign(), { alg: 'none' }),
  'alg nOnE': async (issuer) => tamper(await issuer.sign(), { alg: 'nOnE' }).replace(/[^.]*$/, ''),
  'alg that is a list': async (issuer) => tamper(await issuer.sign(), { alg: ['none', 'ES256'] }),
  'HS256 with the public key as PEM': async (issuer) =>
    hmac({ alg: 'HS256', kid: 'key-1' }, claimsOf(issuer.issuer), await exportSPKI(issuer.publicKey)),
  'HS256 with the public key as JWK': (issuer) =>
    hmac({ alg: 'HS256', kid: 'key-1' }, claimsOf(issuer.issuer), JSON.stringify(issuer.keys[0])),
  'HS256 with x of the public key': (issuer) =>
    hmac({ alg: 'HS256' }, claimsOf(issuer.issuer), Buffer.from(String(issuer.keys[0]?.['x']), 'base64url')),
  'HS256 with no secret': (issuer) => hmac({ alg: 'HS256' }, claimsOf(issuer.issuer), ''),
  'HS256 with no secret, of the issuer with a secret': () => hmac({ alg: 'HS256' }, claimsOf(secretIssuer), ''),
  'HS256 with the secret of another issuer': (issuer) =>
    hmac({ alg: 'HS256', kid: 'key-1' }, claimsOf(issuer.issuer), secret),
  'ES256 for the issuer with a secret': (issuer) => issuer.sign({ iss: secretIssuer }),
  'HS512 where HS256 is listed': () =>
    new SignJWT(claimsOf(secretIssuer)).setProtectedHeader({ alg: 'HS512' }).sign(Buffer.from(secret.padEnd(64, 'x'))),
  'an embedded key (jwk)': (issuer) => bring(issuer, (jwk) => ({ jwk })),
  'an embedded key, with its kid': (issuer) => bring(issuer, (jwk) => ({ jwk: { ...jwk, kid: 'new' }, kid: 'new' })),
  'a key set of its own (jku)': (issuer) => bring(issuer, () => ({ jku: 'http://127.0.0.1:9/keys' })),
  'a key set beside that of the issuer (jku)': (issuer) =>
    bring(issuer, () => ({ jku: `${issuer.issuer}/../evil`, kid: 'evil' })),
  'a certificate of its own (x5u)': (issuer) => bring(issuer, () => ({ x5u: 'http://127.0.0.1:9/cert' })),
  'a certificate of its own (x5c)': (issuer) => bring(issuer, () => ({ x5c: ['MIIBszCCAVmgAwIBAgIUQ'], x5t: 'AAAA' })),
  'a critical extension': (issuer) => signText(issuer, '{"alg":"ES256","crit":["exp"],"exp":1}', claimsText(issuer)),
  'no critical extension': (issuer) => signText(issuer, '{"alg":"ES256","crit":[]}', claimsText(issuer)),
  'an unencoded payload (b64)': (issuer) =>
    signText(issuer, '{"alg":"ES256","b64":false,"crit":["b64"]}', claimsText(issuer)),
  'b64 that is not critical': (issuer) => signText(issuer, '{"alg":"ES256","b64":false}', claimsText(issuer)),
  'more than 8 KB': (issuer) => issuer.sign({ padding: 'x'.repeat(7_000) }),
  'an expiry in the past': (issuer) => issuer.sign({ exp: seconds() - 60 }),
  'no expiry': (issuer) => issuer.sign({ exp: undefined }),
  'an expiry that is text': (issuer) => issuer.sign({ exp: '9999999999' }),
  'a beginning in the future (nbf)': (issuer) => issuer.sign({ nbf: seconds() + 60 }),
  'an issue in the future (iat)': (issuer) => issuer.sign({ iat: seconds() + 60 }),
  'an issue too long ago': () => hmac({ alg: 'HS256', typ: 'at+jwt' }, claimsOf(strictIssuer, { iat: 1 }), secret),
  'no issue where there is a maximum age': () =>
    hmac({ alg: 'HS256', typ: 'at+jwt' }, claimsOf(strictIssuer, { iat: undefined }), secret),
  'an unknown issuer': (issuer) => issuer.sign({ iss: 'https://evil.example' }),
  'no issuer': (issuer) => issuer.sign({ iss: undefined }),
  'several issuers': (issuer) => issuer.sign({ iss: [issuer.issuer] }),
  'another audience': (issuer) => issuer.sign({ aud: 'warehouse' }),
  'audiences that only resemble': (issuer) => issuer.sign({ aud: ['shop.evil', 'SHOP', ''] }),
  'no audience': (issuer) => issuer.sign({ aud: undefined }),
  'no subject': (issuer) => issuer.sign({ sub: '' }),
  'a claim twice': (issuer) => signText(issuer, '{"alg":"ES256"}', claimsText(issuer).replace('{', '{"sub":"root",')),
  'a claim twice, once in escapes': (issuer) =>
    signText(issuer, '{"alg":"ES256"}', claimsText(issuer).replace('{', '{"s\\u0075b":"root",')),
  'an issuer twice': (issuer) =>
    signText(issuer, '{"alg":"ES256"}', claimsText(issuer).replace('{', '{"iss":"https://evil.example",')),
  'a header field twice': (issuer) => signText(issuer, '{"alg":"none","alg":"ES256"}', claimsText(issuer)),
  'nesting a thousand deep': (issuer) =>
    signText(
      issuer,
      '{"alg":"ES256"}',
      claimsText(issuer).replace('{', `{"a":${'['.repeat(1_000)}${']'.repeat(1_000)},`),
    ),
  'the type of a logout token': (issuer) => issuer.sign({}, { typ: 'logout+jwt' }),
  'the type of a proof (DPoP)': (issuer) => issuer.sign({}, { typ: 'dpop+jwt' }),
  'the type of our own tokens': (issuer) => issuer.sign({}, { typ: 'viewer+jwt' }),
  'no type where at+jwt is wanted': () => hmac({ alg: 'HS256' }, claimsOf(strictIssuer), secret),
  'the type JWT where at+jwt is wanted': () => hmac({ alg: 'HS256', typ: 'JWT' }, claimsOf(strictIssuer), secret),
  'a binding to a certificate (cnf)': (issuer) => issuer.sign({ cnf: { 'x5t#S256': 'A'.repeat(43) } }),
  'a binding to a key (DPoP)': (issuer) => issuer.sign({ cnf: { jkt: 'A'.repeat(43) } }),
  'an empty signature': async (issuer) => (await issuer.sign()).replace(/[^.]*$/, ''),
  'a signature of zeros (r = s = 0)': async (issuer) => resign(await issuer.sign(), Buffer.alloc(64)),
  'a signature of the order of the curve': async (issuer) =>
    resign(await issuer.sign(), Buffer.concat([order(32), order(32)])),
  'a signature of zeros in DER': async (issuer) => resign(await issuer.sign(), Buffer.from('3006020100020100', 'hex')),
  'a signature that is too long': async (issuer) => `${await issuer.sign()}AAAA`,
  'a signature that is cut off': async (issuer) => (await issuer.sign()).slice(0, -4),
  'a payload that is cut off': async (issuer) => (await issuer.sign()).replace(/\.(.*)....\./, '.$1.'),
  'two parts': async (issuer) => (await issuer.sign()).replace(/\.[^.]*$/, ''),
  'four parts': async (issuer) => `${await issuer.sign()}.AAAA`,
  'five parts (a JWE)': () =>
    new CompactEncrypt(Buffer.from('{}')).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(randomBytes(32)),
  'a nested token (cty)': async (issuer) => signText(issuer, '{"alg":"ES256","cty":"JWT"}', await issuer.sign()),
  padding: async (issuer) => `${await issuer.sign()}==`,
  'the other alphabet': async (issuer) => {
    let token = await issuer.sign();
    while (!/[-_]/.test(token)) token = await issuer.sign({ jti: randomBytes(9).toString('hex') });
    return token.replaceAll('-', '+').replaceAll('_', '/');
  },
  'a second spelling of the signature': async (issuer) => {
    const token = await issuer.sign();
    // 64 bytes leave four bits of the last character over.
    const last = token.at(-1) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    return token.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1];
  },
  ...Object.fromEntries(
    Object.entries(kids).map(([what, kid]): [string, Attack] => [
      `a kid that is ${what}`,
      (issuer) => issuer.sign({}, { kid }),
    ]),
  ),
  'a kid that is a list': (issuer) => signText(issuer, '{"alg":"ES256","kid":["key-1"]}', claimsText(issuer)),
};

function claimsText({ issuer }: TokenIssuer): string {
  return JSON.stringify(claimsOf(issuer));
}

function resign(token: string, signature: Buffer): string {
  return token.replace(/[^.]*$/, signature.toString('base64url'));
}

describe('an attack by token', () => {
  const cleanups: (() => unknown)[] = [];
  let issuer: TokenIssuer;
  let gateway: TestGateway;

  before(async () => {
    const t = { after: (cleanup: () => unknown) => cleanups.push(cleanup) } as unknown as TestContext;
    issuer = await startTokenIssuer();
    cleanups.push(() => issuer[Symbol.asyncDispose]());
    const graph = await startSubgraph(t, 'type Query { a: String }', { Query: { a: () => 'a' } });
    const rest = await startServer(t, (_, response) => response.end('{}'));
    const hs256 = { audience: 'shop', secret, algorithms: ['HS256' as const] };
    gateway = await startGateway(t, {
      authentication: {
        required: true,
        jwt: [
          { issuer: issuer.issuer, jwksUri: issuer.jwksUri, audience: 'shop', algorithms: ['ES256'] },
          { issuer: secretIssuer, ...hs256 },
          { issuer: strictIssuer, ...hs256, typ: 'at+jwt', maxTokenAge: '1h' },
        ],
      },
      services: {
        graph: { graphql: {}, instances: [{ url: graph.url }] },
        rest: { routes: [{ match: { path: '/read' } }], instances: [{ url: rest.url }] },
      },
    });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  /** Everything that was logged, without the token and without a part that says anything. */
  function assertUnlogged(token: string): void {
    const log = JSON.stringify(gateway.lines);
    for (const part of [token, ...token.split('.')]) {
      if (part.length >= 16) assert.ok(!log.includes(part.slice(0, 60)), 'the log holds a part of the token');
    }
    assert.ok(!log.includes('mallory'), 'the log holds a claim');
  }

  it('meets doors that are open for good tokens', async () => {
    const good = [
      await issuer.sign(),
      await issuer.sign({}, { typ: 'at+jwt' }),
      signText(issuer, '{"alg":"ES256"}', claimsText(issuer)),
      hmac({ alg: 'HS256' }, claimsOf(secretIssuer), secret),
      hmac({ alg: 'HS256', typ: 'at+jwt' }, claimsOf(strictIssuer), secret),
    ];
    for (const token of good) assert.deepEqual(await knock(gateway.url, bearer(token)), [200, 200]);
    assert.deepEqual(await knock(gateway.url, [`authorization: bearer  ${good[0]}`]), [200, 200], 'RFC 9110: 1*SP');
  });

  for (const [what, make] of Object.entries(attacks)) {
    it(`fails with ${what}`, async () => {
      const token = await make(issuer);
      assert.ok(token.length < 15_000, 'larger heads are refused before anybody reads them');
      assert.deepEqual(await knock(gateway.url, bearer(token)), [401, 401]);
      assert.deepEqual(await knock(gateway.url, bearer(token)), [401, 401], 'also where it came before');
      assertUnlogged(token);
    });
  }

  it('fails with what is not one bearer token', async () => {
    const token = await issuer.sign();
    for (const field of [
      `authorization: Bearer\t${token}`,
      `authorization: Bearer ${token} ${token}`,
      `authorization: Bearer ${token},${token}`,
      `authorization: Bearer ${token.slice(0, 40)} ${token.slice(40)}`,
      `authorization: Bearer "${token}"`,
      `authorization: Bearer=${token}`,
      `authorization: Bearer`,
      `authorization: ${token}`,
      `authorization: DPoP ${token}`,
      `authorization: Basic ${Buffer.from(`x:${token}`).toString('base64')}`,
      `proxy-authorization: Bearer ${token}`,
      `x-access-token: ${token}`,
    ]) {
      assert.deepEqual(await knock(gateway.url, [field]), [401, 401], field.slice(0, 22));
    }
    assertUnlogged(token);
  });

  it('fails with a token in the query string, which is not read and not logged', async () => {
    const token = await issuer.sign();
    for (const query of [`?access_token=${token}`, `?token=${token}`, `?authorization=Bearer%20${token}`]) {
      assert.deepEqual(await knock(gateway.url, [], query), [401, 401]);
    }
    assertUnlogged(token);
  });

  it('fails with several Authorization fields: the request itself is broken, whatever they hold', async () => {
    const [token, other] = [await issuer.sign(), await issuer.sign({ sub: 'other' })];
    for (const second of [token, other, 'x']) {
      assert.deepEqual(await knock(gateway.url, [...bearer(token), ...bearer(second)]), [400, 400]);
    }
    assert.deepEqual(await knock(gateway.url, ['Authorization: Basic eDp5', ...bearer(token)]), [400, 400]);
    assertUnlogged(token);
  });

  it('fails with a head that is broken by line breaks, or larger than any', async () => {
    const token = await issuer.sign();
    assert.deepEqual(await knock(gateway.url, [`authorization: Bearer ${token}\r\n ${token}`]), [400, 400]);
    assert.deepEqual(await knock(gateway.url, [`authorization: Bearer ${token}\0`]), [400, 400]);
    const huge = `${token}${'A'.repeat(20_000)}`;
    assert.deepEqual(await knock(gateway.url, bearer(huge)), [431, 431]);
    assertUnlogged(token);
  });

  it('makes the gateway ask for keys once per pause at most, however many key ids are made up', async () => {
    const before = issuer.fetches;
    const beganMs = performance.now();
    const good = await issuer.sign({ jti: 'good' });
    const flood = Array.from({ length: 1_000 }, (_, number) => number);
    const outcomes = new Map<number, number>();
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let number = flood.pop(); number !== undefined; number = flood.pop()) {
          const token = tamper(good, { kid: `made-up-${number}` });
          const { status } = await fetch(`${gateway.url}/read`, { headers: { authorization: `Bearer ${token}` } });
          outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
        }
      }),
    );
    assert.deepEqual([...outcomes], [[401, 1_000]]);
    const pauses = Math.ceil((performance.now() - beganMs) / 30_000);
    assert.ok(issuer.fetches - before <= pauses, `${issuer.fetches - before} fetches in ${pauses} pauses`);
    assert.deepEqual(await knock(gateway.url, bearer(good)), [200, 200]);
  });
});
