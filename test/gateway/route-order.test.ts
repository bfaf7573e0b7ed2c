import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRouteMatcher } from '../../gateway/route-matcher.ts';
import { compilePredicates, type RouteFacts } from '../../gateway/route-predicates.ts';
import { buildRouteTable, type RouteTableOptions } from '../../gateway/route-table.ts';
import type { RouteMatch } from '../../subgraphs/route-match.ts';
import { compareRoutes, rankMatch } from '../../subgraphs/route-order.ts';
import type { Snapshot } from '../../subgraphs/snapshot.ts';
import { createRandom } from '../support/random.ts';

const options: RouteTableOptions = { maxBodyBytes: 1_000, authenticationRequired: false, rateLimit: [] };
const quiet: RouteFacts = { headers: {}, query: '', address: '', viewer: undefined };

function facts(given: Partial<RouteFacts>): RouteFacts {
  return { ...quiet, ...given };
}

/** Services by name, each with one route. */
function tableOf(matches: Readonly<Record<string, RouteMatch>>) {
  const snapshot: Snapshot = {
    revision: 1,
    services: Object.entries(matches).map(([name, match]) => ({
      name,
      definition: { routes: [{ match }] },
      schema: null,
      quarantine: null,
      instances: [],
      revision: 1,
      origin: 'admin',
    })),
  };
  const table = buildRouteTable(snapshot, options);
  return (path: string, given: Partial<RouteFacts> = {}, host = 'any.example', method = 'GET') => {
    const match = table.find(method, path, host, facts(given));
    return match.kind === 'found' ? match.target.service : match.kind;
  };
}

test('the order: exact, parameters, regular expression, the longer prefix, more predicates, name', () => {
  const find = tableOf({
    exact: { path: '/a/b' },
    constrained: { path: '/a/:id(\\d+)' },
    parameter: { path: '/a/:id' },
    regex: { path: '/a/*', regex: '/a/x[0-9]/.*' },
    long: { path: '/a/b/*' },
    short: { path: '/a/*' },
    narrowed: { path: '/a/*', headers: { 'x-beta': 'yes' } },
    sure: { path: '/s', query: { v: '2' } },
    tie: { path: '/s', query: { w: '2' } },
  });
  assert.equal(find('/a/b'), 'exact');
  assert.equal(find('/a/17'), 'constrained');
  assert.equal(find('/a/x'), 'parameter');
  assert.equal(find('/a/x7/y'), 'regex');
  assert.equal(find('/a/xy/y'), 'short');
  assert.equal(find('/a/b/c'), 'long');
  assert.equal(find('/a/c/d', { headers: { 'x-beta': 'yes' } }), 'narrowed');
  assert.equal(find('/a/b/c', { headers: { 'x-beta': 'yes' } }), 'long');
  assert.equal(find('/s', { query: '?v=2&w=2' }), 'sure');
  assert.equal(find('/s', { query: '?w=2' }), 'tie');
  assert.equal(find('/s'), 'none');
});

test('precedence goes before everything, also below', () => {
  const find = tableOf({
    exact: { path: '/a/b' },
    raised: { path: '/a/*', precedence: 5, headers: { 'x-all': { present: true } } },
    lowered: { path: '/a/c', precedence: -1 },
    prefix: { path: '/a/*' },
  });
  assert.equal(find('/a/b', { headers: { 'x-all': '' } }), 'raised');
  assert.equal(find('/a/b'), 'exact');
  assert.equal(find('/a/c'), 'prefix');
});

