/**
 * The public keys of one token issuer: fetched when the first token comes, shared by all who wait, kept when the issuer
 * goes away. jose's own `createRemoteJWKSet` forgets its keys when a refresh fails, and asks again with every token then.
 */
import { createSecretKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { GatewayError } from './errors.ts';
import { fetchJson } from './json-fetch.ts';
import { minSecretBytes, secretAlgorithms } from './jwt-issuer.ts';
import { parseDurationMs } from './units.ts';

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Without it the keys are found by OpenID discovery. */
  readonly jwksUri?: string | undefined;
  readonly jwksFile?: string | undefined;
  readonly jwks?: { readonly keys: readonly object[] } | undefined;
  /** Shared with the issuer, instead of keys. */
  readonly secret?: string | undefined;
  readonly secretFile?: string | undefined;
  readonly algorithms?: readonly string[] | undefined;
  /** @default '1d' */
  readonly staleFor?: string | undefined;
}

export interface IssuerKeysDependencies {
  readonly now: () => number;
  readonly fetch: typeof fetch;
}

/** Age at which keys are fetched anew, beside the requests. */
const refreshAfterMs = 600_000;
/** The same for a file: reading it costs next to nothing. */
const rereadAfterMs = 10_000;
/** Pause after a fetch that succeeded: how often tokens with made-up key ids can make the gateway ask. */
const pauseMs = 30_000;
/** Pause after a fetch that failed. */
const pauseAfterFailureMs = 5_000;
const fetchTimeoutMs = 5_000;

interface State {
  keys: JWTVerifyGetKey | null;
  loadedAtMs: number;
  attemptedAtMs: number;
  /** Why the last fetch failed; null after one that did not. */
  failure: unknown;
  flight: Promise<void> | null;
}

/** Builds the function that jose asks for the key of a token. It rejects with SERVICE_UNAVAILABLE if keys cannot be had. */
export function createIssuerKeys(options: IssuerKeysOptions, dependencies: IssuerKeysDependencies): JWTVerifyGetKey {
  // What stands in the configuration changes with it.
  if (options.jwks !== undefined) return createLocalJWKSet(options.jwks as unknown as JSONWebKeySet);
  if (options.secret !== undefined) return createSecretKeys(Buffer.from(options.secret), options);
  const { now } = dependencies;
  const staleAfterMs = parseDurationMs(options.staleFor ?? '1d');
  const isFile = options.jwksFile !== undefined || options.secretFile !== undefined;
  const renewAfterMs = isFile ? rereadAfterMs : refreshAfterMs;
  const never = Number.NEGATIVE_INFINITY;
  const state: State = { keys: null, loadedAtMs: never, attemptedAtMs: never, failure: null, flight: null };

  async function load(): Promise<void> {
    try {
      state.keys = await loadKeys(options, dependencies.fetch);
      state.loadedAtMs = now();
      state.failure = null;
    } catch (error) {
      state.failure = error;
    }
    state.attemptedAtMs = now();
  }

  /** Joins the fetch under way or starts one. False when it is too early for another. */
  async function refresh(): Promise<boolean> {
    if (state.flight === null) {
      if (!hasPassed(now() - state.attemptedAtMs, Math.min(pauseOf(state), renewAfterMs))) return false;
      state.flight = load().finally(() => {
        state.flight = null;
      });
    }
    await state.flight;
    return true;
  }

  /** A key that was withdrawn since, because it leaked, must not count for ever. */
  function isStale(): boolean {
    return now() - state.loadedAtMs > staleAfterMs;
  }

  function unavailable(): GatewayError {
    const waitedMs = now() - state.attemptedAtMs;
    return new GatewayError('SERVICE_UNAVAILABLE', 'The identity provider cannot be reached', {
      retryAfterSeconds: (pauseOf(state) - waitedMs) / 1_000,
      cause: state.failure,
    });
  }

  return async (header, token) => {
    if (state.keys === null || isStale()) await refresh();
    if (state.keys === null || isStale()) throw unavailable();
    // Not awaited: the known keys serve on, however slow the issuer is. `load` never rejects.
    if (hasPassed(now() - state.loadedAtMs, renewAfterMs)) void refresh();
    try {
      return await state.keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const refreshed = await refresh();
      // The key may be one that the issuer has made since. Whether it is cannot be known while the issuer is away, and
      // calling the token invalid would make its holder log out.
      if (state.failure !== null) throw unavailable();
      if (!refreshed) throw error;
      return await state.keys(header, token);
    }
  };
}

