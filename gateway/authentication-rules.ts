/** What the schema cannot say about `authentication`. */
import type { ApiKey } from '../policies/api-keys.ts';
import type { AuthenticationOptions } from '../policies/authentication-options.ts';
import type { IntrospectionOptions } from '../policies/introspection.ts';
import { type JwtIssuer, minSecretBytes, secretAlgorithms } from '../policies/jwt-issuer.ts';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import type { SessionOptions } from '../policies/session.ts';
import { createViewerDescription, type ViewerOptions } from '../policies/viewer-token.ts';

/** Mistakes of options that fit the schema, except names that come twice. */
export function findAuthenticationMistakes(options: AuthenticationOptions): Mistake[] {
  const { jwt = [], apiKeys = [], managedApiKeys, introspection, session, cookies, required } = options;
  const { clientCertificates = [] } = options;
  const hasTokens = jwt.length > 0 || introspection !== undefined;
  const hasKeys = apiKeys.length > 0 || managedApiKeys === true || clientCertificates.length > 0;
  const hasAny = hasTokens || hasKeys || session !== undefined;
  return [
    ...(required === true && !hasAny
      ? [
          mistake(
            ['required'],
            'nobody could pass: there are neither `jwt` nor `apiKeys`, `introspection`, `session` or `clientCertificates`',
          ),
        ]
      : []),
    ...(cookies?.token !== undefined && !hasTokens
      ? [mistake(['cookies', 'token'], 'nobody could judge the token: there is neither `jwt` nor `introspection`')]
      : []),
    ...(cookies?.token !== undefined && cookies.token === session?.cookie
      ? [mistake(['cookies', 'token'], 'the same cookie as `session.cookie`')]
      : []),
    ...jwt.flatMap(checkKeys),
    ...apiKeys.flatMap(checkApiKey(apiKeys)),
    ...(introspection === undefined ? [] : checkIntrospection(introspection)),
    ...(session === undefined ? [] : checkSession(session)),
  ];
}

function checkKeys({ jwksUri, jwksFile, jwks, ...issuer }: JwtIssuer, index: number): Mistake[] {
  const sources = [jwksUri, jwksFile, jwks].filter((source) => source !== undefined);
  const path = ['jwt', index];
  return [
    ...(sources.length > 1 ? [mistake(path, 'expected one of `jwksUri`, `jwksFile` and `jwks`')] : []),
    // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1.
    ...(jwks?.keys.some((key) => 'd' in key || 'k' in key) === true
      ? [mistake([...path, 'jwks'], 'holds a private key or a secret: only public keys belong here')]
      : []),
    ...checkSecret(issuer, sources.length > 0, path),
  ];
}

/** One family of algorithms for each issuer: else a token could choose to be verified with a public key as the secret. */
function checkSecret(issuer: Omit<JwtIssuer, 'jwks'>, hasKeys: boolean, path: ValuePath): Mistake[] {
  const { secret, secretFile, algorithms = [] } = issuer;
  const hasSecret = secret !== undefined || secretFile !== undefined;
  const withSecret = algorithms.filter((one) => secretAlgorithms.has(one));
  const at = [...path, 'algorithms'];
  if (!hasSecret) {
    return withSecret.length > 0 ? [mistake(at, `${withSecret.join(', ')} needs \`secret\` or \`secretFile\``)] : [];
  }
  return [
    ...(hasKeys ? [mistake(path, 'expected either a secret or keys, never both')] : []),
    ...(secret !== undefined && secretFile !== undefined
      ? [mistake(path, 'expected one of `secret` and `secretFile`')]
      : []),
    ...(withSecret.length === 0 || withSecret.length < algorithms.length
      ? [mistake(at, 'with a secret: expected `HS256`, `HS384` or `HS512`, and nothing else')]
      : []),
    ...(secret !== undefined && Buffer.byteLength(secret) < minSecretBytes(algorithms)
      ? [mistake([...path, 'secret'], `too short: expected at least ${minSecretBytes(algorithms)} bytes`)]
      : []),
  ];
}

