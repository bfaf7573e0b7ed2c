/** Rules for `Set-Cookie` of services (RFC 6265bis section 4.1): attributes that are missing, paths and domains of the outside. */
import Type from 'typebox';
import { OneOf } from './units.ts';

/** `cookies` of the gateway, a service or a route. */
export const CookieRules = Type.Object(
  {
    secure: Type.Optional(Type.Boolean({ description: '`true`: every cookie gets `Secure`.' })),
    httpOnly: Type.Optional(Type.Boolean({ description: '`true`: every cookie gets `HttpOnly`.' })),
    sameSite: Type.Optional(
      OneOf(['strict', 'lax', 'none'], { description: '`SameSite` of every cookie. `none` brings `Secure` with it.' }),
    ),
    partitioned: Type.Optional(
      Type.Boolean({ description: '`true`: every cookie gets `Partitioned`, and `Secure` with it.' }),
    ),
    domain: Type.Optional(
      Type.Union(
        [Type.Literal(false), Type.String({ pattern: '^\\.?[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$', maxLength: 253 })],
        {
          description:
            'In place of the `Domain` of cookies that have one. `false`: none, the cookie is for this host alone.',
        },
      ),
    ),
    path: Type.Optional(
      OneOf(['rewrite', 'keep'], {
        default: 'keep',
        description:
          '`rewrite`: where the route rewrites a prefix (`/api/shop/*` to `/v1/*`), the `Path` of cookies is rewritten back.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Rules for cookies that services set. `__Host-` and `__Secure-` cookies stay valid ones: `Secure`, and `__Host-` with `Path=/` and no domain.',
  },
);
export type CookieRules = Type.Static<typeof CookieRules>;

/** What a route says of paths. */
export interface PathMapping {
  readonly match: string;
  readonly rewrite?: string | undefined;
}

/** Gives a `Set-Cookie` value by the rules. */
export type ApplyCookieRules = (value: string) => string;

type Attribute = readonly [name: string, value: string | undefined];

const spelling: Readonly<Record<string, string>> = { lax: 'Lax', strict: 'Strict', none: 'None' };

/** Compiles rules; null where they say nothing. */
export function compileCookieRules(rules: CookieRules | undefined, route: PathMapping): ApplyCookieRules | null {
  if (rules === undefined || Object.keys(rules).length === 0) return null;
  const mapPath = rules.path === 'rewrite' ? buildPathMapping(route) : null;
  return (value) => {
    const [pair = '', ...rest] = value.split(';');
    const prefix = /^\s*(__host-|__secure-)/i.exec(pair)?.[1]?.toLowerCase();
    const isHost = prefix === '__host-';
    const attributes = new Map<string, Attribute>();
    for (const text of rest) {
      const [, name = '', given] = /^\s*([^=\s]*)\s*(?:=\s*(.*?)\s*)?$/.exec(text) ?? [];
      // Of an attribute that comes twice browsers take the last.
      if (name !== '') attributes.set(name.toLowerCase(), [name, given]);
    }
    const set = (name: string, given?: string): void => void attributes.set(name.toLowerCase(), [name, given]);
    if (!isHost) rewritePlace(attributes, rules, mapPath);
    if (rules.httpOnly === true) set('HttpOnly');
    if (rules.sameSite !== undefined) set('SameSite', spelling[rules.sameSite]);
    if (rules.partitioned === true) set('Partitioned');
    const needsSecure = rules.sameSite === 'none' || rules.partitioned === true || prefix !== undefined;
    if (rules.secure === true || needsSecure) set('Secure');
    return [pair, ...[...attributes.values()].map(formatAttribute)].join('; ');
  };
}

function rewritePlace(
  attributes: Map<string, Attribute>,
  { domain }: CookieRules,
  mapPath: ((path: string) => string) | null,
): void {
  if (domain === false) attributes.delete('domain');
  else if (domain !== undefined && attributes.has('domain')) attributes.set('domain', ['Domain', domain]);
  const path = attributes.get('path')?.[1];
  if (mapPath !== null && path !== undefined) attributes.set('path', ['Path', mapPath(path)]);
}

function formatAttribute([name, value]: Attribute): string {
  return value === undefined ? name : `${name}=${value}`;
}

/** From paths at the service to paths here; null where a route maps no prefix to a prefix. */
function buildPathMapping({ match, rewrite }: PathMapping): ((path: string) => string) | null {
  const outside = /^(.*)\/\*$/.exec(match)?.[1];
  const inside = rewrite === undefined ? undefined : /^(.*)\/\*$/.exec(rewrite)?.[1];
  if (outside === undefined || inside === undefined || `${outside}${inside}`.includes('/:')) return null;
  return (path) => {
    const below = path === inside || path.startsWith(`${inside}/`) ? path.slice(inside.length) : null;
    if (below === null) return path;
    const mapped = `${outside}${below}`;
    return mapped === '' ? '/' : mapped;
  };
}
