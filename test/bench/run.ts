/**
 * `npm run bench [-- --only engines,entities,subgraphs,depth,composition] [--seconds 3] [--rounds 3]`
 *
 * What the gateway costs, and how that grows: as Markdown tables on standard output. Gateway, and services with load, have a
 * core each. Engines take turns within a round, so that a machine whose speed drifts slows both; each figure is the median
 * of its rounds. Compare lines of one run, not runs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureComposition } from './composition.ts';
import { type Case, measureCases } from './measure.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'engines,entities,subgraphs,depth,composition' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
  },
});

const suites: Readonly<Record<string, readonly Case[]>> = {
  engines: [
    {
      title: 'one service',
      services: ['demo'],
      query: '{ topProducts(first: 5) { name price { amount currency } } }',
    },
    {
      title: 'two services',
      services: ['demo'],
      query: '{ topProducts(first: 5) { name reviews { rating body } } }',
    },
    {
      title: 'three services, back and forth',
      services: ['demo'],
      query: '{ user(id: "ada") { name reviews { body product { name reviews { rating author { name } } } } } }',
    },
    {
      title: 'with a plain service (always stitched)',
      services: ['demo'],
      query: '{ topProducts(first: 3) { name inStock reviews { rating author { name } } } }',
    },
  ],
  entities: [1, 10, 100, 1_000].map((count) => ({
    title: `${count} entities`,
    services: ['items'],
    query: `{ items(first: ${count}) { id name price currency } }`,
  })),
  subgraphs: [2, 10, 50, 200].flatMap((count) => [
    {
      title: `${count} subgraphs, a query to two of them`,
      services: ['many', String(count)],
      query: '{ entity0(id: "1") { id name next { name note0 } } }',
    },
    {
      title: `${count} subgraphs, a query to all of them`,
      services: ['many', String(count)],
      query: `{ entity0(id: "1") { owner { ${Array.from({ length: count }, (_, at) => `items${at}(first: 1) { id }`).join(' ')} } } }`,
    },
  ]),
  depth: [1, 2, 4, 8, 16].map((depth) => ({
    title: `${depth} requests one after the other`,
    services: ['many', '50'],
    query: `{ entity0(id: "1") ${'{ next '.repeat(depth - 1)}{ name }${' }'.repeat(depth - 1)} }`,
  })),
};

const folder = await mkdtemp(join(tmpdir(), 'selvage-bench-'));
try {
  const settings = { folder, seconds: Number(values.seconds), rounds: Number(values.rounds) };
  for (const name of values.only.split(',')) {
    const cases = suites[name];
    if (cases !== undefined) console.log(await measureCases(name, cases, settings));
    else if (name === 'composition') console.log(await measureComposition(settings));
    else throw new Error(`no such suite: ${name}; there are ${Object.keys(suites).join(', ')}, composition`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
