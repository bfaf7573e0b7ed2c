/** An issuer that signs whatever a test wants, and serves its keys over a real socket, or fails to. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose';

export interface TokenIssuer extends AsyncDisposable {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
  /** What the server does with a request for keys. A test may change it at any time. */
  behaviour: 'serve' | 'fail' | 'empty' | 'redirect' | 'garbage' | 'flood';
  /** The `issuer` of the discovery document, and its `jwks_uri`. */
  metadata: { issuer: string; jwks_uri: string };
  /** The keys that are served. */
  keys: JWK[];
  /** How many requests for keys have come. */
  fetches: number;
  /** A token with good claims, over which those given take precedence; `undefined` leaves a claim out. */
  sign(claims?: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>;
  /** Replaces the key by a new one. */
  rotate(kid: string): Promise<void>;
}

/** Starts an issuer with one ES256 key, `key-1`. `nowMs` dates its tokens, which live for five minutes. */
export async function startTokenIssuer(nowMs: () => number = Date.now): Promise<TokenIssuer> {
  let pair = await generateKeyPair('ES256', { extractable: true });
  let kid = 'key-1';
  const publish = async (): Promise<JWK[]> => [{ ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' }];

  const server = createServer((request, response) => {
    if (request.url === '/.well-known/openid-configuration') {
      response.end(JSON.stringify(issuer.metadata));
      return;
    }
    issuer.fetches += 1;
    if (issuer.behaviour === 'fail') response.writeHead(500).end('out of order');
    else if (issuer.behaviour === 'redirect' && request.url === '/keys') {
      response.writeHead(302, { location: '/elsewhere' }).end();
    } else if (issuer.behaviour === 'garbage') response.end('<html>');
    else if (issuer.behaviour === 'flood') response.end(JSON.stringify({ keys: issuer.keys }).padEnd(2_000_000));
    else response.end(JSON.stringify({ keys: issuer.behaviour === 'empty' ? [] : issuer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const issuer: TokenIssuer = {
    issuer: url,
    jwksUri: `${url}/keys`,
    get publicKey() {
      return pair.publicKey;
    },
    get privateKey() {
      return pair.privateKey;
    },
    behaviour: 'serve',
    metadata: { issuer: url, jwks_uri: `${url}/keys` },
    keys: await publish(),
    fetches: 0,
    sign(claims = {}, header = {}) {
      const now = Math.floor(nowMs() / 1_000);
      const defaults = { iss: url, aud: 'shop', sub: 'ada', iat: now, exp: now + 300, scope: 'orders:read' };
      return new SignJWT({ ...defaults, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid, ...header })
        .sign(pair.privateKey);
    },
    async rotate(newKid) {
      pair = await generateKeyPair('ES256', { extractable: true });
      kid = newKid;
      issuer.keys = await publish();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return issuer;
}
