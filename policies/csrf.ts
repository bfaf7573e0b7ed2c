/**
 * Defence against cross-site request forgery where services or the graph take what a browser adds by itself. What may
 * change something must come from a page of ours; and GraphQL by GET, which a page can cause by a mere link or image.
 */
import Type from 'typebox';
import { GatewayError } from './errors.ts';
import { assertOwnOrigin, type OriginSubject, type Origins, readSite } from './request-origin.ts';
import { OneOf } from './units.ts';

const Origin = Type.String({ pattern: '^https?://[^/\\s]+$', maxLength: 300 });

/** `csrf` of the gateway, a service or a route. */
export const CsrfOptions = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: '`false` switches off what the level above says.' }),
    ),
    trustedOrigins: Type.Optional(
      Type.Array(Origin, {
        description:
          'Origins of other pages that may send requests with cookies. Those that `cors` allows credentials may without being named here.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'For services with cookies of their own: requests that may change something, and come from pages of other origins, are refused by `Sec-Fetch-Site` and `Origin`. One with a cookie and neither of the two is refused too.',
  },
);
export type CsrfOptions = Type.Static<typeof CsrfOptions>;

/** `graphql.csrf`. */
export const GraphqlCsrf = OneOf(['cross-origin', 'always', 'off'], {
  default: 'cross-origin',
  description:
    'Which GETs need a header that no page of another origin can send without being allowed to: `graphql-require-preflight`, `apollo-require-preflight`, `x-apollo-operation-name` or `x-graphql-csrf`. `cross-origin`: those that a browser says come from a page of another origin, unless `cors` allows it. `always`: all. POST always needs `content-type: application/json`, which does the same.',
});
export type GraphqlCsrf = Type.Static<typeof GraphqlCsrf>;

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Throws FORBIDDEN for what another site may have caused. */
export type CheckOrigin = (subject: OriginSubject) => void;

/** The check of routes. `trusts`: who is trusted beside those that the options name. */
export function compileCsrf(options: CsrfOptions | undefined, trusts: (origin: string) => boolean): CheckOrigin | null {
  if (options === undefined || options.enabled === false) return null;
  const named = new Set(options.trustedOrigins);
  const trusted: Origins = { has: (origin) => named.has(origin) || trusts(origin) };
  return (subject) => {
    // Without a cookie there is nothing to misuse but a log-in, and what names no origin is no browser.
    const { headers } = subject;
    const isBare = headers['cookie'] === undefined;
    if (isBare && headers['sec-fetch-site'] === undefined && headers['origin'] === undefined) return;
    assertOwnOrigin(subject, trusted);
  };
}

const preflightHeaders = [
  'graphql-require-preflight',
  'apollo-require-preflight',
  'x-apollo-operation-name',
  'x-graphql-csrf',
];

/** The check of the GraphQL door, for what is not posted as JSON. */
export function compileGraphqlCsrf(mode: GraphqlCsrf, trusts: (origin: string) => boolean): CheckOrigin | null {
  if (mode === 'off') return null;
  const trusted: Origins = { has: trusts };
  return (subject) => {
    const { method, headers } = subject;
    if (!safeMethods.has(method) || preflightHeaders.some((name) => headers[name] !== undefined)) return;
    if (mode === 'cross-origin' && readSite(subject, trusted) !== 'other') return;
    throw new GatewayError(
      'FORBIDDEN',
      `A GraphQL request by GET needs the header ${preflightHeaders[0]} here, or use POST`,
    );
  };
}
