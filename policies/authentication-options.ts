/** Options of authentication. */
import Type from 'typebox';
import { ApiKey } from './api-keys.ts';
import { CertificateHeaderOptions } from './certificate-header.ts';
import { ClientCertificateRule } from './client-certificate.ts';
import { cookieNamePattern } from './cookies.ts';
import { IntrospectionOptions } from './introspection.ts';
import { JwtIssuer } from './jwt-issuer.ts';
import { RevocationOptions } from './revocation.ts';
import { SessionOptions } from './session.ts';
import { OneOf } from './units.ts';

export const CookieOptions = Type.Object(
  {
    token: Type.Optional(
      Type.String({
        pattern: cookieNamePattern,
        description:
          'Cookie with an access token, read where there is no `Authorization`. Call it `__Host-...`, so that no other host of the site can set it.',
      }),
    ),
    trustedOrigins: Type.Optional(
      Type.Array(Type.String({ pattern: '^https?://[^/?#\\s]+$' }), {
        default: [],
        description:
          'Origins of other pages that may send requests with cookies, e.g. `https://app.example`. From elsewhere only GET, HEAD and OPTIONS pass.',
      }),
    ),
    invalid: Type.Optional(
      OneOf(['anonymous', 'refuse'], {
        default: 'anonymous',
        description:
          'What a cookie is worth that is not valid any more. `anonymous`: as much as none, because a browser sends it until it is replaced, also to the page where one logs in. `refuse`: 401.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type CookieOptions = Type.Static<typeof CookieOptions>;

export const AuthenticationOptions = Type.Object(
  {
    required: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether every route and every root field needs a viewer unless it is marked `public`. Otherwise anonymous requests pass wherever nothing is asked of the viewer. A credential that is presented and wrong is refused in both cases.',
      }),
    ),
    jwt: Type.Optional(
      Type.Array(JwtIssuer, {
        default: [],
        description: 'Issuers whose tokens are accepted in `Authorization: Bearer`.',
      }),
    ),
    introspection: Type.Optional(IntrospectionOptions),
    session: Type.Optional(SessionOptions),
    cookies: Type.Optional(CookieOptions),
    revocation: Type.Optional(RevocationOptions),
    managedApiKeys: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether API keys can also be made and removed at run time, by the admin API. They are kept in Redis if there is one, else with the registry: in `api-keys.json` beside it, or in memory, where a restart forgets them.',
      }),
    ),
    clientCertificates: Type.Optional(
      Type.Array(ClientCertificateRule, {
        default: [],
        description:
          'Who the holders of certificates are. The first that fits counts; where none fits the certificate names nobody. They come by `listen.tls` or in `clientCertificateHeader`.',
      }),
    ),
    clientCertificateHeader: Type.Optional(CertificateHeaderOptions),
    apiKeys: Type.Optional(Type.Array(ApiKey, { default: [], description: 'Keys that are accepted in `x-api-key`.' })),
  },
  { additionalProperties: false },
);
export type AuthenticationOptions = Type.Static<typeof AuthenticationOptions>;
