/**
 * One federated graph of a few services with resolvers of their own, operations on it, and the answers that the
 * federation specification makes of them, run on both engines.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSubgraphSchema } from '@apollo/subgraph';
import {
  buildSchema,
  type ExecutionResult,
  execute,
  type GraphQLError,
  type GraphQLSchema,
  graphql,
  parse,
  validate,
} from 'graphql';
import { type ErrorReason, GatewayError } from '../../policies/errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { composeGraph, type GraphService } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import type { Graph, SubgraphExecutor, SubgraphRequest } from '../../schema/graph.ts';
import { runPlanned } from './planned.ts';

// biome-ignore lint/suspicious/noExplicitAny: Resolvers of a test see whatever their schema says.
type Resolver = (parent: any, args: any) => unknown;

export interface SubgraphFixture {
  readonly sdl: string;
  readonly resolvers?: Readonly<Record<string, Readonly<Record<string, Resolver>>>>;
}

export interface Case {
  readonly title: string;
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly data: unknown;
  /** `path: CODE` of each error, in any order. */
  readonly errors?: readonly string[];
  /** Services that have no part in the answer, and must not be asked. */
  readonly notAsked?: readonly string[];
  /** The number from 0 to 100 that was drawn for progressive `@override`. @default 50 */
  readonly draw?: number;
  /** Why the stitched engine cannot do it. */
  readonly stitched?: string;
  /** Why there is no plan to run: the stitched engine answers in service. */
  readonly planned?: string;
}

export type Subgraphs = Readonly<Record<string, SubgraphFixture>>;

const versions = /^(\d+\.\d+)$/;

/** `extend schema @link(...)` for a version of federation and what is imported of it. */
export function link(version: string, ...imports: readonly string[]): string {
  assert.match(version, versions);
  const names = imports.map((name) => (name.startsWith('{') ? name : JSON.stringify(name)));
  return `extend schema @link(url: "https://specs.apollo.dev/federation/v${version}", import: [${names.join(', ')}])\n`;
}

/** A test for each case and engine. */
export function conformance(title: string, subgraphs: Subgraphs, cases: readonly Case[]): void {
  for (const entry of cases) {
    // What the libraries below stitching cannot do is written down in the case; the planned engine answers it in service.
    if (entry.stitched === undefined) {
      test(`${title}: ${entry.title} (stitched)`, () => check(subgraphs, entry, runStitched));
    }
    test(`${title}: ${entry.title} (planned)`, () =>
      entry.planned === undefined ? check(subgraphs, entry, runPlanned) : checkUnplanned(subgraphs, entry));
  }
}

export function composeFixture(subgraphs: Subgraphs, call: SubgraphExecutor = createCall(subgraphs, [])): Graph {
  return composeGraph(buildServices(subgraphs), call);
}

/** The reasons why they do not compose. */
export function refuseFixture(subgraphs: Subgraphs): readonly ErrorReason[] {
  try {
    composeFixture(subgraphs, async () => assert.fail('nothing should be called'));
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.code === 'REGISTRATION_REFUSED', String(error));
    return error.reasons ?? [];
  }
  assert.fail('they compose');
}

export interface Run {
  readonly graph: Graph;
  readonly call: SubgraphExecutor;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly context: RequestContext;
  readonly draw: number;
}

type Engine = (run: Run) => Promise<{ readonly data: unknown; readonly errors: readonly GraphQLError[] }>;

async function check(subgraphs: Subgraphs, entry: Case, engine: Engine): Promise<void> {
  const requests: SubgraphRequest[] = [];
  const call = createCall(subgraphs, requests);
  const graph = composeFixture(subgraphs, call);
  assert.deepEqual(validate(buildSchema(graph.publicSdl), parse(entry.query)), [], 'the operation is not valid');
  const context = { id: 'test', attempts: [] } as unknown as RequestContext;
  const { query, variables = {}, draw = 50 } = entry;
  const result = await engine({ graph, call, query, variables, context, draw });
  const errors = result.errors.map(({ path = [], extensions }) => `${path.join('.')}: ${String(extensions['code'])}`);
  assert.deepEqual(
    { data: asJson(result.data), errors: errors.toSorted() },
    {
      data: entry.data,
      errors: (entry.errors ?? []).toSorted(),
    },
  );
  const asked = new Set(requests.map(({ service }) => service));
  assert.deepEqual(
    (entry.notAsked ?? []).filter((service) => asked.has(service)),
    [],
    'asked for nothing',
  );
}

async function checkUnplanned(subgraphs: Subgraphs, entry: Case): Promise<void> {
  assert.equal(entry.stitched, undefined, 'some engine must do it');
  await assert.rejects(check(subgraphs, entry, runPlanned), (error) => !(error instanceof assert.AssertionError));
}

async function runStitched({ graph, query, variables, context }: Run): ReturnType<Engine> {
  const document = parse(query);
  const result = await execute({
    schema: graph.schema,
    document,
    variableValues: variables,
    contextValue: { gateway: context },
  });
  return { data: result.data, errors: result.errors ?? [] };
}

function buildServices(subgraphs: Subgraphs): GraphService[] {
  return Object.entries(subgraphs).map(([name, { sdl }]) => ({ name, schema: parseGivenSchema(sdl) }));
}

/** Calls the services in this process, with JSON between them as over a wire. */
function createCall(subgraphs: Subgraphs, requests: SubgraphRequest[]): SubgraphExecutor {
  const schemas = new Map<string, GraphQLSchema>();
  return async (request): Promise<ExecutionResult> => {
    requests.push(request);
    const { service, query, operationName } = request;
    const subgraph = subgraphs[service];
    assert.ok(subgraph !== undefined, `nobody serves ${service}`);
    const schema =
      schemas.get(service) ??
      buildSubgraphSchema([{ typeDefs: parse(subgraph.sdl), resolvers: { ...subgraph.resolvers } }]);
    schemas.set(service, schema);
    const variableValues = asJson(request.variables ?? {}) as Record<string, unknown>;
    return asJson(await graphql({ schema, source: query, variableValues, operationName })) as ExecutionResult;
  };
}

function asJson(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