test('each predicate decides: header, cookie, query, network, claim, host, case', () => {
  const find = tableOf({
    header: { path: '/h', headers: { 'X-Kind': { prefix: 'be' } } },
    cookie: { path: '/c', cookies: { plan: { oneOf: ['pro', 'max'] } } },
    query: { path: '/q', query: { 'a b': { regex: '\\d+' } } },
    absent: { path: '/n', query: { x: { present: false } } },
    network: { path: '/net', networks: ['10.0.0.0/8', '2001:db8::/32'] },
    claim: { path: '/who', claims: { groups: 'staff' } },
    below: { path: '/host', host: '*.example.com' },
    exact: { path: '/host', host: 'shop.example.com' },
    caseless: { path: '/Mixed/:id', ignoreCase: true },
  });
  assert.equal(find('/h', { headers: { 'x-kind': 'beta' } }), 'header');
  assert.equal(find('/h', { headers: { 'x-kind': 'alpha' } }), 'none');
  assert.equal(find('/c', { headers: { cookie: 'a=1; plan=max' } }), 'cookie');
  assert.equal(find('/c', { headers: { cookie: 'xplan=max' } }), 'none');
  assert.equal(find('/q', { query: '?a%20b=x&a+b=42' }), 'query');
  assert.equal(find('/n', { query: '?y' }), 'absent');
  assert.equal(find('/n', { query: '?x' }), 'none');
  assert.equal(find('/net', { address: '10.1.2.3' }), 'network');
  assert.equal(find('/net', { address: '2001:db8::9' }), 'network');
  assert.equal(find('/net', { address: '11.1.2.3' }), 'none');
  assert.equal(find('/who'), 'needs-viewer');
  const viewer = {
    id: '1',
    kind: 'jwt',
    issuer: 'i',
    scopes: new Set<string>(),
    roles: [],
    claims: { groups: ['x', 'staff'] },
  } as const;
  assert.equal(find('/who', { viewer }), 'claim');
  assert.equal(find('/who', { viewer: { ...viewer, claims: {} } }), 'none');
  assert.equal(find('/host', {}, 'SHOP.example.com:8080'), 'exact');
  assert.equal(find('/host', {}, 'a.b.example.com'), 'below');
  assert.equal(find('/host', {}, 'example.com'), 'none');
  assert.equal(find('/host', {}, 'evilexample.com'), 'none');
  assert.equal(find('/mIXED/7'), 'caseless');
});

test('only requests that could take a route with claims wait for the viewer', () => {
  const find = tableOf({
    staff: { path: '/x', claims: { role: 'staff' }, methods: ['GET'] },
    all: { path: '/x' },
    elsewhere: { path: '/y' },
  });
  assert.equal(find('/x'), 'needs-viewer');
  assert.equal(find('/x', { viewer: null }), 'all');
  assert.equal(find('/x', {}, 'h', 'POST'), 'all');
  assert.equal(find('/y'), 'elsewhere');
});

test('no spelling of a path goes around a constraint, an expression or a route of any case', () => {
  const find = tableOf({
    open: { path: '/x/*' },
    guarded: { path: '/x/*', regex: '/x/admin/.*' },
    number: { path: '/n/:id([a-z]+)' },
    rest: { path: '/n/*' },
    anyCase: { path: '/Secret/*', ignoreCase: true },
  });
  assert.equal(find('/x/%61dmin/y'), 'guarded');
  assert.equal(find('/n/%61b'), 'number');
  assert.equal(find('/n/a%2Db'), 'rest');
  assert.equal(find('/sEcre%54/y'), 'anyCase');
});

test('what is found does not depend on the order of registration, and is what comparing all routes finds', () => {
  const random = createRandom(7);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const segment = ['a', 'b', ':p', ':q(\\d+)', ':r([a-z]+)'];
  const word = ['a', 'b', 'A', '7', 'x'];
  const build = (): RouteMatch => {
    const length = 1 + Math.floor(random() * 3);
    const names = Array.from({ length }, (_, i) => pick(segment).replace(/^:(\w)/, `:$1${i}`));
    if (random() < 0.35) names.push('*');
    return {
      path: `/${names.join('/')}`,
      ...(random() < 0.2 && { ignoreCase: true }),
      ...(random() < 0.2 && { host: pick(['h', '*.h', 'i.h']) }),
      ...(random() < 0.2 && { headers: { x: pick(['1', '2']) } }),
      ...(random() < 0.2 && { methods: [pick(['GET', 'POST'] as const)] }),
      ...(random() < 0.15 && { precedence: pick([-1, 1]) }),
      ...(random() < 0.15 && { regex: pick(['/a.*', '/[^/]+/7']) }),
    };
  };
  let found = 0;
  for (let round = 0; round < 150; round++) {
    const routes = Array.from({ length: 12 }, (_, index) => {
      const ranked = rankMatch(build(), `s${index}`, 0);
      return { ranked, target: ranked.service };
    });
    const shuffled = routes.toSorted(() => random() - 0.5);
    const [one, two] = [createRouteMatcher(routes), createRouteMatcher(shuffled)];
    const ordered = routes.toSorted((a, b) => compareRoutes(a.ranked, b.ranked));
    for (let request = 0; request < 60; request++) {
      const path = `/${Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(word)).join('/')}`;
      const host = pick(['h', 'i.h', 'z']);
      const given = facts({ headers: random() < 0.5 ? { x: pick(['1', '2']) } : {} });
      const expected = ordered.find(({ ranked }) => takes(ranked, path, host, given))?.target;
      const tell = (matcher: typeof one) => {
        const match = matcher.find('GET', path, host, given);
        return match.kind === 'found' ? match.target : undefined;
      };
      const about = `${path} at ${host}: ${JSON.stringify(ordered.map(({ ranked }) => [ranked.service, ranked.match]))}`;
      assert.equal(tell(one), expected, about);
      assert.equal(tell(two), expected, about);
      if (expected !== undefined) found++;
    }
  }
  assert.ok(found > 3_000, `${found} requests were taken by a route`);
});

