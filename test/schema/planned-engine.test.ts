import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parse, validate } from 'graphql';
import type { RequestContext } from '../../policies/request-context.ts';
import { composeGraph } from '../../schema/composition.ts';
import type { SubgraphRequest } from '../../schema/graph.ts';
import { type CompilePlan, createPlannedEngine, type PlannedEngineOptions } from '../../schema/planned-engine.ts';
import { createPlanner, type Planner } from '../../schema/planner.ts';
import type { QueryPlan } from '../../schema/query-plan.ts';
import { createWarmAdmission } from '../../schema/warm-up.ts';
import { inventory, products, reviews } from './shop.ts';
import { compileSingleFetch } from './single-fetch-compiler.ts';
import { buildService, type SubgraphSource } from './subgraph-server.ts';

const weather: SubgraphSource = {
  name: 'weather',
  sdl: `schema { query: Root mutation: Changes }
    type Root { forecast(city: String! days: Int = 3): Forecast sky: [Sky!]! station(in: StationInput): Station }
    type Changes { report(text: String!): Forecast retract: Boolean }
    type Forecast { text: String station: Station }
    type Station { id: ID! }
    interface Sky { colour: String } type Clouds implements Sky { colour: String height: Int } type Clear implements Sky { colour: String }
    input StationInput { id: ID! }`,
};
const clock: SubgraphSource = {
  name: 'clock',
  sdl: 'type Query { now: String } type Mutation { wind: Boolean }',
};
const federatedMutation: SubgraphSource = {
  name: 'orders',
  sdl: 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"]) type Query { order: Order } type Mutation { place: Order } type Order @key(fields: "id") { id: ID! }',
};

const context = { id: 'test', attempts: [] } as unknown as RequestContext;

interface Compiled {
  readonly plan: QueryPlan;
}

/** An engine over a graph of these services that notes what it plans and asks, and answers nothing. */
function startEngine(t: TestContext, sources: readonly SubgraphSource[], options: Partial<PlannedEngineOptions> = {}) {
  const asked: SubgraphRequest[] = [];
  const compiled: Compiled[] = [];
  const planned: string[] = [];
  const native = createPlanner();
  t.after(() => native[Symbol.dispose]());
  const planner: Pick<Planner, 'plan'> = options.planner ?? native;
  const execute = async (request: SubgraphRequest) => {
    asked.push(request);
    return { data: { answered: request.service } };
  };
  const graph = composeGraph(sources.map(buildService), execute);
  const compilePlan: CompilePlan = (given) => {
    compiled.push(given);
    return compileSingleFetch(given);
  };
  const engine = createPlannedEngine({
    graph,
    compilePlan,
    execute,
    patienceMs: 60_000,
    ...options,
    planner: {
      pid: undefined,
      start: () => {},
      [Symbol.dispose]: () => {},
      plan: (request) => {
        planned.push(request.document);
        return planner.plan(request);
      },
    },
  });
  return {
    graph,
    engine,
    asked,
    compiled,
    planned,
    async prepare(text: string, operationName?: string) {
      const document = parse(text);
      assert.deepEqual(validate(graph.schema, document), []);
      return await engine.prepare(document, text, operationName);
    },
  };
}

test('a document is planned once, and known at once from then on', async (t) => {
  const { engine, prepare, planned } = startEngine(t, [products, reviews]);
  const text = '{ topProducts { name } }';
  const [one, other] = await Promise.all([prepare(text), prepare(text)]);
  assert.ok(one !== null);
  assert.equal(one, other);
  assert.equal(engine.prepare(parse(text), text), one);
  assert.equal(planned.length, 1);
});

test('of several operations the one that is asked for is planned, and no other', async (t) => {
  const { prepare, planned, asked } = startEngine(t, [products, reviews]);
  const text = 'query A { topProducts { ...F } } query B { latestReview { body } } fragment F on Product { upc }';
  const operation = await prepare(text, 'B');
  await operation?.execute({}, context);
  assert.deepEqual(planned, ['query B {\n  latestReview {\n    body\n  }\n}']);
  assert.equal(asked[0]?.service, 'reviews');
  await prepare(text, 'A');
  assert.match(planned[1] ?? '', /fragment F/);
  assert.equal(await prepare(text), null, 'which one is not clear: execution makes an error of that');
  assert.equal(await prepare(text, 'C'), null);
  assert.equal(planned.length, 2);
});

