/** Sessions that a service of the operator knows: asked by a template of an HTTP request. */
import Type from 'typebox';
import { buildClaimsViewer } from './claims-viewer.ts';
import { cookieNamePattern } from './cookies.ts';
import type { KnownViewer } from './credential-lookup.ts';
import { fetchJson, type JsonRequest } from './json-fetch.ts';
import { Duration, OneOf, parseDurationMs } from './units.ts';

const Pointer = Type.String({ pattern: '^(/([^~/]|~[01])*)+$' });
const pointer = (path: string, description: string) =>
  Type.Optional(Type.Unsafe<string>({ ...Pointer, default: path, description }));

export const SessionOptions = Type.Object(
  {
    cookie: Type.Optional(
      Type.String({ pattern: cookieNamePattern, description: 'Cookie with the session, e.g. `__Host-session`.' }),
    ),
    header: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9-]{0,63}$',
        description: 'Header with the session, for clients that are no browsers.',
      }),
    ),
    url: Type.String({
      pattern: '^https?://',
      description: 'What is asked. `{session}` stands for the session, percent-encoded.',
      examples: ['http://sessions.internal/sessions/{session}'],
    }),
    method: Type.Optional(OneOf(['GET', 'POST'], { default: 'GET', description: 'How it is asked.' })),
    headers: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }), Type.String(), {
        default: {},
        description: 'Headers of the request; `{session}` stands for the session, e.g. `cookie: sid={session}`.',
      }),
    ),
    body: Type.Optional(
      Type.String({
        description:
          'JSON body, for `POST`. `{session}` stands for the session as a JSON string, `{sessions}` for the list of all that are asked for together.',
        examples: ['{ "ids": {sessions} }'],
      }),
    ),
    maxBatchSize: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        default: 1,
        description:
          'Sessions in one request, with `{sessions}` in `body`. The answer must be a list in the same order, `null` for a session that is not valid.',
      }),
    ),
    id: pointer('/sub', "Where the viewer's id stands in the answer (RFC 6901)."),
    scopes: pointer('/scope', 'Where the scopes stand: a string of words or a list.'),
    roles: pointer('/roles', 'Where the roles stand: a list of strings.'),
    expires: pointer('/exp', 'Where the end of the session stands: seconds since 1970.'),
    cacheFor: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '30s',
        description: 'How long an answer counts at most: as long a session that was ended still passes.',
      }),
    ),
    timeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '2s', description: 'How long an answer is waited for.' }),
    ),
  },
  { additionalProperties: false },
);
export type SessionOptions = Type.Static<typeof SessionOptions>;

export interface SessionDependencies {
  readonly now: () => number;
  readonly fetch: typeof fetch;
}

/** Statuses by which a service says that there is no such session. */
const absentStatuses: ReadonlySet<number> = new Set([401, 403, 404, 410]);

type ValidateSessions = (sessions: readonly string[]) => Promise<readonly (KnownViewer | null)[]>;

/** Builds the function that asks the service. It rejects where the service says neither yes nor no. */
export function createSessionValidation(options: SessionOptions, dependencies: SessionDependencies): ValidateSessions {
  const { now } = dependencies;
  const isBatch = (options.maxBatchSize ?? 1) > 1;
  return async (sessions) => {
    const [first = ''] = sessions;
    // As a segment of a path it would lead elsewhere, encoded or not (WHATWG URL, section 4.4).
    if (/^\.{1,2}$/.test(first) && !isBatch) return [null];
    const { status, body } = await fetchJson(
      options.url.replaceAll('{session}', () => encodeURIComponent(first)),
      buildRequest(options, sessions),
      dependencies.fetch,
    );
    // Of several at once no status speaks: it would be the gateway that is not let in.
    if (!isBatch && absentStatuses.has(status)) return [null];
    if (status < 200 || status >= 300) throw new Error(`the session service answered ${status}`);
    if (!isBatch) return [judge(body, options, now())];
    if (!Array.isArray(body) || body.length !== sessions.length)
      throw new Error(`the session service did not answer with a list of ${sessions.length}`);
    return body.map((answer) => judge(answer, options, now()));
  };
}

function buildRequest(options: SessionOptions, sessions: readonly string[]): JsonRequest {
  const { method = 'GET', headers = {}, body, timeout = '2s' } = options;
  const [first = ''] = sessions;
  const filled = Object.entries(headers).map(([name, value]) => [
    name,
    value.replaceAll('{session}', () => encodeHeader(first)),
  ]);
  return {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...Object.fromEntries(filled) },
    ...(body !== undefined && {
      body: body.replaceAll(/\{sessions?\}/g, (name) => JSON.stringify(name === '{session}' ? first : sessions)),
    }),
    timeoutMs: parseDurationMs(timeout),
  };
}

/** As it came in a header, it could end a cookie and begin another one. */
function encodeHeader(session: string): string {
  return session.replace(/[^\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]/g, encodeURIComponent);
}

/** `null` says no as well; an answer without an id says neither, and nobody may become a viewer by that. */
function judge(answer: unknown, options: SessionOptions, atMs: number): KnownViewer | null {
  if (answer === null) return null;
  const id = readPointer(answer, options.id ?? '/sub');
  if (typeof id !== 'string' && typeof id !== 'number') throw new Error('the session service named no viewer');
  if (id === '') return null;
  const expires = readPointer(answer, options.expires ?? '/exp');
  const untilMs = typeof expires === 'number' ? expires * 1_000 : Number.POSITIVE_INFINITY;
  if (atMs >= untilMs) return null;
  const viewer = buildClaimsViewer({
    id: String(id),
    kind: 'session',
    // Never none: services take an id without an issuer for the name of an API key.
    issuer: 'session',
    scopes: readPointer(answer, options.scopes ?? '/scope'),
    roles: readPointer(answer, options.roles ?? '/roles'),
    claims: answer as Record<string, unknown>,
  });
  return { viewer, untilMs };
}

/** RFC 6901. */
function readPointer(document: unknown, path: string): unknown {
  return path
    .split('/')
    .slice(1)
    .reduce<unknown>((value, token) => {
      const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
      return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<string, unknown>)[key]
        : undefined;
    }, document);
}
