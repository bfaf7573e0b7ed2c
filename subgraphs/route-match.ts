/** Which requests a route takes: a path, and what else must be true of a request. */
import Type from 'typebox';
import { compileLinearRegex } from '../policies/linear-regex.ts';
import { isNetwork } from '../policies/network-list.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { OneOf } from '../policies/units.ts';
import { findRegexMistake, findValueMatchMistakes, ValueMatch } from '../policies/value-match.ts';
import { parseRoutePattern, readPattern } from './route-pattern.ts';

export const routeMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;
export type RouteMethod = (typeof routeMethods)[number];

const tokenPattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

function Values(keyPattern: string, description: string) {
  return Type.Optional(
    Type.Record(Type.String({ pattern: keyPattern }), ValueMatch, {
      additionalProperties: false,
      minProperties: 1,
      maxProperties: 20,
      description,
    }),
  );
}

export const RouteMatch = Type.Object(
  {
    path: Type.String({
      pattern: '^/[!-~]*$',
      maxLength: 2_048,
      description:
        'Exact (`/a/b`), with parameters (`/a/:id`, `/a/:id(\\d+)`), or a prefix with a wildcard at the end (`/a/*`).',
    }),
    regex: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description:
          'What the whole path must look like beside `path`. See [routing.md](routing.md#regular-expressions).',
      }),
    ),
    ignoreCase: Type.Optional(
      Type.Boolean({ default: false, description: 'Whether `/A` is `/a`. It does not reach `regex`.' }),
    ),
    methods: Type.Optional(
      Type.Array(OneOf(routeMethods), { minItems: 1, description: 'Default: all. GET brings HEAD with it.' }),
    ),
    host: Type.Optional(
      Type.String({
        pattern: '^(\\*\\.)?[A-Za-z0-9.-]+(:\\d+)?$',
        description: 'Only requests for this host, or with `*.example.com` for any below. Without a port: on any.',
      }),
    ),
    headers: Values(tokenPattern, 'What headers of the request must be, by name.'),
    cookies: Values(tokenPattern, 'What cookies must be, by name.'),
    query: Values(
      '^.{1,128}$',
      'What parameters of the query must be, by name. Of several of one name, one is enough.',
    ),
    claims: Values(
      '^.{1,256}$',
      "What the viewer's claims must be, by name. Of a list, one entry is enough. The viewer is established first.",
    ),
    networks: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
        minItems: 1,
        maxItems: 500,
        description: "Networks that the client's address is in: `10.0.0.0/8`, `2001:db8::/32`.",
      }),
    ),
    precedence: Type.Optional(
      Type.Integer({
        minimum: -1_000,
        maximum: 1_000,
        default: 0,
        description:
          'Of routes that fit a request the one with the highest is taken, before anything else is compared.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type RouteMatch = Type.Static<typeof RouteMatch>;

/** The methods that a route takes: GET brings HEAD with it (RFC 9110 section 9.3.2). */
export function methodsOf({ methods }: RouteMatch): ReadonlySet<string> {
  const taken = new Set<string>(methods ?? routeMethods);
  if (taken.has('GET')) taken.add('HEAD');
  return taken;
}

const valueKinds = ['headers', 'cookies', 'query', 'claims'] as const;
const kindNames = { headers: 'header', cookies: 'cookie', query: 'query', claims: 'claim' } as const;

/** Something that must be true of a request beside path and method. */
export interface Predicate {
  readonly kind: 'host' | 'header' | 'cookie' | 'query' | 'claim' | 'networks' | 'regex';
  /** Of a header, cookie, parameter or claim. */
  readonly name?: string;
  readonly value: ValueMatch | readonly string[];
  /** Equal for equal predicates. */
  readonly key: string;
}

/** The predicates of a route, always in the same order. */
export function listPredicates(match: RouteMatch): readonly Predicate[] {
  const { host, networks, regex } = match;
  const predicates: Omit<Predicate, 'key'>[] = [];
  if (host !== undefined) predicates.push({ kind: 'host', value: host.toLowerCase() });
  if (regex !== undefined) predicates.push({ kind: 'regex', value: regex });
  for (const kind of valueKinds) {
    const values = Object.entries(match[kind] ?? {}).map(
      ([name, value]) => [kind === 'headers' ? name.toLowerCase() : name, value] as const,
    );
    for (const [name, value] of values.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      predicates.push({ kind: kindNames[kind], name, value });
    }
  }
  if (networks !== undefined) predicates.push({ kind: 'networks', value: networks.toSorted() });
  return predicates.map((predicate) => ({ ...predicate, key: writeKey(predicate) }));
}

function writeKey({ kind, name, value }: Omit<Predicate, 'key'>): string {
  return [kind, name, JSON.stringify(value)].filter(Boolean).join(' ');
}

/** The key of the predicate that asks only whether there is a value of that name. */
export function presenceKey({ kind, name }: Pick<Predicate, 'kind' | 'name'>): string {
  return writeKey({ kind, ...(name !== undefined && { name }), value: { present: true } });
}

/** Short text about predicates for names of routes: no values, which may be nobody's business. */
export function describePredicates(match: RouteMatch): string {
  const others = listPredicates(match).filter(({ kind }) => kind !== 'host');
  return others.map(({ kind, name }) => (name === undefined ? kind : `${kind} ${name}`)).join(', ');
}

/** What no schema can say of a match, by paths from it. */
export function findMatchMistakes(match: RouteMatch): Mistake[] {
  const { captures, mistakes } = readPattern(match.path);
  const found: Mistake[] = mistakes.map((message) => ({ path: ['path'], message }));
  for (const name of captures.filter((each, at) => captures.indexOf(each) !== at)) {
    found.push({ path: ['path'], message: `${name} captures twice` });
  }
  const regexMistake = match.regex === undefined ? null : findRegexMistake(match.regex);
  if (regexMistake !== null) found.push({ path: ['regex'], message: regexMistake });
  for (const kind of valueKinds) {
    for (const [name, value] of Object.entries(match[kind] ?? {})) {
      for (const { path, message } of findValueMatchMistakes(value)) {
        found.push({ path: [kind, name, ...path], message });
      }
    }
  }
  (match.networks ?? []).forEach((network, index) => {
    if (isNetwork(network)) return;
    found.push({ path: ['networks', index], message: 'expected an address or a network such as 10.0.0.0/8' });
  });
  return found;
}

/** What the rewriting of a route may use: `:name` and `*` of the path, `:name` or `:1` of the regular expression. */
export function listCaptures({ path, regex }: RouteMatch): readonly string[] {
  const { captures } = readPattern(path);
  if (regex === undefined || findRegexMistake(regex) !== null) return captures;
  return [...captures, ...compileLinearRegex(regex).groups.map((name) => `:${name}`)];
}

/** What a match takes, as one text per method: of two services, only one may have it. */
export function buildMatchKeys(match: RouteMatch): readonly string[] {
  const { key } = parseRoutePattern(match.path, match.ignoreCase);
  const predicates = listPredicates(match);
  const host = predicates.find(({ kind }) => kind === 'host');
  const others = predicates.filter((predicate) => predicate !== host).map((predicate) => predicate.key);
  const of = host === undefined ? '' : ` of ${String(host.value)}`;
  const where = others.length === 0 ? '' : ` where ${others.join(' and ')}`;
  return [...methodsOf(match)].map((method) => `${method} ${key}${of}${where}`);
}
