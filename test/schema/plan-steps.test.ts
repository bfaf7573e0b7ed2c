import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSchema, parse } from 'graphql';
import type { SubgraphRequest } from '../../schema/graph.ts';
import { compilePlan } from '../../schema/plan-compiler.ts';
import { UnsupportedPlanError } from '../../schema/plan-errors.ts';
import type { FetchNode, PlanNode, RequiresSelection } from '../../schema/query-plan.ts';
import { context, describeErrors, down } from './plan-fixture.ts';

const schema = buildSchema(`
  type Query { items: [Item] other: [Item] one: Thing n: Int }
  type Mutation { first: Int second: Int }
  interface Thing { id: ID }
  type Item implements Thing { id: ID size: Int price: Int info: Info list: [Info] }
  type Box implements Thing { id: ID size: Int }
  type Info { text: String more: String x: Int }
`);

type Answers = Record<string, (request: SubgraphRequest) => unknown>;

async function run(query: string, node: unknown, answers: Answers, variables: Record<string, unknown> = {}) {
  const requests: SubgraphRequest[] = [];
  const operation = compilePlan({
    plan: { kind: 'QueryPlan', node: node as PlanNode },
    document: parse(query),
    schema,
    subgraphErrors: 'pass',
    async execute(request) {
      requests.push(structuredClone(request));
      return structuredClone((await answers[request.service]?.(request)) as never);
    },
  });
  const { data, errors } = await operation.execute(variables, context);
  return { data: JSON.parse(data), errors: describeErrors(errors), requests };
}

const fetchNode = (serviceName: string, operation: string, rest: Partial<FetchNode> = {}): FetchNode => ({
  kind: 'Fetch',
  serviceName,
  operationKind: 'query',
  operation,
  ...rest,
});
const requires = (type: string, ...names: string[]): RequiresSelection[] => [
  {
    kind: 'InlineFragment',
    typeCondition: type,
    selections: ['__typename', ...names].map((name) => ({ kind: 'Field', name })),
  },
];
const entities = (type: string, selection: string) =>
  `query($representations:[_Any!]!){_entities(representations: $representations){...on ${type}{${selection}}}}`;
const items = [{ Field: 'items' }, '@'] as const;
const flatten = (path: readonly unknown[], node: FetchNode) => ({ kind: 'Flatten', path, node });
const sequence = (...nodes: unknown[]) => ({ kind: 'Sequence', nodes });
const root = fetchNode('a', '{items{__typename id}}');
const sizes = flatten(items, fetchNode('b', entities('Item', 'size'), { requires: requires('Item', 'id') }));
const item = (id: string | null) => ({ __typename: 'Item', id });

test('equal representations are sent once, and their entity goes to every place', async () => {
  const { data, requests } = await run('{ items { id size } }', sequence(root, sizes), {
    a: () => ({ data: { items: [item('1'), item('2'), null, item('1')] } }),
    b: () => ({ data: { _entities: [{ size: 10 }, { size: 20 }] } }),
  });
  assert.deepEqual(requests[1]?.variables, { representations: [item('1'), item('2')] });
  assert.deepEqual(data, { items: [{ id: '1', size: 10 }, { id: '2', size: 20 }, null, { id: '1', size: 10 }] });
});

test('representations that cannot be taken for each other are never taken for each other', async () => {
  const ids = ['1|1:2', '1', '|1:1', 1, '1\u0000'];
  const { requests } = await run('{ items { size } }', sequence(root, sizes), {
    a: () => ({ data: { items: ids.map((id) => ({ __typename: 'Item', id })) } }),
    b: () => ({ data: { _entities: [] } }),
  });
  assert.deepEqual(
    requests[1]?.variables?.['representations'],
    ids.map((id) => ({ __typename: 'Item', id })),
  );
});

test('what has no key is not asked for, and without anything to ask for there is no request', async () => {
  const { data, errors, requests } = await run('{ items { id size } }', sequence(root, sizes), {
    a: () => ({ data: { items: [item(null), { __typename: 'Item' }, { __typename: 'Box', id: '1' }] } }),
  });
  assert.equal(requests.length, 1);
  assert.deepEqual(data, { items: [{ id: null, size: null }, { id: null, size: null }, null] });
  assert.deepEqual(errors, []);
});

test('a null of a later fetch never erases what is there, and objects are merged deeply', async () => {
  const more = flatten(
    items,
    fetchNode('b', entities('Item', 'id info{more x} list{more}'), { requires: requires('Item', 'id') }),
  );
  const { data } = await run('{ items { id info { text more x } list { text more } } }', sequence(root, more), {
    a: () => ({ data: { items: [{ ...item('1'), info: { text: 't', x: 1 }, list: [{ text: 'l' }, null] }] } }),
    b: () => ({
      data: { _entities: [{ id: null, info: { more: 'm', x: null }, list: [{ more: 'n' }, { more: 'o' }] }] },
    }),
  });
  assert.deepEqual(data, {
    items: [
      {
        id: '1',
        info: { text: 't', more: 'm', x: 1 },
        list: [
          { text: 'l', more: 'n' },
          { text: null, more: 'o' },
        ],
      },
    ],
  });
});

