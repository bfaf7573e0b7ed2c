/** `@shareable` and `@override`: fields that several services have, and fields that move. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, refuseFixture } from './fixture.ts';

const thing = (service: string) => ({
  __resolveReference: (thing: unknown) => thing,
  x: () => `x of ${service}`,
  y: () => `y of ${service}`,
});

conformance(
  '@shareable',
  {
    a: {
      sdl: `${link('2.3', '@key', '@shareable')}
        type Query { a: Thing both: Position @shareable }
        type Thing @key(fields: "id") { id: ID! x: String @shareable onlyA: Int }
        type Position @shareable { x: Int! y: Int! }`,
      resolvers: {
        Query: { a: () => ({ id: '1' }), both: () => ({ x: 1, y: 2 }) },
        Thing: { ...thing('anybody'), onlyA: () => 1 },
      },
    },
    b: {
      sdl: `${link('2.3', '@key', '@shareable')}
        type Query { b: Thing both: Position @shareable }
        type Thing @key(fields: "id") @shareable { id: ID! x: String }
        extend type Thing { onlyB: Position }
        type Position { x: Int! @shareable y: Int! @shareable }`,
      resolvers: {
        Query: { b: () => ({ id: '1' }), both: () => ({ x: 1, y: 2 }) },
        Thing: { ...thing('anybody'), onlyB: () => ({ x: 3, y: 4 }) },
      },
    },
  },
  [
    {
      title: 'fields are taken where the request is already',
      query: '{ a { x } }',
      data: { a: { x: 'x of anybody' } },
      notAsked: ['b'],
    },
    {
      title: 'fields of types and of extensions join',
      query: '{ a { onlyA onlyB { x } } b { onlyA onlyB { y } x } both { x y } }',
      data: {
        a: { onlyA: 1, onlyB: { x: 3 } },
        b: { onlyA: 1, onlyB: { y: 4 }, x: 'x of anybody' },
        both: { x: 1, y: 2 },
      },
    },
  ],
);

conformance(
  '@shareable root fields whose services have different parts of a value type',
  {
    a: {
      sdl: `${link('2.3', '@shareable')} type Query { shop: Shop @shareable } type Shop { name: String @shareable open: Boolean }`,
      resolvers: { Query: { shop: () => ({ name: 'Selvage', open: true }) } },
    },
    b: {
      sdl: `${link('2.3', '@shareable')} type Query { shop: Shop @shareable } type Shop { name: String @shareable city: String }`,
      resolvers: { Query: { shop: () => ({ name: 'Selvage', city: 'Ulm' }) } },
    },
  },
  [
    {
      title: 'are asked both',
      query: '{ shop { name open city } }',
      data: { shop: { name: 'Selvage', open: true, city: 'Ulm' } },
    },
  ],
);

conformance(
  '@override',
  {
    old: {
      sdl: `${link('2.3', '@key')}
        type Query { oldThing: Thing moved: String }
        type Thing @key(fields: "id") { id: ID! x: String y: String }`,
      resolvers: { Query: { oldThing: () => ({ id: '1' }), moved: () => 'old' }, Thing: thing('old') },
    },
    new: {
      sdl: `${link('2.3', '@key', '@override')}
        type Query { newThing: Thing moved: String @override(from: "old") }
        type Thing @key(fields: "id") { id: ID! x: String @override(from: "old") }`,
      resolvers: { Query: { newThing: () => ({ id: '1' }), moved: () => 'new' }, Thing: thing('new') },
    },
  },
  [
    {
      title: 'takes a field from the new service, also where the old one began',
      query: '{ oldThing { x y } newThing { x y } }',
      data: { oldThing: { x: 'x of new', y: 'y of old' }, newThing: { x: 'x of new', y: 'y of old' } },
    },
    { title: 'takes a root field from the new service', query: '{ moved }', data: { moved: 'new' }, notAsked: ['old'] },
    {
      title: 'leaves the key where it was',
      query: '{ oldThing { id } }',
      data: { oldThing: { id: '1' } },
      notAsked: ['new'],
    },
  ],
);

conformance(
  '@override of a service that is not there (any more)',
  {
    here: {
      sdl: `${link('2.3', '@key', '@override')}
        type Query { thing: Thing } type Thing @key(fields: "id") { id: ID! x: String @override(from: "gone") }`,
      resolvers: { Query: { thing: () => ({ id: '1' }) }, Thing: thing('here') },
    },
    other: {
      sdl: `${link('2.3', '@key')} type Thing @key(fields: "id") { id: ID! y: String }`,
      resolvers: { Thing: thing('other') },
    },
  },
  [
    {
      title: 'is taken as it stands',
      query: '{ thing { x y } }',
      data: { thing: { x: 'x of here', y: 'y of other' } },
    },
  ],
);

conformance(
  '@override of a field that another one requires',
  {
    old: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Query { thing: Thing }
        type Thing @key(fields: "id") { id: ID! price: Int z: String @external w: String @requires(fields: "z") }`,
      resolvers: {
        Query: { thing: () => ({ id: '1' }) },
        Thing: { ...thing('old'), price: () => 1, w: ({ z }) => `w needs ${z}` },
      },
    },
    new: {
      sdl: `${link('2.3', '@key', '@override')}
        type Thing @key(fields: "id") { id: ID! price: Int @override(from: "old") z: String }`,
      resolvers: { Thing: { ...thing('new'), price: () => 2, z: () => 'z of new' } },
    },
    third: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Thing @key(fields: "id") { id: ID! price: Int @external total: Int @requires(fields: "price") }`,
      resolvers: { Thing: { ...thing('third'), total: ({ price }) => price * 10 } },
    },
  },
  [
    {
      title: 'gives the new value',
      query: '{ thing { total price w } }',
      data: { thing: { total: 20, price: 2, w: 'w needs z of new' } },
    },
  ],
);

const progressive = (label: string) => ({
  old: {
    sdl: `${link('2.7', '@key')} type Query { thing: Thing } type Thing @key(fields: "id") { id: ID! x: String }`,
    resolvers: { Query: { thing: () => ({ id: '1' }) }, Thing: thing('old') },
  },
  new: {
    sdl: `${link('2.7', '@key', '@override')}
      type Thing @key(fields: "id") { id: ID! x: String @override(from: "old", label: "${label}") }`,
    resolvers: { Thing: thing('new') },
  },
});

conformance('progressive @override of a share of all requests', progressive('percent(25)'), [
  {
    title: 'takes the new service for this share',
    query: '{ thing { x } }',
    draw: 24.9,
    data: { thing: { x: 'x of new' } },
    stitched: 'labels are not read, the old service keeps the field',
  },
  {
    title: 'takes the old one for the others',
    query: '{ thing { x } }',
    draw: 25,
    data: { thing: { x: 'x of old' } },
    notAsked: ['new'],
    stitched: 'the share is drawn when the graph is composed',
  },
]);
conformance('progressive @override by a label that nobody sets', progressive('beta'), [
  { title: 'takes the old service', query: '{ thing { x } }', data: { thing: { x: 'x of old' } }, notAsked: ['new'] },
]);

test('a label that is neither a percentage nor a name is refused', () => {
  const [reason] = refuseFixture(progressive('1%'));
  assert.equal(reason?.code, 'OVERRIDE_LABEL_INVALID');
  assert.equal(reason?.service, 'new');
  assert.deepEqual([reason?.type, reason?.field], ['Thing', 'x']);
});

test('a field that two services have without @shareable is refused', () => {
  const thing = (...directives: string[]) => ({
    sdl: `${link('2.3', '@key', ...directives)} type Thing @key(fields: "id") { id: ID! x: Int ${directives.join(' ')} }`,
  });
  const query = { sdl: `${link('2.3', '@key')} type Query { t: Thing } type Thing @key(fields: "id") { id: ID! }` };
  for (const subgraphs of [
    { a: thing(), b: thing(), query },
    { a: thing('@shareable'), b: thing(), query },
  ]) {
    const [reason] = refuseFixture(subgraphs);
    assert.equal(reason?.code, 'INVALID_FIELD_SHARING');
    assert.deepEqual([reason?.type, reason?.field], ['Thing', 'x']);
  }
  composeFixture({ a: thing('@shareable'), b: thing('@shareable'), query });
});

test('two services cannot take a field from one another', () => {
  const from = (service: string) => ({
    sdl: `${link('2.3', '@key', '@override')}
      type Query { ${service}: Int } type Thing @key(fields: "id") { id: ID! x: Int @override(from: "${service}") }`,
  });
  const reasons = refuseFixture({ a: from('b'), b: from('a') });
  assert.ok(reasons.every(({ code }) => code === 'OVERRIDE_SOURCE_HAS_OVERRIDE'));
  assert.deepEqual([reasons[0]?.type, reasons[0]?.field], ['Thing', 'x']);
});
