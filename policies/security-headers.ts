/** Headers by which browsers keep an answer from being misused: loaded insecurely, framed, sniffed, leaked. */
import Type from 'typebox';
import { OneOf } from './units.ts';

const Value = Type.String({ pattern: '^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$', maxLength: 8_192 });

/** `securityHeaders` of the gateway, a service, a route, or the GraphQL door. */
export const SecurityHeadersOptions = Type.Object(
  {
    preset: Type.Optional(
      OneOf(['recommended', 'none'], {
        default: 'none',
        description:
          '`recommended`: HSTS for a year, `nosniff`, no frames of other origins, `Referrer-Policy: strict-origin-when-cross-origin`, `Cross-Origin-Opener-Policy: same-origin-allow-popups`, and no `Server` or `X-Powered-By`. What stands beside it counts before it.',
      }),
    ),
    hsts: Type.Optional(
      Type.Union(
        [
          Type.Literal(false),
          Type.Object(
            {
              maxAge: Type.Optional(
                Type.String({
                  pattern: '^\\d{1,9}(s|m|h|d)$',
                  default: '365d',
                  description: 'How long only https is used.',
                }),
              ),
              includeSubDomains: Type.Optional(Type.Boolean({ default: false })),
              preload: Type.Optional(Type.Boolean({ default: false })),
            },
            { additionalProperties: false },
          ),
        ],
        {
          description:
            '`Strict-Transport-Security`. Only on answers to https: of this gateway, or of a proxy in `trustedProxies`.',
        },
      ),
    ),
    contentSecurityPolicy: Type.Optional(Type.Unsafe<string>({ ...Value, description: '`Content-Security-Policy`.' })),
    noSniff: Type.Optional(Type.Boolean({ description: '`X-Content-Type-Options: nosniff`.' })),
    frames: Type.Optional(
      OneOf(['deny', 'same-origin', 'allow'], {
        description: 'Who may show the page in a frame: `X-Frame-Options`, and `frame-ancestors` in the policy.',
      }),
    ),
    referrerPolicy: Type.Optional(Type.Unsafe<string>({ ...Value, description: '`Referrer-Policy`.' })),
    permissionsPolicy: Type.Optional(Type.Unsafe<string>({ ...Value, description: '`Permissions-Policy`.' })),
    crossOriginOpenerPolicy: Type.Optional(
      OneOf(['same-origin', 'same-origin-allow-popups', 'noopener-allow-popups', 'unsafe-none'], {
        description: '`Cross-Origin-Opener-Policy`.',
      }),
    ),
    crossOriginResourcePolicy: Type.Optional(
      OneOf(['same-origin', 'same-site', 'cross-origin'], { description: '`Cross-Origin-Resource-Policy`.' }),
    ),
    crossOriginEmbedderPolicy: Type.Optional(
      OneOf(['require-corp', 'credentialless', 'unsafe-none'], { description: '`Cross-Origin-Embedder-Policy`.' }),
    ),
    hideServer: Type.Optional(
      Type.Boolean({ description: 'Whether `Server` and `X-Powered-By` of services are taken away.' }),
    ),
    override: Type.Optional(
      Type.Boolean({ default: false, description: 'Whether this replaces what a service says itself.' }),
    ),
  },
  { additionalProperties: false, description: 'Headers that keep browsers from misusing answers. Default: none.' },
);
export type SecurityHeadersOptions = Type.Static<typeof SecurityHeadersOptions>;

const recommended = {
  hsts: {},
  noSniff: true,
  frames: 'same-origin',
  referrerPolicy: 'strict-origin-when-cross-origin',
  crossOriginOpenerPolicy: 'same-origin-allow-popups',
  hideServer: true,
} as const satisfies SecurityHeadersOptions;

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Gives the fields of an answer with those of the policy. `isSecure`: the client came by https. */
export type ApplySecurityHeaders = (answer: readonly string[], isSecure: boolean) => string[];

/** Compiles the options. What does not depend on the answer is worked out here. */
export function compileSecurityHeaders(given: SecurityHeadersOptions): ApplySecurityHeaders {
  const options: SecurityHeadersOptions = { ...(given.preset === 'recommended' && recommended), ...given };
  const fields = buildFields(options);
  const secureFields = [...fields, ...buildHsts(options.hsts)];
  const override = options.override === true;
  const hidden = options.hideServer === true ? ['server', 'x-powered-by'] : [];
  return (answer, isSecure) => {
    const own = isSecure ? secureFields : fields;
    const mine = new Set(own.map(([name]) => name));
    const said = new Set<string>();
    const kept: string[] = [];
    for (let i = 0; i + 1 < answer.length; i += 2) {
      const name = (answer[i] ?? '').toLowerCase();
      // RFC 6797 section 7.2: a host must not say it over http.
      if (hidden.includes(name) || (!isSecure && name === 'strict-transport-security')) continue;
      if (override && mine.has(name)) continue;
      said.add(name);
      kept.push(answer[i] ?? '', answer[i + 1] ?? '');
    }
    for (const [name, value] of own) if (!said.has(name)) kept.push(name, value);
    return kept;
  };
}

type Field = readonly [name: string, value: string];

function buildFields(options: SecurityHeadersOptions): Field[] {
  const named: [string, string | undefined][] = [
    ['content-security-policy', buildPolicy(options)],
    ['x-content-type-options', options.noSniff === true ? 'nosniff' : undefined],
    ['x-frame-options', frameOption(options.frames)],
    ['referrer-policy', options.referrerPolicy],
    ['permissions-policy', options.permissionsPolicy],
    ['cross-origin-opener-policy', options.crossOriginOpenerPolicy],
    ['cross-origin-resource-policy', options.crossOriginResourcePolicy],
    ['cross-origin-embedder-policy', options.crossOriginEmbedderPolicy],
  ];
  return named.filter((field): field is [string, string] => field[1] !== undefined);
}

function frameOption(frames: SecurityHeadersOptions['frames']): string | undefined {
  if (frames === 'deny') return 'DENY';
  return frames === 'same-origin' ? 'SAMEORIGIN' : undefined;
}

/** Browsers that know `frame-ancestors` do not look at X-Frame-Options any more (CSP3 section 6.4.2). */
function buildPolicy({ contentSecurityPolicy, frames }: SecurityHeadersOptions): string | undefined {
  const ancestors =
    frames === 'deny' ? "frame-ancestors 'none'" : frames === 'same-origin' ? "frame-ancestors 'self'" : '';
  if (contentSecurityPolicy === undefined) return ancestors === '' ? undefined : ancestors;
  if (ancestors === '' || /(^|;)\s*frame-ancestors\s/i.test(contentSecurityPolicy)) return contentSecurityPolicy;
  return `${contentSecurityPolicy.replace(/;?\s*$/, '')}; ${ancestors}`;
}

function buildHsts(hsts: SecurityHeadersOptions['hsts']): Field[] {
  if (hsts === undefined || hsts === false) return [];
  const { maxAge = '365d', includeSubDomains = false, preload = false } = hsts;
  const seconds = Number(maxAge.slice(0, -1)) * (unitSeconds[maxAge.slice(-1)] ?? 1);
  const value = [
    `max-age=${seconds}`,
    ...(includeSubDomains ? ['includeSubDomains'] : []),
    ...(preload ? ['preload'] : []),
  ];
  return [['strict-transport-security', value.join('; ')]];
}