test('one request looks up several sets of entities, and each set gets its own', async () => {
  const batch = {
    kind: 'BatchFetch',
    serviceName: 'b',
    operation:
      'query($r0:[_Any!]!,$r1:[_Any!]!,$v:Int){_e0:_entities(representations:$r0){...on Item{size}} _e1:_entities(representations:$r1){...on Item{price(v:$v)}}}',
    variableUsages: ['v', 'unset'],
    entityBatch: {
      aliases: [
        {
          alias: '_e0',
          representationsVariableName: 'r0',
          paths: [[...items], [{ Field: 'other' }, '@']],
          requires: requires('Item', 'id'),
        },
        {
          alias: '_e1',
          representationsVariableName: 'r1',
          paths: [[{ Field: 'other' }, '@']],
          requires: requires('Item', 'id'),
        },
      ],
    },
  };
  const { data, errors, requests } = await run(
    'query ($v: Int = 5, $unset: Int) { items { size } other { size price } }',
    sequence(fetchNode('a', '{items{__typename id} other{__typename id}}'), batch),
    {
      a: () => ({ data: { items: [item('1'), item('2')], other: [item('2')] } }),
      b: () => ({
        data: { _e0: [{ size: 1 }, null], _e1: [null] },
        errors: [
          { message: 'x', path: ['_e0', 1, 'size'] },
          { message: 'y', path: ['_e1', 0] },
        ],
      }),
    },
  );
  assert.deepEqual(requests[1]?.variables, { r0: [item('1'), item('2')], r1: [item('2')], v: 5 });
  assert.deepEqual(data, { items: [{ size: 1 }, { size: null }], other: [{ size: null, price: null }] });
  assert.deepEqual(errors, [
    'items.1.size DOWNSTREAM_SERVICE_ERROR',
    'other.0.price DOWNSTREAM_SERVICE_ERROR',
    'other.0.size DOWNSTREAM_SERVICE_ERROR',
  ]);
});

test('nested objects of one entity are not shared by places beneath which different things are fetched', async () => {
  const info = flatten(
    [...items, { Field: 'info' }],
    fetchNode('c', entities('Info', 'text'), { requires: requires('Info', 'x') }),
  );
  const batch = {
    kind: 'BatchFetch',
    serviceName: 'b',
    operation: 'query($r0:[_Any!]!){_e0:_entities(representations:$r0){...on Item{info{__typename x}}}}',
    entityBatch: {
      aliases: [
        {
          alias: '_e0',
          representationsVariableName: 'r0',
          paths: [[...items], [{ Field: 'other' }, '@']],
          requires: requires('Item', 'id'),
        },
      ],
    },
  };
  const { data } = await run(
    '{ items { info { text } } other { info { text } } }',
    sequence(fetchNode('a', '{items{__typename id} other{__typename id}}'), batch, info),
    {
      a: () => ({ data: { items: [item('1'), item('1')], other: [item('1')] } }),
      b: () => ({ data: { _e0: [{ info: { __typename: 'Info', x: 1 } }] } }),
      c: () => ({ data: { _entities: [{ text: 'only below items' }] } }),
    },
  );
  const there = { info: { text: 'only below items' } };
  assert.deepEqual(data, { items: [there, there], other: [{ info: { text: null } }] });
});

test('type conditions of a path, and rewrites in both spellings', async () => {
  const path = [{ Field: 'one' }, { TypeCondition: ['Item'] }];
  const steps = (typename: string) => [{ TypenameEquals: [typename] }, { Key: '__typename' }];
  const node = fetchNode('b', entities('Thing', '_internal_qp_alias_0: size'), {
    requires: requires('Item', 'id'),
    inputRewrites: [
      { kind: 'ValueSetter', path: steps('Nothing') as never, setValueTo: 'Wrong' },
      { ValueSetter: { path: steps('Item') as never, setValueTo: 'Thing' } },
    ],
    outputRewrites: [
      {
        KeyRenamer: {
          path: [{ Key: '_entities' }, { TypenameEquals: ['Thing', 'Item'] }, { Key: '_internal_qp_alias_0' }],
          renameKeyTo: 'size',
        },
      },
    ],
  });
  const plan = sequence(fetchNode('a', '{one{__typename id}}'), flatten(path, node));
  const query = '{ one { ... on Item { size } ... on Box { size } } }';
  const answers = (typename: string): Answers => ({
    a: () => ({ data: { one: { __typename: typename, id: '1' } } }),
    b: () => ({ data: { _entities: [{ __typename: 'Item', _internal_qp_alias_0: 3 }] } }),
  });
  const { data, requests } = await run(query, plan, answers('Item'));
  assert.deepEqual(requests[1]?.variables, { representations: [{ __typename: 'Thing', id: '1' }] });
  assert.deepEqual(data, { one: { size: 3 } });
  assert.equal((await run(query, plan, answers('Box'))).requests.length, 1);
});

