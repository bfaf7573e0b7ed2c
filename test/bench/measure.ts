/** Operations under load, on both engines, as a table. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { buildManySubgraphs } from '../support/large-graphs.ts';
import { itemSubgraphs } from './item-graph.ts';
import { type BenchGateway, runLoad, startBenchGateway, startServices } from './processes.ts';

export interface Case {
  readonly title: string;
  /** Arguments of `services.ts`. */
  readonly services: readonly string[];
  readonly query: string;
}

export interface Settings {
  readonly folder: string;
  readonly seconds: number;
  readonly rounds: number;
}

const engines = ['auto', 'stitched'] as const;
type Engine = (typeof engines)[number];

interface Figures {
  readonly requestsPerSecond: number;
  readonly meanMs: number;
  readonly aloneMs: number;
  readonly cpuMs: number;
  readonly failed: number;
}

const connections = 16;
/** The stitched executor is at its speed only after some thousand operations. */
const warmUpSeconds = 3;

export async function measureCases(name: string, cases: readonly Case[], settings: Settings): Promise<string> {
  const figures = new Map<string, Figures[]>();
  const keyOf = ({ title }: Case, engine: Engine): string => `${engine} ${title}`;
  const groups = Map.groupBy(cases, ({ services }) => services.join(' '));
  for (const group of groups.values()) {
    const answers = new Map<string, unknown>();
    for (let round = 0; round < settings.rounds; round++) {
      for (const engine of engines) {
        await withGateway(group[0]?.services ?? [], engine, settings.folder, async (gateway) => {
          for (const entry of group) {
            const expected = answers.get(entry.title);
            const answer = await ask(gateway.url, entry.query, expected);
            answers.set(entry.title, answer);
            // Both engines must do the same work, or the figures compare nothing.
            assert.deepEqual(answer, expected ?? answer);
            const key = keyOf(entry, engine);
            figures.set(key, [...(figures.get(key) ?? []), await measure(gateway, entry.query, settings.seconds)]);
          }
        });
      }
    }
  }
  const rows = cases.map((entry) => {
    const [auto, stitched] = engines.map((engine) => takeMedians(figures.get(keyOf(entry, engine)) ?? []));
    assert.ok(auto !== undefined && stitched !== undefined);
    const failed = auto.failed + stitched.failed;
    return [
      entry.title,
      ...[auto, stitched].flatMap((of) => [
        of.requestsPerSecond.toFixed(0),
        of.cpuMs.toFixed(2),
        of.aloneMs.toFixed(1),
      ]),
      `${(auto.requestsPerSecond / stitched.requestsPerSecond).toFixed(1)}x${failed > 0 ? ` (${failed} failed)` : ''}`,
    ];
  });
  const header = [
    name,
    ...['planned', 'stitched'].flatMap((engine) => [`${engine}: req/s`, 'CPU ms', 'alone ms']),
    'planned / stitched',
  ];
  return formatTable([header, ...rows]);
}

async function withGateway(
  services: readonly string[],
  engine: Engine,
  folder: string,
  use: (gateway: BenchGateway) => Promise<void>,
): Promise<void> {
  const graphql: GatewayConfig['graphql'] = { engine };
  const [kind, count] = services;
  if (kind === 'demo') {
    await using gateway = await startBenchGateway(folder, { graphql });
    using _demo = await startServices('demo', gateway.adminUrl);
    await waitForServices(gateway, 4);
    return await use(gateway);
  }
  using running = await startServices(...services);
  const subgraphs = kind === 'many' ? buildManySubgraphs(Number(count)) : itemSubgraphs;
  const definitions = Object.fromEntries(
    subgraphs.map(({ name, sdl }) => [
      name,
      { graphql: { path: `/${name}`, schema: sdl }, instances: [{ url: `http://127.0.0.1:${running.port}` }] },
    ]),
  );
  await using gateway = await startBenchGateway(folder, { graphql, services: definitions });
  await use(gateway);
}

async function waitForServices(gateway: BenchGateway, count: number): Promise<void> {
  for (;;) {
    const response = await fetch(`${gateway.adminUrl}/services`);
    const { services } = (await response.json()) as { services: unknown[] };
    if (services.length === count) return;
    await sleep(50);
  }
}

/** Asks until the answer is as expected: at the start, services may still be looked for. */
async function ask(url: string, query: string, expected?: unknown): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query }) });
    const answer = (await response.json()) as { errors?: unknown };
    if (answer.errors === undefined && (expected === undefined || JSON.stringify(answer) === JSON.stringify(expected)))
      return answer;
    if (attempt > 100) {
      if (answer.errors === undefined) return answer;
      throw new Error(`no answer to ${query}: ${JSON.stringify(answer.errors).slice(0, 500)}`);
    }
    await sleep(50);
  }
}

async function measure(gateway: BenchGateway, query: string, seconds: number): Promise<Figures> {
  const { url } = gateway;
  await runLoad({ url, query, connections, seconds: warmUpSeconds });
  const before = await gateway.readCpuSeconds();
  const { requestsPerSecond, meanMs, count, failed } = await runLoad({ url, query, connections, seconds });
  const cpuMs = (((await gateway.readCpuSeconds()) - before) * 1_000) / count;
  const alone = await runLoad({ url, query, connections: 1, seconds: 1 });
  return { requestsPerSecond, meanMs, cpuMs, aloneMs: alone.meanMs, failed: failed + alone.failed };
}

function takeMedians(rounds: readonly Figures[]): Figures {
  const take = (name: keyof Figures): number => takeMedian(rounds.map((round) => round[name]));
  return {
    requestsPerSecond: take('requestsPerSecond'),
    meanMs: take('meanMs'),
    aloneMs: take('aloneMs'),
    cpuMs: take('cpuMs'),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  };
}

export function takeMedian(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

export function formatTable([header = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(line), ''].join(
    '\n',
  );
}
