/** Opaque access tokens, judged by their issuer: token introspection (RFC 7662). */
import Type from 'typebox';
import { buildClaimsViewer } from './claims-viewer.ts';
import type { KnownViewer } from './credential-lookup.ts';
import { fetchJson } from './json-fetch.ts';
import { Duration, OneOf, parseDurationMs } from './units.ts';

export const IntrospectionOptions = Type.Object(
  {
    endpoint: Type.String({ pattern: '^https?://', description: 'The introspection endpoint (RFC 7662).' }),
    clientAuthentication: Type.Optional(
      OneOf(['basic', 'post', 'bearer', 'none'], {
        default: 'basic',
        description:
          'How the gateway shows who it is: `basic` and `post` send `clientId` and `clientSecret` (RFC 6749 section 2.3.1), `bearer` sends `clientSecret` as a bearer token.',
      }),
    ),
    clientId: Type.Optional(Type.String({ minLength: 1, description: 'Name of the gateway at the issuer.' })),
    clientSecret: Type.Optional(Type.String({ minLength: 1, description: 'Secret of the gateway at the issuer.' })),
    issuer: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Issuer of the viewers. An answer with another `iss` is refused. Default: what the answer says.',
      }),
    ),
    audience: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
        description: 'The `aud` that tokens must have (one of them). Without it any audience passes.',
      }),
    ),
    requireTokenType: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Whether the answer must name a bearer token in `token_type`. Many issuers call refresh tokens `active` as well, and leave only this out.',
      }),
    ),
    cacheFor: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '30s',
        description: 'How long an answer counts at most: as long a token that was withdrawn still passes.',
      }),
    ),
    timeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '2s', description: 'How long an answer is waited for.' }),
    ),
    scopesClaim: Type.Optional(
      Type.String({ default: 'scope', description: 'Member with the scopes: a string of words or a list.' }),
    ),
    rolesClaim: Type.Optional(
      Type.String({ default: 'roles', description: 'Member with the roles: a list of strings.' }),
    ),
  },
  { additionalProperties: false },
);
export type IntrospectionOptions = Type.Static<typeof IntrospectionOptions>;

export interface IntrospectionDependencies {
  readonly now: () => number;
  readonly fetch: typeof fetch;
}

const bearerTypes: ReadonlySet<string> = new Set(['bearer', 'access_token']);
const clockToleranceMs = 5_000;

type Introspect = (token: string) => Promise<KnownViewer | null>;

/** Builds the function that asks the endpoint. It rejects where the endpoint gives no answer of RFC 7662. */
export function createIntrospection(
  options: IntrospectionOptions,
  dependencies: IntrospectionDependencies,
): Introspect {
  const { endpoint, timeout = '2s' } = options;
  const timeoutMs = parseDurationMs(timeout);
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...buildCredentials(options) };
  return async (token) => {
    const form = new URLSearchParams({ token, token_type_hint: 'access_token' });
    if (options.clientAuthentication === 'post') {
      form.set('client_id', options.clientId ?? '');
      form.set('client_secret', options.clientSecret ?? '');
    }
    const request = { method: 'POST', headers, body: form.toString(), timeoutMs };
    const { status, body } = await fetchJson(endpoint, request, dependencies.fetch);
    // Also a 401: it is the gateway that is not let in, and no client can help that.
    if (status !== 200) throw new Error(`the introspection endpoint answered ${status}`);
    return judge(body, options, dependencies.now());
  };
}

/** RFC 6749 section 2.3.1: name and secret are form-encoded before they are joined. */
function buildCredentials(options: IntrospectionOptions): Record<string, string> {
  const { clientAuthentication = 'basic', clientId = '', clientSecret = '' } = options;
  if (clientAuthentication === 'bearer') return { authorization: `Bearer ${clientSecret}` };
  if (clientAuthentication !== 'basic') return {};
  const encode = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);
  const pair = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64');
  return { authorization: `Basic ${pair}` };
}

/** RFC 7662 section 2.2. What is said of the token is checked as it would be in a JWT: the endpoint may be of several. */
function judge(body: unknown, options: IntrospectionOptions, atMs: number): KnownViewer | null {
  const answer = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const { active, iss, aud, sub, client_id: client } = answer;
  if (typeof active !== 'boolean')
    throw new Error('the introspection endpoint did not say whether the token is active');
  if (!active) return null;
  if (!isBearer(answer, options.requireTokenType ?? true)) return null;
  if (options.issuer !== undefined && iss !== undefined && iss !== options.issuer) return null;
  if (options.audience !== undefined && !hasAudience(aud, [options.audience].flat())) return null;
  const notBeforeMs = readSeconds(answer['nbf']);
  if (notBeforeMs !== undefined && atMs + clockToleranceMs < notBeforeMs) return null;
  const untilMs = (readSeconds(answer['exp']) ?? Number.POSITIVE_INFINITY) + clockToleranceMs;
  if (atMs >= untilMs) return null;
  const id = readId(sub, client);
  if (id === undefined) return null;
  const viewer = buildClaimsViewer({
    id,
    kind: 'opaque',
    // Never none: services take an id without an issuer for the name of an API key.
    issuer: options.issuer ?? (typeof iss === 'string' ? iss : 'introspection'),
    scopes: answer[options.scopesClaim ?? 'scope'],
    roles: answer[options.rolesClaim ?? 'roles'],
    claims: answer,
  });
  return { viewer, untilMs };
}

/**
 * Whether it is a token for whoever holds it. A refresh token is `active` as well; what its issuer says of the kind, in
 * whichever member, must be right. One that is bound to a key (`cnf`: RFC 8705, RFC 9449) came without a proof.
 */
function isBearer(answer: Readonly<Record<string, unknown>>, typeRequired: boolean): boolean {
  const said = [answer['token_type'], answer['token_use'], answer['typ']].filter((type) => type !== undefined);
  if (said.length === 0 && typeRequired) return false;
  return answer['cnf'] === undefined && said.every((type) => bearerTypes.has(String(type).toLowerCase()));
}

/** A client that acts for itself has no `sub`. The prefix keeps one that chose its name from passing for a person. */
function readId(subject: unknown, client: unknown): string | undefined {
  if (typeof subject === 'string' && subject !== '') return subject;
  return typeof client === 'string' && client !== '' ? `client:${client}` : undefined;
}

function readSeconds(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1_000 : undefined;
}

function hasAudience(given: unknown, wanted: readonly string[]): boolean {
  return [given].flat().some((audience) => typeof audience === 'string' && wanted.includes(audience));
}