test('conditions choose by variable, and a missing clause is nothing to do', async () => {
  const condition = { kind: 'Condition', condition: 'c', ifClause: null, elseClause: sizes };
  const answers: Answers = {
    a: () => ({ data: { items: [item('1')] } }),
    b: () => ({ data: { _entities: [{ size: 1 }] } }),
  };
  const query = 'query ($c: Boolean = true) { items { size @skip(if: $c) } }';
  const count = async (variables: object) =>
    (await run(query, sequence(root, condition), answers, { ...variables })).requests.length;
  assert.equal(await count({}), 1);
  assert.equal(await count({ c: false }), 2);
});

test('a fetch that fails does not stop the others, and its error stands at each of its fields', async () => {
  const plan = { kind: 'Parallel', nodes: [fetchNode('a', '{n items{id}}'), fetchNode('b', '{other{id}}')] };
  const { data, errors } = await run('{ n items { id } other { id } }', plan, {
    a: down,
    b: () => ({ data: { other: [{ id: '1' }] } }),
  });
  assert.deepEqual(data, { n: null, items: null, other: [{ id: '1' }] });
  assert.deepEqual(errors, ['items SERVICE_UNAVAILABLE', 'n SERVICE_UNAVAILABLE']);
});

test('an answer that is none is an error of the service', async () => {
  for (const answer of [null, 5, {}, { data: [] }, { data: { items: null }, errors: [] }]) {
    const { data, errors } = await run('{ items { id } }', root, { a: () => answer });
    assert.deepEqual(data, { items: null });
    const strange = JSON.stringify(answer) !== '{"data":{"items":null},"errors":[]}';
    assert.deepEqual(errors, strange ? ['items DOWNSTREAM_SERVICE_ERROR'] : []);
  }
  const { errors } = await run('{ items { size } }', sequence(root, sizes), {
    a: () => ({ data: { items: [item('1')] } }),
    b: () => ({ data: { _entities: 'x' } }),
  });
  assert.deepEqual(errors, ['items.0.size DOWNSTREAM_SERVICE_ERROR']);
});

test('parallel fetches are under way together, mutations one after the other', async () => {
  const log: string[] = [];
  const slow = (name: string) => async () => {
    log.push(`+${name}`);
    await new Promise((resolve) => setImmediate(resolve));
    log.push(`-${name}`);
    return { data: {} };
  };
  const parallel = { kind: 'Parallel', nodes: [fetchNode('a', '{n}'), fetchNode('b', '{items{id}}')] };
  await run('{ n items { id } }', parallel, { a: slow('a'), b: slow('b') });
  assert.deepEqual(log.splice(0), ['+a', '+b', '-a', '-b']);
  const mutate = (service: string, text: string) => fetchNode(service, text, { operationKind: 'mutation' });
  const { requests } = await run(
    'mutation { first second }',
    sequence(mutate('a', 'mutation{first}'), mutate('b', 'mutation{second}')),
    {
      a: slow('a'),
      b: slow('b'),
    },
  );
  assert.deepEqual(log, ['+a', '-a', '+b', '-b']);
  assert.deepEqual(
    requests.map(({ operationType }) => operationType),
    ['mutation', 'mutation'],
  );
});

test('a plan for the name of the root type alone asks nobody', async () => {
  const { data, requests } = await run('{ t: __typename }', fetchNode('a', '{t: __typename}'), {});
  assert.deepEqual([data, requests], [{ t: 'Query' }, []]);
});

test('hostile keys of a service change no object', async () => {
  const evil = JSON.parse(
    '{"_entities":[{"size":1,"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}]}',
  );
  const { data } = await run('{ items { size } }', sequence(root, sizes), {
    a: () => JSON.parse('{"data":{"items":[{"__typename":"Item","id":"1","__proto__":{"x":1}}]}}'),
    b: () => ({ data: evil }),
  });
  assert.deepEqual(data, { items: [{ size: 1 }] });
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('plans that only the stitched engine can run are refused when they are compiled', async () => {
  const nodes = [
    { kind: 'Defer', primary: {}, deferred: [] },
    { kind: 'Subscription', primary: root },
    fetchNode('a', 'subscription{n}', { operationKind: 'subscription' }),
    flatten(items, fetchNode('b', entities('Item', 'size'), { requires: [{ kind: 'FragmentSpread', value: 'x' }] })),
  ];
  for (const node of nodes) await assert.rejects(run('{ n }', node, {}), UnsupportedPlanError);
});