/** Viewers are told apart by their ids, so a client must not be called as somebody else's key is. */
function checkApiKey(keys: readonly ApiKey[]): (key: ApiKey, index: number) => Mistake[] {
  return ({ client, expires }, index) => [
    ...(client !== undefined && keys.some((other) => other.name === client && other.client !== client)
      ? [mistake(['apiKeys', index, 'client'], `there is a key of another client with the name \`${client}\``)]
      : []),
    ...(expires !== undefined && Number.isNaN(Date.parse(expires))
      ? [mistake(['apiKeys', index, 'expires'], `${expires} is no date`)]
      : []),
  ];
}

function checkIntrospection(options: IntrospectionOptions): Mistake[] {
  const { clientAuthentication = 'basic', clientId, clientSecret } = options;
  const wanted = { basic: ['clientId', 'clientSecret'], post: ['clientId', 'clientSecret'], bearer: ['clientSecret'] };
  const missing = clientAuthentication === 'none' ? [] : wanted[clientAuthentication];
  const given = { clientId, clientSecret };
  return missing
    .filter((name) => given[name as keyof typeof given] === undefined)
    .map((name) => mistake(['introspection'], `\`${clientAuthentication}\` needs \`${name}\``));
}

const takenHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-api-key', 'host', 'content-type']);

function checkSession(session: SessionOptions): Mistake[] {
  const { cookie, header, url, method = 'GET', headers = {}, body = '', maxBatchSize = 1 } = session;
  const at = (name: string, message: string): Mistake[] => [mistake(['session', name], message)];
  const head = [url, ...Object.values(headers)].join(' ');
  const isBatch = maxBatchSize > 1;
  return [
    ...(cookie === undefined && header === undefined
      ? [mistake(['session'], 'needs `cookie`, `header` or both: where the session comes from')]
      : []),
    ...(header !== undefined && takenHeaders.has(header.toLowerCase())
      ? at('header', `${header} has another meaning`)
      : []),
    ...(!URL.canParse(url.replaceAll('{session}', 'x')) ? at('url', 'is no URL') : []),
    ...(/^https?:\/\/[^/?#]*\{/.test(url) ? at('url', '`{session}` cannot choose the host') : []),
    ...(body !== '' && method !== 'POST' ? at('body', 'a body needs `method: POST`') : []),
    ...(body !== '' && !isJson(body.replaceAll('{sessions}', '[]').replaceAll('{session}', '""'))
      ? at('body', 'is no JSON once `{session}` is a string and `{sessions}` a list')
      : []),
    ...(!isBatch && !`${head} ${body}`.includes('{session}') && !body.includes('{sessions}')
      ? [mistake(['session'], 'nothing says which session is meant: put `{session}` into `url`, `headers` or `body`')]
      : []),
    ...(isBatch && (!body.includes('{sessions}') || `${head} ${body}`.includes('{session}'))
      ? at('maxBatchSize', 'several sessions at a time need `{sessions}` in `body`, and `{session}` nowhere')
      : []),
  ];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What the schema cannot say about `viewer`. */
export function findViewerMistakes({ token, ...options }: ViewerOptions): Mistake[] {
  if (token === undefined) return [];
  const path = ['viewer', 'token'];
  if ((token.secret === undefined) === (token.privateKey === undefined)) {
    return [{ path, message: 'expected one of `secret` and `privateKey`' }];
  }
  try {
    createViewerDescription({ ...options, token });
    return [];
  } catch {
    // The reason could hold a part of the key.
    return [{ path: [...path, 'privateKey'], message: 'expected a private key in PEM, Ed25519 or P-256' }];
  }
}

function mistake(path: ValuePath, message: string): Mistake {
  return { path: ['authentication', ...path], message };
}
