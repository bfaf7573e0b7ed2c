/** What the demo says on the console. */
import type { DemoChild } from './child-process.ts';
import type { DemoStage } from './stage.ts';

/** Needs four services, one of which is not federated. */
export const crossingQuery =
  '{ topProducts(first: 3) { name price { amount currency } inStock reviews { rating body author { name } } } }';

const queries: readonly (readonly [title: string, query: string])[] = [
  ['products, then inventory (which is not federated) and reviews, then accounts', crossingQuery],
  [
    'accounts, then reviews, then products and inventory',
    '{ user(id: "ada") { name username reviews { body product { name inStock warehouse } } } }',
  ],
  [
    'reviews, then products and accounts; and which instances answered',
    '{ latestReviews(first: 3) { rating product { name } author { name } } reviewsInstance productsInstance }',
  ],
];

/** The whole tour, with the ports and pids of this run. */
export function buildTour(stage: DemoStage, children: readonly DemoChild[], firstAnswerMs: number): string {
  const { url, adminUrl, tokensUrl } = stage;
  const victim = children.find(({ name }) => name === 'products-2');
  const log = children.find(({ name }) => name === 'gateway')?.logFile;
  const graphql = (query: string, more = ''): string =>
    `curl -s ${url}/graphql -H 'content-type: application/json'${more} -d '${JSON.stringify({ query })}'`;
  const bearer = ` -H "authorization: Bearer $TOKEN"`;
  return `
Selvage is running. The first answer across services came ${(firstAnswerMs / 1_000).toFixed(1)} s after the start.

  GraphiQL   ${url}/graphql
  Admin      ${adminUrl}
  Log        ${log ?? ''}

${buildTable(children)}

Queries that cross services
${queries.map(([title, query]) => `  # ${title}\n  ${graphql(query)}`).join('\n')}

REST, forwarded to orders
  curl -s ${url}/api/orders
  curl -s ${url}/api/orders/3
  curl -s ${url}/api/orders/export | wc -c    # 5 MB, streamed

With a token: a protected field, and a protected route (401 without it)
  TOKEN=$(curl -s '${tokensUrl}/token?sub=ada&scope=profile:read%20orders:write')
  ${graphql('{ me { name email reviews { body } } }', bearer)}
  curl -si ${url}/api/orders${bearer} -H 'content-type: application/json' -d '{"items":[{"upc":"1","quantity":2}]}'

Kill an instance; nobody notices
  kill -9 ${victim?.pid ?? 'PID'}    # products-2, port ${victim?.port ?? ''}
  for i in 1 2 3 4 5 6; do ${graphql('{ productsInstance topProducts(first: 1) { name } }')}; echo; done
  curl -s ${adminUrl}/services/products

Ctrl+C stops everything.
`;
}

function buildTable(children: readonly DemoChild[]): string {
  const rows = children.map(({ name, pid, port }) => [name, String(pid ?? ''), String(port)] as const);
  const line = (name: string, pid: string, port: string): string =>
    `  ${name.padEnd(14)}${pid.padStart(8)}${port.padStart(8)}`;
  return [line('process', 'pid', 'port'), ...rows.map((row) => line(...row))].join('\n');
}

/** For the moment when a process ends that nobody told to. */
export function buildObituary({ name, pid, port, command, logFile }: DemoChild, what: string): string {
  return `
${name} (pid ${pid ?? 'none'}, port ${port}) ended: ${what}. Its log: ${logFile}
Start it again, in another terminal:
  ${command}
`;
}