test('what the gateway answers itself is not planned', async (t) => {
  const { prepare, planned, compiled } = startEngine(t, [products, reviews]);
  assert.ok(await prepare('{ __typename ...F } fragment F on Query { __schema { queryType { name } } }'));
  assert.deepEqual(planned, []);
  assert.deepEqual(compiled[0]?.plan, { kind: 'QueryPlan' });
  assert.ok(
    await prepare(
      'query Q($n: Int $t: String!) { __type(name: $t) { name } ... on Query { topProducts(first: $n) { upc } t: __typename } }',
    ),
  );
  assert.equal(planned.length, 1);
  assert.doesNotMatch(planned[0] ?? '', /__|\$t/);
});

test('root fields of a plain service become one request to it, in its own words', async (t) => {
  const { prepare, planned, asked } = startEngine(t, [products, weather]);
  const operation = await prepare(
    `query Q($city: String! $unused: Boolean = true $deep: Boolean!) {
      ...F @include(if: $unused)
      sky { colour ... on Clouds { height } }
    }
    fragment F on Query { f: forecast(city: $city) { ...G @skip(if: $deep) } }
    fragment G on Forecast { text }
    `,
  );
  await operation?.execute({ city: 'Ulm', unused: true, deep: false }, context);
  assert.deepEqual(planned, []);
  assert.equal(asked.length, 1);
  assert.equal(asked[0]?.service, 'weather');
  const text = asked[0]?.query ?? '';
  assert.doesNotMatch(text, /on Query/, 'the service calls that type otherwise');
  assert.match(text, /\$unused: Boolean = true/);
  assert.match(text, /sky \{\s+__typename\s+colour/, 'which of several types it is must be told');
  parse(text);
});

test('an operation over federated and plain services is planned in parts that run side by side', async (t) => {
  const { prepare, planned, asked, compiled } = startEngine(t, [products, reviews, weather, clock]);
  const operation = await prepare(
    'query Q($a: Int $b: String!) { topProducts(first: $a) { name } forecast(city: $b) { text } now __typename }',
  );
  await operation?.execute({ a: 1, b: 'Ulm' }, context);
  assert.equal(planned.length, 1);
  assert.doesNotMatch(planned[0] ?? '', /forecast|now|\$b/);
  assert.equal(compiled[0]?.plan.node?.kind, 'Parallel');
  const byService = asked.toSorted((one, two) => (one.service < two.service ? -1 : 1));
  assert.deepEqual(
    byService.map(({ service, variables }) => [service, variables]),
    [
      ['clock', {}],
      ['products', { a: 1 }],
      ['weather', { b: 'Ulm' }],
    ],
  );
});

test('what two services have to merge is stitched', async (t) => {
  const { prepare } = startEngine(t, [products, reviews, inventory]);
  assert.equal(await prepare('{ firstInStock { upc } }'), null, 'a plain service with a type of others');
  assert.equal(await prepare('{ topProducts { inStock } }'), null, 'a field that the planner does not know');
  assert.notEqual(await prepare('{ topProducts { upc } }'), null);
});

test('mutations of one service are planned, of several stitched: they run in the order of their fields', async (t) => {
  const { prepare } = startEngine(t, [federatedMutation, weather, clock]);
  assert.notEqual(await prepare('mutation { report(text: "sun") { text } retract __typename }'), null);
  assert.notEqual(await prepare('mutation { place { id } }'), null);
  assert.equal(await prepare('mutation { wind retract }'), null);
  assert.equal(await prepare('mutation { place { id } retract }'), null);
});

test('an alias that would hide the type of an object is planned under another name', async (t) => {
  const { prepare } = startEngine(t, [products, weather]);
  assert.notEqual(await prepare('{ sky { __typename: colour } }'), null);
});

test('what cannot be compiled is stitched', async (t) => {
  const { prepare } = startEngine(t, [products], {
    compilePlan: () => {
      throw new Error('not this one');
    },
  });
  assert.equal(await prepare('{ topProducts { name } }'), null);
});

test('while there is no planner, federated operations are stitched, plain ones are not, and it is asked again', async (t) => {
  let nowMs = 0;
  let kind: 'unavailable' | 'refused' = 'unavailable';
  const planner = {
    plan: async () => (kind === 'refused' ? { kind, reason: 'never' } : { kind }),
  } as unknown as Planner;
  const { prepare, planned } = startEngine(t, [products, weather], { planner, now: () => nowMs });
  const text = '{ topProducts { name } }';
  assert.notEqual(await prepare('{ forecast(city: "Ulm") { text } }'), null);
  assert.equal(await prepare(text), null);
  assert.equal(await prepare(text), null);
  assert.equal(planned.length, 1);
  nowMs += 1_000;
  kind = 'refused';
  assert.equal(await prepare(text), null);
  assert.equal(planned.length, 2);
  nowMs += 1_000_000;
  assert.equal(await prepare(text), null);
  assert.equal(planned.length, 2, 'a refusal is for good');
});

test('a request does not wait for a slow plan, the next one has it', async (t) => {
  const plan = Promise.withResolvers<unknown>();
  const planner = { plan: () => plan.promise } as unknown as Planner;
  const { prepare } = startEngine(t, [products], { planner, patienceMs: 1 });
  const text = '{ topProducts { name } }';
  assert.equal(await prepare(text), null);
  plan.resolve({ kind: 'planned', plan: { kind: 'QueryPlan' } });
  await new Promise((resolve) => setImmediate(resolve));
  assert.notEqual(await prepare(text), null);
});

test('plans of ten thousand documents stay within their bounds, and those in use stay', async (t) => {
  const planner = { plan: async () => ({ kind: 'planned', plan: { kind: 'QueryPlan' } }) } as unknown as Planner;
  const { engine, graph } = startEngine(t, [products], { planner, maxPlans: 100 });
  const used = '{ topProducts { upc } }';
  const first = await engine.prepare(parse(used), used);
  for (let i = 0; i < 10_000; i++) {
    const text = `{ a${i}: topProducts { name } }`;
    await engine.prepare(parse(text), text);
    if (i % 50 === 0) assert.equal(engine.prepare(parse(used), used), first);
  }
  assert.equal(engine.size, 100);
  const short = createPlannedEngine({
    graph,
    planner,
    compilePlan: compileSingleFetch,
    execute: () => assert.fail(),
    maxCharacters: 1_000,
  });
  for (let i = 0; i < 200; i++) {
    const text = `{ a${i}: topProducts { name } }`;
    await short.prepare(parse(text), text);
  }
  assert.ok(short.size < 50 && short.size > 10);
});

test('the documents most used are planned for a new generation before it serves', async (t) => {
  const before = startEngine(t, [products, reviews]);
  const after = startEngine(t, [products, weather]);
  await before.prepare('{ topProducts { upc } }');
  for (let i = 0; i < 3; i++) await before.prepare('query Often { topProducts { name } }', 'Often');
  for (let i = 0; i < 2; i++) await before.prepare('{ latestReview { body } }');
  const admission = { graph: after.graph, changes: [] };
  const admit = createWarmAdmission(async () => admission, {
    engineOf: (graph) => (graph === before.graph ? before.engine : after.engine),
    serving: () => before.graph,
    maxOperations: 2,
  });
  assert.equal(await admit(undefined as never, undefined as never), admission);
  assert.equal(after.engine.size, 1, 'one of the two is not valid any more');
  assert.deepEqual(after.planned.length, 1);
  const text = 'query Often { topProducts { name } }';
  assert.ok(!(after.engine.prepare(parse(text), text, 'Often') instanceof Promise));
});

test('warming up ends when its time is over', async (t) => {
  const { graph, engine, prepare, planned } = startEngine(t, [products]);
  await prepare('{ topProducts { upc } }');
  let nowMs = 0;
  const admit = createWarmAdmission(async () => ({ graph: { ...graph, id: 'next' }, changes: [] }), {
    engineOf: () => engine,
    serving: () => graph,
    now: () => (nowMs += 3_000),
  });
  await admit(undefined as never, undefined as never);
  assert.equal(planned.length, 1);
});

test('a graph with types that clients must not know is planned', async (t) => {
  const secretive: SubgraphSource = {
    name: 'secretive',
    sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@inaccessible"])
      type Query { any: Any hidden: Hidden @inaccessible } union Any = Hidden | Shown
      type Hidden implements Secret @inaccessible { id: ID } type Shown implements Secret { id: ID } interface Secret @inaccessible { id: ID }`,
  };
  const { graph, prepare } = startEngine(t, [secretive]);
  assert.deepEqual([...(graph.possibleTypes.get('Any') ?? [])], ['Hidden', 'Shown']);
  assert.notEqual(await prepare('{ any { ... on Shown { id } } }'), null);
});
