import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSchema, execute, parse } from 'graphql';
import { compilePlan } from '../../schema/plan-compiler.ts';
import { InvalidVariablesError } from '../../schema/plan-errors.ts';
import { plainText } from '../../schema/plan-run.ts';
import { context, describeErrors } from './plan-fixture.ts';

const schema = buildSchema(`
  type Query {
    s: String i: Int f: Float b: Boolean id: ID e: Color j: Json
    must: String! ints: [Int!] grid: [[Int!]]
    pet: Pet pets: [Pet!] some: [Animal] only: Only person: Person mustPerson: Person!
    field(arg: Int!, colors: [Color!]): String
  }
  scalar Json
  enum Color { RED GREEN }
  interface Pet { name: String owner: Person }
  type Dog implements Pet { name: String owner: Person barks: Boolean! }
  type Cat implements Pet { name: String owner: Person lives: Int }
  union Animal = Dog | Cat
  interface Only { name: String }
  type Single implements Only { name: String }
  type Person { name: String! age: Int friend: Person toString: String }
`);

interface Written {
  readonly data: unknown;
  readonly text: string;
  readonly errors: string[];
}

/** Runs the operation over an answer that one service gives. */
async function write(
  query: string,
  answer: unknown,
  variables: Record<string, unknown> = {},
  operation = query,
): Promise<Written> {
  const document = parse(query);
  const plan = { kind: 'QueryPlan', node: { kind: 'Fetch', serviceName: 'a', operation } } as const;
  const options = { plan, document, schema, execute: async () => answer as never, subgraphErrors: 'pass' } as const;
  const { data: text, errors } = await compilePlan(options).execute(variables, context);
  return { data: JSON.parse(text), text, errors: describeErrors(errors) };
}

const data = (value: object) => ({ data: value });

test('the keys of the answer follow the operation, not the service', async () => {
  const { text } = await write(
    '{ i s person { age name } }',
    data({ person: { name: 'A', x: 1, age: 2 }, s: 'x', i: 1 }),
  );
  assert.equal(text, '{"i":1,"s":"x","person":{"age":2,"name":"A"}}');
});

test('fields of the same response key are merged, whatever fragments they stand in', async () => {
  const { text } = await write(
    '{ pet { ... on Dog { owner { name } } ...F ... { owner { age } } ... on Cat { lives } } } fragment F on Pet { owner { friend { name } } }',
    data({ pet: { __typename: 'Dog', owner: { name: 'A', age: 1, friend: { name: 'B' } }, lives: 9 } }),
  );
  assert.equal(text, '{"pet":{"owner":{"name":"A","friend":{"name":"B"},"age":1}}}');
});

test('@skip and @include decide field by field, also where the same field is asked for twice', async () => {
  const query =
    'query ($a: Boolean!, $b: Boolean = false) { s @include(if: $a) i @skip(if: $b) person @include(if: $a) { name } person @include(if: $b) { age } f @skip(if: true) }';
  const answer = data({ s: 'x', i: 1, f: 1, person: { name: 'A', age: 1 } });
  const ask = async (a: boolean, b?: boolean) => (await write(query, structuredClone(answer), { a, b })).text;
  assert.equal(await ask(true), '{"s":"x","i":1,"person":{"name":"A"}}');
  assert.equal(await ask(false, true), '{"person":{"age":1}}');
  assert.equal(await ask(true, true), '{"s":"x","person":{"name":"A","age":1}}');
});

test('strings are escaped as JSON wants it, short or long', async () => {
  for (const text of ['"', '\\', '\n', '\u0000', '\u2028é😀', '\ud800', `${'x'.repeat(100)}"\ud800`, '']) {
    const written = await write('{ s j id }', data({ s: text, j: text, id: text }));
    assert.equal(written.text, JSON.stringify({ s: text, j: text, id: text }));
  }
});

test('an answer that had no backslash is written without looking for any', async () => {
  const answer = { data: { s: 'plain é 😀' }, [plainText]: true };
  assert.equal((await write('{ s }', answer)).text, '{"s":"plain é 😀"}');
});

test('leaf values are coerced as graphql-js does, and those that cannot be are null with an error', async () => {
  const query = '{ s i f b id e }';
  const values = [
    { s: 1, i: '4', f: '1.5', b: 1, id: 7, e: 'RED' },
    { s: true, i: true, f: true, b: 0, id: 'x', e: 'GREEN' },
    { s: {}, i: 1.5, f: 'x', b: 'yes', id: 1.5, e: 'BLUE' },
    { s: [], i: 2 ** 31, f: {}, b: {}, id: true, e: 1 },
    { s: null, i: -0, f: 1e21, b: null, id: '', e: 'toString' },
  ];
  for (const rootValue of values) {
    const expected = await execute({ schema, document: parse(query), rootValue });
    const written = await write(query, data(rootValue));
    assert.deepEqual(written.data, JSON.parse(JSON.stringify(expected.data)));
    assert.deepEqual(written.errors, describeErrors(expected.errors ?? []));
  }
});

test('custom scalars are written as they came', async () => {
  const j = { b: [1, { c: null }], a: 'x' };
  assert.deepEqual((await write('{ j }', data({ j }))).data, { j });
});

