/** How services learn who is asking, so that they can verify it: a short-lived token that the gateway signs. */
import { createHmac, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import Type from 'typebox';
import type { Viewer } from './request-context.ts';
import { Duration, parseDurationMs } from './units.ts';
import { viewerHeaders } from './viewer-headers.ts';

export const ViewerOptions = Type.Object(
  {
    headers: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Whether services get `x-user-id`, `x-user-issuer`, `x-user-roles` and `x-user-scopes`.',
      }),
    ),
    token: Type.Optional(
      Type.Object(
        {
          secret: Type.Optional(
            Type.String({ minLength: 32, description: 'Secret that signs (HS256), shared with the services.' }),
          ),
          privateKey: Type.Optional(
            Type.String({
              minLength: 1,
              description:
                'Private key that signs (PEM): Ed25519 (EdDSA) or P-256 (ES256). Services need only the public key.',
            }),
          ),
          keyId: Type.Optional(Type.String({ minLength: 1, description: '`kid` of the tokens.' })),
          issuer: Type.Optional(Type.String({ minLength: 1, default: 'selvage', description: '`iss` of the tokens.' })),
          audience: Type.Optional(
            Type.String({ minLength: 1, default: 'services', description: '`aud` of the tokens.' }),
          ),
          lifetime: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '1m',
              description: 'How long a token is valid; never longer than the credential that it stands for.',
            }),
          ),
          claims: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              default: [],
              description: "Claims of the viewer's own token that are passed on, e.g. `tenant`.",
            }),
          ),
        },
        {
          additionalProperties: false,
          description: 'A signed token (RFC 7519) in `x-user-token`, one of `secret` and `privateKey`.',
        },
      ),
    ),
  },
  { additionalProperties: false, description: 'What services are told of the viewer.' },
);
export type ViewerOptions = Type.Static<typeof ViewerOptions>;
type ViewerTokenOptions = NonNullable<ViewerOptions['token']>;

/** Carries the token to services. */
export const viewerTokenHeader = 'x-user-token';

/** Names and values in turn. */
export type DescribeViewer = (viewer: Viewer) => readonly string[];

type Signer = { readonly algorithm: string; readonly sign: (text: string) => Buffer };

/** Claims that mean something else in the token that the gateway makes. */
const ownClaims: ReadonlySet<string> = new Set([
  'iss',
  'sub',
  'aud',
  'exp',
  'nbf',
  'iat',
  'jti',
  'scope',
  'roles',
  'idp',
]);

/** Builds what describes a viewer to services. Throws a TypeError for a key that cannot sign. */
export function createViewerDescription(options: ViewerOptions, now: () => number = Date.now): DescribeViewer {
  const { headers = true, token } = options;
  const tell: DescribeViewer = headers ? viewerHeaders : () => [];
  if (token === undefined) return tell;
  const issue = createTokenIssue(token, now);
  return (viewer) => [...tell(viewer), viewerTokenHeader, issue(viewer)];
}

interface Issued {
  readonly token: string;
  readonly renewAtMs: number;
}

/** A viewer that is remembered keeps its token for half its life: one is not signed for every call. */
function createTokenIssue(options: ViewerTokenOptions, now: () => number): (viewer: Viewer) => string {
  const signer = createSigner(options);
  const lifetimeMs = parseDurationMs(options.lifetime ?? '1m');
  const header = encode({
    alg: signer.algorithm,
    // RFC 8725 section 3.11: nobody shall take it for an access token.
    typ: 'viewer+jwt',
    ...(options.keyId !== undefined && { kid: options.keyId }),
  });
  const issued = new WeakMap<Viewer, Issued>();
  return (viewer) => {
    const atMs = now();
    const known = issued.get(viewer);
    if (known !== undefined && atMs < known.renewAtMs) return known.token;
    const endsAtMs = typeof viewer.claims['exp'] === 'number' ? viewer.claims['exp'] * 1_000 : Number.POSITIVE_INFINITY;
    // One that ends now still lasts as long as the call that it is for.
    const lastsMs = Math.max(Math.min(lifetimeMs, endsAtMs - atMs), 5_000);
    const text = `${header}.${encode(buildClaims(viewer, options, atMs, lastsMs))}`;
    const token = `${text}.${signer.sign(text).toString('base64url')}`;
    issued.set(viewer, { token, renewAtMs: atMs + lastsMs / 2 });
    return token;
  };
}

function buildClaims(viewer: Viewer, options: ViewerTokenOptions, atMs: number, lastsMs: number): object {
  const passedOn = (options.claims ?? [])
    .filter((name) => !ownClaims.has(name) && Object.hasOwn(viewer.claims, name))
    .map((name) => [name, viewer.claims[name]]);
  return {
    ...Object.fromEntries(passedOn),
    iss: options.issuer ?? 'selvage',
    aud: options.audience ?? 'services',
    sub: viewer.id,
    // Who vouches for the subject: two issuers may use the same one.
    ...(viewer.issuer !== undefined && { idp: viewer.issuer }),
    scope: [...viewer.scopes].join(' '),
    roles: viewer.roles,
    iat: Math.floor(atMs / 1_000),
    exp: Math.ceil((atMs + lastsMs) / 1_000),
  };
}

/** What a token says of the viewer, and not when it was made: the same for every token of a viewer that says the same. */
export function describeToken(token: string): string {
  const [, payload = ''] = token.split('.');
  const { iat: _, exp: __, jti: ___, ...said } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return JSON.stringify(said);
}

function createSigner({ secret, privateKey }: ViewerTokenOptions): Signer {
  if (secret !== undefined) {
    return { algorithm: 'HS256', sign: (text) => createHmac('sha256', secret).update(text).digest() };
  }
  const key = createPrivateKey(privateKey ?? '');
  const algorithm = findAlgorithm(key);
  // RFC 7518 section 3.4: the two numbers of the signature, not their DER.
  return algorithm === 'ES256'
    ? { algorithm, sign: (text) => sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }) }
    : { algorithm, sign: (text) => sign(null, Buffer.from(text), key) };
}

function findAlgorithm(key: KeyObject): 'ES256' | 'EdDSA' {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  throw new TypeError('the private key must be Ed25519 or P-256');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
