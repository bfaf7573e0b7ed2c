/**
 * A token issuer for the demo: discovery, keys, and a token for whoever asks. That last part makes it a toy; everything
 * that the gateway does with the tokens is what it does with those of a real issuer.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { tokenAudience } from './stage.ts';

export interface DemoTokenIssuer extends AsyncDisposable {
  /** The `iss` of its tokens, and where it listens. */
  readonly url: string;
}

export interface DemoTokenIssuerOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Milliseconds since the epoch. @default Date.now */
  readonly now?: () => number;
}

const algorithm = 'ES256';
const defaultLifetimeSeconds = 3_600;

/** Starts the issuer on loopback, with a new key. */
export async function startTokenIssuer({ port, now = Date.now }: DemoTokenIssuerOptions): Promise<DemoTokenIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const keys = { keys: [{ ...jwk, kid, alg: algorithm, use: 'sig' }] };

  function sign(query: URLSearchParams, issuer: string): Promise<string> {
    const issuedAt = Math.floor(now() / 1_000);
    const lifetimeSeconds = Number(query.get('expiresIn') ?? defaultLifetimeSeconds);
    return new SignJWT({ scope: query.get('scope') ?? '' })
      .setProtectedHeader({ alg: algorithm, kid, typ: 'at+jwt' })
      .setIssuer(issuer)
      .setAudience(tokenAudience)
      .setSubject(query.get('sub') ?? '')
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .sign(privateKey);
  }

  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://tokens');
    request.resume();
    if (request.method !== 'GET') return answerText(response, 405, 'expected GET\n');
    if (pathname === '/.well-known/openid-configuration') return answerJson(response, describeIssuer(url));
    if (pathname === '/jwks') return answerJson(response, keys);
    if (pathname === '/health') return answerJson(response, { status: 'ok' });
    if (pathname !== '/token') return answerText(response, 404, 'try /token?sub=ada&scope=profile:read\n');
    const mistake = findMistake(searchParams);
    if (mistake !== null) return answerText(response, 400, `${mistake}\n`);
    // As text, so that a shell can take it as it is: TOKEN=$(curl ...).
    answerText(response, 200, await sign(searchParams, url));
  });
  const url = `http://127.0.0.1:${await listen(server, port)}`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function findMistake(query: URLSearchParams): string | null {
  if (!/^[\w.@-]{1,200}$/.test(query.get('sub') ?? '')) return 'expected ?sub= with the id of a user, e.g. ada';
  const lifetime = query.get('expiresIn');
  return lifetime === null || /^-?\d{1,6}$/.test(lifetime) ? null : 'expected &expiresIn= in seconds';
}

function describeIssuer(issuer: string) {
  return {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    response_types_supported: ['token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [algorithm],
  };
}

function answerJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function answerText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
  response.end(text);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // Loopback and nothing else: it gives tokens to everyone.
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

if (import.meta.main) {
  const issuer = await startTokenIssuer({ port: Number(process.env['PORT'] ?? 0) });
  console.log(`tokens: listening at ${issuer.url}, pid ${process.pid}`);
  const end = (): void => void issuer[Symbol.asyncDispose]().then(() => process.exit(0));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, end);
}
