import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findRouteConflicts } from '../../subgraphs/route-conflicts.ts';
import { RouteCoverIndex } from '../../subgraphs/route-cover-index.ts';
import type { RouteMatch } from '../../subgraphs/route-match.ts';
import { coversRoute, rankMatch } from '../../subgraphs/route-order.ts';
import type { Service } from '../../subgraphs/snapshot.ts';
import { createRandom } from '../support/random.ts';

function serviceOf(name: string, matches: readonly RouteMatch[]): Service {
  const definition = { routes: matches.map((match) => ({ match })) };
  return { name, definition, schema: null, quarantine: null, instances: [], revision: 1, origin: 'admin' };
}

test('the index finds every route that covers another one', () => {
  const random = createRandom(5);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const value = () => pick(['1', '2', { present: true }, { present: false }, { prefix: '1' }]);
  const build = (): RouteMatch => {
    const path = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(['a', 'B', '7', ':p', ':q(\\d+)']));
    const names = path.map((each, at) => (each.startsWith(':') ? each.replace(/^:./, `:p${at}`) : each));
    if (random() < 0.4) names.push('*');
    return {
      path: `/${names.join('/')}`,
      ...(random() < 0.2 && { ignoreCase: true }),
      ...(random() < 0.4 && { host: pick(['h.x', '*.x', '*.h.x', 'i.h.x', 'i.h.x:80', '*.x:80', 'h.x:80']) }),
      ...(random() < 0.4 && { headers: { x: value() } }),
      ...(random() < 0.3 && { query: { q: value() } }),
      ...(random() < 0.2 && { methods: [pick(['GET', 'POST'] as const)] }),
      ...(random() < 0.2 && { regex: pick(['/a.*', '/[^/]+/7']) }),
    };
  };
  const all = Array.from({ length: 900 }, (_, index) => rankMatch(build(), `s${index}`, 0));
  const index = new RouteCoverIndex<{ ranked: (typeof all)[number] }>(all);
  for (const ranked of all) index.add({ ranked });
  let covered = 0;
  for (const route of all) {
    const found = new Set(
      [...index.candidates(route)].map(({ ranked }) => ranked).filter((one) => coversRoute(one, route)),
    );
    const expected = all.filter((one) => coversRoute(one, route));
    assert.deepEqual(
      [...found].map(({ service }) => service).toSorted(),
      expected.map(({ service }) => service).toSorted(),
    );
    covered += expected.length;
  }
  assert.ok(covered > 5_000, `${covered} pairs`);
});

test('with precedence, thousands of routes are compared with few others each', () => {
  const shapes: ((at: number) => RouteMatch)[] = [
    (at) => ({ path: `/s${at}/*` }),
    (at) => ({ path: '/shared/*', headers: { common: '1', tenant: `t${at}` } }),
    (at) => ({ path: `/c/:id([a-z]{${(at % 500) + 1}})/${at}` }),
    (at) => ({ path: '/h/*', host: `t${at}.example.com` }),
  ];
  const raised = shapes.flatMap((build) => Array.from({ length: 500 }, (_, at) => ({ ...build(at), precedence: 1 })));
  const plain = shapes.flatMap((build) => Array.from({ length: 500 }, (_, at) => ({ ...build(at + 1_000) })));
  const all = [...raised, ...plain].map((match, index) => ({ ranked: rankMatch(match, 's', index) }));
  const index = new RouteCoverIndex<(typeof all)[number]>(all.map(({ ranked }) => ranked));
  for (const route of all) index.add(route);
  const looks = all.reduce((sum, { ranked }) => sum + [...index.candidates(ranked)].length, 0);
  assert.ok(looks < 3 * all.length, `${looks} comparisons of ${all.length} routes`);
  const thief = [
    { path: '/s1003/:any', precedence: 2 },
    { path: '/s1004/*', precedence: 1, headers: { x: '1' } },
  ];
  assert.deepEqual(findRouteConflicts([serviceOf('a', raised), serviceOf('b', plain), serviceOf('c', thief)]), []);
  const reasons = findRouteConflicts([
    serviceOf('b', plain),
    serviceOf('c', [
      { path: '/*', precedence: 3 },
      { path: '/:a/*', precedence: 2 },
    ]),
  ]);
  assert.deepEqual(
    reasons.map(({ service, path }) => [service, path]),
    [
      ['c', '/routes/0'],
      ['c', '/routes/1'],
    ],
  );
});
