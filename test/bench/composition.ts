/** How long large graphs take to compose, and a gateway that has one to swap in a change. */
import { performance } from 'node:perf_hooks';
import { composeGraph, type GraphService } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import { buildLargeSchema, buildManySubgraphs, type NamedSdl } from '../support/large-graphs.ts';
import { formatTable, type Settings, takeMedian } from './measure.ts';
import { startBenchGateway } from './processes.ts';

const graphs: readonly (readonly [title: string, subgraphs: () => readonly NamedSdl[]])[] = [
  ['10 subgraphs', () => buildManySubgraphs(10)],
  ['50 subgraphs', () => buildManySubgraphs(50)],
  ['200 subgraphs', () => buildManySubgraphs(200)],
  ["1,500 types, 1.4 MB (GitHub's size)", () => [{ name: 'large', sdl: buildLargeSchema(1_500) }]],
];

export async function measureComposition({ folder, rounds }: Settings): Promise<string> {
  const rows: string[][] = [['composition', 'SDL kB', 'compose ms', 'swap ms', 'longest pause of queries ms', 'MB']];
  for (const [title, build] of graphs) {
    const subgraphs = build();
    const size = subgraphs.reduce((sum, { sdl }) => sum + sdl.length, 0) / 1_000;
    const compose = takeMedian(Array.from({ length: rounds }, () => timeComposition(subgraphs)));
    const swap = await timeSwaps(folder, subgraphs, rounds);
    rows.push([title, ...[size, compose, swap.swapMs, swap.pauseMs, swap.megabytes].map((value) => value.toFixed(0))]);
  }
  return formatTable(rows);
}

function timeComposition(subgraphs: readonly NamedSdl[]): number {
  const startMs = performance.now();
  const services: GraphService[] = subgraphs.map(({ name, sdl }) => ({ name, schema: parseGivenSchema(sdl) }));
  composeGraph(services, () => Promise.reject(new Error('nothing is called')));
  return performance.now() - startMs;
}

interface Swap {
  /** From the registration to its answer: it is served then. */
  readonly swapMs: number;
  /** The longest time that a query waited meanwhile. */
  readonly pauseMs: number;
  readonly megabytes: number;
}

async function timeSwaps(folder: string, subgraphs: readonly NamedSdl[], rounds: number): Promise<Swap> {
  const instances = [{ url: 'http://127.0.0.1:9' }];
  const services = Object.fromEntries(
    subgraphs.map(({ name, sdl }) => [name, { graphql: { path: '/graphql', schema: sdl }, instances }]),
  );
  await using gateway = await startBenchGateway(folder, { services });
  const times: number[] = [];
  let pauseMs = 0;
  for (let round = 0; round < rounds; round++) {
    const sdl = `type Query { added${round}: String }`;
    const startMs = performance.now();
    let isDone = false;
    const change = put(`${gateway.adminUrl}/services/added`, {
      graphql: { path: '/graphql', schema: sdl },
      instances,
    }).finally(() => {
      isDone = true;
    });
    while (!isDone) pauseMs = Math.max(pauseMs, await timeQuery(gateway.url));
    await change;
    times.push(performance.now() - startMs);
  }
  return { swapMs: takeMedian(times), pauseMs, megabytes: (await gateway.readResidentBytes()) / 1e6 };
}

async function put(url: string, definition: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(definition) });
  if (!response.ok) throw new Error(`the change was refused: ${await response.text()}`);
  await response.arrayBuffer();
}

async function timeQuery(url: string): Promise<number> {
  const startMs = performance.now();
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ query: '{ __typename }' });
  await (await fetch(`${url}/graphql`, { method: 'POST', headers, body })).arrayBuffer();
  return performance.now() - startMs;
}