function pauseOf(state: State): number {
  return state.failure === null ? pauseMs : pauseAfterFailureMs;
}

/** Whether a time is over. A clock that was set back counts as over, else it could stop every refresh for hours. */
function hasPassed(elapsedMs: number, durationMs: number): boolean {
  return elapsedMs < 0 || elapsedMs >= durationMs;
}

async function loadKeys(options: IssuerKeysOptions, get: typeof fetch): Promise<JWTVerifyGetKey> {
  if (options.secretFile === undefined) return createLocalJWKSet(await fetchKeySet(options, get));
  const text = await readFile(options.secretFile, 'latin1');
  return createSecretKeys(Buffer.from(text.replace(/\r?\n$/, ''), 'latin1'), options);
}

/** The one secret, whatever `kid` a token names, as long as its algorithm is one with a secret. */
function createSecretKeys(secret: Buffer, { issuer, algorithms = [] }: IssuerKeysOptions): JWTVerifyGetKey {
  if (secret.length < Math.max(minSecretBytes(algorithms), minSecretBytes(['HS256']))) {
    throw new Error(`the secret of ${issuer} is too short for ${algorithms.join(', ')}`);
  }
  const key = createSecretKey(secret);
  return async ({ alg }) => {
    if (!secretAlgorithms.has(alg)) throw new errors.JOSEAlgNotAllowed('the issuer has a secret, and no keys');
    return key;
  };
}

async function fetchKeySet(options: IssuerKeysOptions, get: typeof fetch): Promise<JSONWebKeySet> {
  if (options.jwksFile !== undefined)
    return assertKeys(JSON.parse(await readFile(options.jwksFile, 'utf8')), options.jwksFile);
  const uri = options.jwksUri ?? (await discoverKeySetUri(options.issuer, get));
  return assertKeys(await fetchDocument(uri, get), uri);
}

function assertKeys(keySet: Record<string, unknown>, source: string): JSONWebKeySet {
  // An empty set in place of a full one is a mistake at the issuer; it must not lock everybody out.
  if (!Array.isArray(keySet['keys']) || keySet['keys'].length === 0) throw new Error(`${source} holds no keys`);
  return keySet as unknown as JSONWebKeySet;
}

async function discoverKeySetUri(issuer: string, get: typeof fetch): Promise<string> {
  const uri = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const metadata = await fetchDocument(uri, get);
  // RFC 8414 section 3.3: otherwise one issuer could name the keys of another.
  if (metadata['issuer'] !== issuer) throw new Error(`${uri} is about another issuer`);
  const keySetUri = metadata['jwks_uri'];
  if (typeof keySetUri !== 'string' || !/^https?:\/\//.test(keySetUri)) throw new Error(`${uri} names no jwks_uri`);
  if (issuer.startsWith('https:') && !keySetUri.startsWith('https:')) {
    throw new Error(`${uri} names a jwks_uri without TLS`);
  }
  return keySetUri;
}

async function fetchDocument(uri: string, get: typeof fetch): Promise<Record<string, unknown>> {
  const headers = { accept: 'application/json, application/jwk-set+json' };
  const { status, body } = await fetchJson(uri, { headers, timeoutMs: fetchTimeoutMs }, get);
  if (status !== 200) throw new Error(`${uri} answered ${status}`);
  if (typeof body !== 'object' || body === null) throw new Error(`${uri} is not a JSON object`);
  return body as Record<string, unknown>;
}