test("what is too long for an expression is refused where that would decide, and never becomes the next one's", () => {
  const find = tableOf({
    secret: { path: '/files/*', regex: '/files/[a-z]+/secret/.*' },
    numbered: { path: '/n/:id(\\d+)', headers: { 'x-kind': 'number' } },
    named: { path: '/n/:name' },
    below: { path: '/p/:a/:b(x[0-9]+)' },
    rest: { path: '/*' },
  });
  const long = 'a'.repeat(3_000);
  assert.equal(find('/files/a/secret/b'), 'secret');
  assert.equal(find(`/files/a/secret/${long}`), 'too-long');
  assert.equal(find(`/files/${'%61'.repeat(2_000)}`), 'rest', 'spellings of what is short enough');
  assert.equal(find(`/files/${'%61'.repeat(2_100)}`), 'too-long');
  assert.equal(find(`/other/${long}`), 'rest', 'no expression would decide');
  assert.equal(find(`/n/${long}`), 'named', 'the header says already that it is not the other one');
  assert.equal(find(`/n/${long}`, { headers: { 'x-kind': 'number' } }), 'too-long');
  assert.equal(find(`/p/${long}/${long}`), 'rest', 'the expression begins with another character');
  assert.equal(find(`/p/${long}/x${long}`), 'too-long');
  assert.equal(find(`/p/${long}/x1`), 'below', 'a parameter without a constraint is as long as it likes');
});

test('whoever waits for the viewer is told what it may come to, and no more', () => {
  const of = (match: RouteMatch, target: string) => ({ ranked: rankMatch(match, target, 0), target });
  const { find } = createRouteMatcher([
    of({ path: '/x', claims: { role: 'staff' } }, 'staff'),
    of({ path: '/x', claims: { role: 'staff' }, headers: { 'x-beta': '1' } }, 'beta'),
    of({ path: '/x', headers: { 'x-old': '1' } }, 'old'),
    of({ path: '/x' }, 'all'),
    of({ path: '/*' }, 'rest'),
  ]);
  assert.deepEqual(find('GET', '/x', 'h', quiet), { kind: 'needs-viewer', possible: ['staff', 'all'] });
  const beta = facts({ headers: { 'x-beta': '1' } });
  assert.deepEqual(find('GET', '/x', 'h', beta), { kind: 'needs-viewer', possible: ['beta', 'staff', 'all'] });
});

/** The rule, told without any index. */
function takes(ranked: ReturnType<typeof rankMatch>, path: string, host: string, given: RouteFacts): boolean {
  const { pattern } = ranked;
  const words = path.split('/').slice(1);
  const same = (a: string, b: string) => (pattern.ignoreCase ? a.toLowerCase() === b.toLowerCase() : a === b);
  const isPrefix = pattern.segments.at(-1)?.kind === 'rest';
  if (isPrefix ? words.length < pattern.segments.length : words.length !== pattern.segments.length) return false;
  const fits = pattern.segments.every((one, i) => one.kind !== 'literal' || same(one.text, words[i] ?? ''));
  const { host: hostTest, test: rest, fits: onPath } = compilePredicates(ranked);
  if (!fits || onPath?.(path) === 'fails') return false;
  return ranked.methods.has('GET') && hostTest?.(host) !== false && rest?.(given) !== false;
}