test('a null where none may be travels up to the nearest place that may be null, with one error', async () => {
  const cases: [string, object, unknown, string[]][] = [
    ['{ s must }', { s: 'x', must: null }, null, ['must undefined']],
    ['{ s must }', { s: 'x' }, null, ['must undefined']],
    ['{ person { name age } s }', { person: { age: 1 } }, { person: null, s: null }, ['person.name undefined']],
    ['{ ints }', { ints: [1, null] }, { ints: null }, ['ints.1 undefined']],
    ['{ grid }', { grid: [[1], [2, null], null] }, { grid: [[1], null, null] }, ['grid.1.1 undefined']],
    [
      '{ pets { ... on Dog { barks } } }',
      { pets: [{ __typename: 'Dog' }] },
      { pets: null },
      ['pets.0.barks undefined'],
    ],
    [
      '{ mustPerson { friend { name } } }',
      { mustPerson: { friend: {} } },
      { mustPerson: { friend: null } },
      ['mustPerson.friend.name undefined'],
    ],
    ['{ mustPerson { name } }', { mustPerson: {} }, null, ['mustPerson.name undefined']],
    ['{ ints pets { name } }', { ints: 1, pets: {} }, { ints: null, pets: null }, ['ints undefined', 'pets undefined']],
    ['{ person { age } }', { person: 5 }, { person: null }, ['person undefined']],
  ];
  for (const [query, answer, expected, errors] of cases) {
    const written = await write(query, data(answer));
    assert.deepEqual([written.data, written.errors], [expected, errors], query);
  }
});

test('an error of a service stands for the null that it explains, and is not told twice', async () => {
  const errors = [{ message: 'no', path: ['mustPerson', 'name'], extensions: { code: 'X' } }];
  const written = await write('{ mustPerson { name } s }', { data: null, errors });
  assert.deepEqual([written.data, written.errors], [null, ['mustPerson.name X']]);
  const above = await write('{ person { name } s }', {
    data: { person: null, s: 'x' },
    errors: [{ message: 'no', path: ['person', 'name'] }],
  });
  assert.deepEqual(above.errors, ['person.name DOWNSTREAM_SERVICE_ERROR']);
});

test('an error without a place belongs to every field of the fetch that has no value', async () => {
  const written = await write('{ a: s b: i }', { data: { a: 'x', b: null }, errors: [{ message: 'no' }] });
  assert.deepEqual(written.errors, ['b DOWNSTREAM_SERVICE_ERROR']);
});

test('abstract types go by __typename; of a type that clients must not know there is null', async () => {
  const { data: answer, errors } = await write(
    '{ some { t: __typename ... on Dog { barks } ... on Pet { name } } }',
    data({
      some: [
        { __typename: 'Dog', barks: true, name: 'D' },
        { __typename: 'Wolf', name: 'W' },
        { __typename: 'Person' },
        { __typename: 'Cat', name: 'C' },
      ],
    }),
  );
  assert.deepEqual(answer, { some: [{ t: 'Dog', barks: true, name: 'D' }, null, null, { t: 'Cat', name: 'C' }] });
  assert.deepEqual(errors, []);
});

test('without __typename the static type stands for it, or the only type that there can be', async () => {
  const { data: answer } = await write(
    '{ pet { name ... on Pet { owner { name } } ... on Dog { barks } } only { __typename ... on Single { name } } }',
    data({ pet: { name: 'x', owner: { name: 'o' } }, only: { name: 's' } }),
  );
  assert.deepEqual(answer, { pet: { name: 'x', owner: { name: 'o' } }, only: { __typename: 'Single', name: 's' } });
});

test('keys that every object inherits are harmless', async () => {
  const { text, errors } = await write(
    '{ __proto__: person { constructor: name then: age toString } valueOf: s hasOwnProperty: i }',
    JSON.parse(
      '{"data":{"__proto__":{"constructor":"c","then":1,"__proto__":{"toString":"evil"}},"hasOwnProperty":2}}',
    ),
  );
  assert.equal(text, '{"__proto__":{"constructor":"c","then":1,"toString":null},"valueOf":null,"hasOwnProperty":2}');
  assert.deepEqual(errors, []);
});

test('introspection stands beside data, by the public schema', async () => {
  const query =
    'query ($n: String! = "Person") { s meta: __schema { queryType { name } } __typename __type(name: $n) { name } }';
  const ask = async (variables: Record<string, unknown>) =>
    (await write(query, data({ s: 'x' }), variables, '{ s __typename }')).text;
  const before = '{"s":"x","meta":{"queryType":{"name":"Query"}},"__typename":"Query","__type":';
  assert.equal(await ask({}), `${before}{"name":"Person"}}`);
  assert.equal(await ask({ n: 'Nobody' }), `${before}null}`);
});

test('variables that the operation cannot take are refused with the errors of execution', async () => {
  const query = 'query ($a: Int!, $c: [Color!] = [RED]) { field(arg: $a, colors: $c) }';
  const variableValues = { a: 'x', c: ['BLUE'] };
  const expected = await execute({ schema, document: parse(query), variableValues });
  await assert.rejects(write(query, data({}), variableValues), (error) => {
    assert.ok(error instanceof InvalidVariablesError);
    assert.equal(error.code, 'BAD_REQUEST');
    assert.deepEqual(
      error.errors.map(({ message }) => message),
      expected.errors?.map(({ message }) => message),
    );
    return true;
  });
});
