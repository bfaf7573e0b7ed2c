/** What finding a route costs, in nanoseconds: `node test/bench/routes.ts`. 600 routes, in one run with and without predicates. */
import { createRouteMatcher } from '../../gateway/route-matcher.ts';
import type { RouteFacts } from '../../gateway/route-predicates.ts';
import type { RouteMatch } from '../../subgraphs/route-match.ts';
import { rankMatch } from '../../subgraphs/route-order.ts';

const routes = 600;
const finds = 500_000;
const rounds = 5;
const facts: RouteFacts = { headers: { 'x-beta': 'no' }, query: '', address: '10.0.0.1', viewer: undefined };

const plain = Array.from({ length: routes }, (_, index): RouteMatch => ({ path: pathOf(index) }));
/** One of ten routes has a second one with a header before it. */
const mixed = plain.flatMap((match, index) =>
  index % 10 === 0 ? [match, { ...match, headers: { 'x-beta': 'yes' } }] : [match],
);

function pathOf(index: number): string {
  return [`/api/s${index}/list`, `/api/s${index}/items/:id`, `/api/s${index}/*`][index % 3] ?? '';
}

function measure(matches: readonly RouteMatch[], paths: readonly string[]): number {
  const matcher = createRouteMatcher(
    matches.map((match, index) => ({ ranked: rankMatch(match, 's', index), target: index })),
  );
  const run = (): number => {
    const startedAt = process.hrtime.bigint();
    for (let i = 0; i < finds; i++) matcher.find('GET', paths[i % paths.length] ?? '/', 'shop.example', facts);
    return Number(process.hrtime.bigint() - startedAt) / finds;
  };
  run();
  return Math.min(...Array.from({ length: rounds }, run));
}

const all = Array.from({ length: routes }, (_, index) => pathOf(index).replace(':id', '7').replace('*', 'a/b'));
const narrowed = all.filter((_, index) => index % 10 === 0);
console.log(`plain routes             ${measure(plain, all).toFixed(0).padStart(6)} ns`);
console.log(
  `among routes with more   ${measure(
    mixed,
    all.filter((_, index) => index % 10 !== 0),
  )
    .toFixed(0)
    .padStart(6)} ns`,
);
console.log(`routes with a header     ${measure(mixed, narrowed).toFixed(0).padStart(6)} ns`);
