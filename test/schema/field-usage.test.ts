import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSchema, parse } from 'graphql';
import { createFieldUsage, type FieldUsageOptions } from '../../schema/field-usage.ts';
import { readOperationParts } from '../../schema/operation-usage.ts';

const schema = buildSchema(`
  directive @tag(name: String) on FIELD
  type Query { pets(filter: Filter, kind: Kind = CAT): [Pet!]! node: Node }
  interface Node { id: ID! }
  type Cat implements Node { id: ID! mood: Mood } type Dog implements Node { id: ID! barks: Boolean }
  union Pet = Cat | Dog
  input Filter { name: String and: [Filter!] mood: Mood } enum Kind { CAT DOG } enum Mood { GOOD BAD }
`);

const hour = 3_600_000;

function createClockedUsage(options: Partial<FieldUsageOptions> = {}) {
  const clock = { nowMs: 1_000 * hour };
  const usage = createFieldUsage({ windowMs: 8 * hour, now: () => clock.nowMs, ...options });
  const ask = (text: string, name: string, variables: object = {}) =>
    usage.record(schema, parse(text), null, variables as Record<string, unknown>, {
      'apollographql-client-name': name,
    });
  return { clock, usage, ask };
}

test('an operation uses fields, arguments, types, directives, and the values that stand in it', () => {
  const text = `query Q($filter: Filter) {
      pets(filter: $filter, kind: DOG) { ...cat ... on Dog { barks @tag(name: "x") } __typename } }
    fragment cat on Cat { mood }
    query Other { node { id } }`;
  const parts = readOperationParts(schema, parse(text), 'Q');
  assert.deepEqual([...(parts?.coordinates ?? [])].toSorted(), [
    '@tag',
    '@tag.name',
    'Boolean',
    'Cat',
    'Cat.mood',
    'Dog',
    'Dog.barks',
    'Filter',
    'Kind.DOG',
    'Mood',
    'Mood.BAD',
    'Mood.GOOD',
    'Pet',
    'Query',
    'Query.pets',
    'Query.pets.filter',
    'Query.pets.kind',
  ]);
  assert.deepEqual(
    parts?.variables.map(({ name }) => name),
    ['filter'],
  );
  assert.equal(readOperationParts(schema, parse(text), 'Nope'), null);
});

test('requests are counted by client, those of variables by what was in them', () => {
  const { usage, ask } = createClockedUsage();
  const text = 'query($filter: Filter) { pets(filter: $filter) { __typename } }';
  ask(text, 'web', { filter: { and: [{ name: 'Tom' }, { mood: 'GOOD', nope: 1 }] } });
  ask(text, 'web', { filter: null });
  ask(text, 'app', { filter: 'nonsense' });
  const users = usage.users();
  assert.deepEqual(
    users('Query.pets').map(({ client, count }) => [client, count]),
    [
      ['web', 2],
      ['app', 1],
    ],
  );
  assert.deepEqual(
    users('Filter.name').map(({ count }) => count),
    [1],
  );
  assert.deepEqual(
    users('Mood.GOOD').map(({ count }) => count),
    [1],
  );
  assert.deepEqual(users('Mood.BAD'), []);
});

test('use falls out of the window', () => {
  const { clock, usage, ask } = createClockedUsage();
  ask('{ node { id } }', 'web');
  clock.nowMs += 5 * hour;
  ask('{ node { id } }', 'web');
  assert.equal(usage.users()('Node.id')[0]?.count, 2);
  clock.nowMs += 5 * hour;
  assert.equal(usage.users()('Node.id')[0]?.count, 1);
  clock.nowMs += 9 * hour;
  assert.deepEqual(usage.users()('Node.id'), []);
});

test('clients that call themselves by ever new names are bounded, and do not push out others', () => {
  const { usage, ask } = createClockedUsage({ maxClients: 10, maxEntries: 100 });
  ask('{ node { id } }', 'web');
  for (let index = 0; index < 1_000; index += 1) ask('{ node { id } }', `intruder-${index}-${'x'.repeat(500)}`);
  const users = usage.users()('Node.id');
  assert.equal(users.length, 11);
  assert.equal(users[0]?.client, '<others>');
  assert.ok(users.some(({ client }) => client === 'web'));
  assert.ok(users.every(({ client }) => client.length <= 64));
  assert.ok(usage.size <= 100);
});

test('what one process noted can be added up in another', () => {
  const [worker, primary] = [createClockedUsage(), createClockedUsage()];
  worker.ask('{ node { id } }', 'web');
  primary.ask('{ node { id } }', 'web');
  primary.usage.add(JSON.parse(JSON.stringify(worker.usage.take())));
  assert.deepEqual(worker.usage.take(), []);
  assert.equal(primary.usage.users()('Query.node')[0]?.count, 2);
});
