/** `@link`: other names for the directives of federation, and `@composeDirective` for those of teams. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, refuseFixture, type Subgraphs } from './fixture.ts';

const linked = (
  header: string,
  directives: Readonly<Record<'key' | 'external' | 'requires' | 'hidden' | 'shared', string>>,
): Subgraphs => ({
  a: {
    sdl: `${header} type Query { thing: Thing } type Thing @${directives.key}(fields: "id") { id: ID! x: Int both: Int @${directives.shared} }`,
    resolvers: {
      Query: { thing: () => ({ id: '1', x: 1, both: 2 }) },
      Thing: { __resolveReference: ({ id }) => ({ id, x: 1, both: 2 }) },
    },
  },
  b: {
    sdl: `${header} type Thing @${directives.key}(fields: "id") {
      id: ID! x: Int @${directives.external} y: Int @${directives.requires}(fields: "x") z: Int @${directives.hidden} both: Int @${directives.shared} }`,
    resolvers: { Thing: { __resolveReference: (thing) => thing, y: ({ x }) => x * 10 } },
  },
});

for (const [title, header, directives] of [
  [
    'imports under other names',
    `extend schema @link(url: "https://specs.apollo.dev/link/v1.0")
      @link(url: "https://specs.apollo.dev/federation/v2.3", import: [
        { name: "@key", as: "@id" }, { name: "@external", as: "@foreign" }, { name: "@requires", as: "@needs" },
        { name: "@inaccessible", as: "@hidden" }, { name: "@shareable", as: "@common" }])`,
    { key: 'id', external: 'foreign', requires: 'needs', hidden: 'hidden', shared: 'common' },
  ],
  [
    'no imports, by the namespace',
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3")',
    {
      key: 'federation__key',
      external: 'federation__external',
      requires: 'federation__requires',
      hidden: 'federation__inaccessible',
      shared: 'federation__shareable',
    },
  ],
] as const) {
  const subgraphs = linked(header, directives);
  conformance(`@link with ${title}`, subgraphs, [
    { title: 'means the same', query: '{ thing { y both } }', data: { thing: { y: 10, both: 2 } } },
  ]);
  test(`@link with ${title}: hides what is hidden`, () => {
    assert.match(
      composeFixture(subgraphs).publicSdl,
      /type Thing {\n {2}both: Int\n {2}id: ID!\n {2}x: Int\n {2}y: Int\n}/,
    );
  });
}

// Not run: the library that the fixtures are served with does not know this either.
test('@link with a namespace of another name means the same', () => {
  const header = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", as: "fed", import: ["@key"])';
  const [key, external, requires] = ['key', 'fed__external', 'fed__requires'];
  const other = linked(header, { key, external, requires, hidden: 'fed__inaccessible', shared: 'fed__shareable' });
  const usual = linked(link('2.3', '@key', '@external', '@requires', '@inaccessible', '@shareable'), {
    key,
    external: 'external',
    requires: 'requires',
    hidden: 'inaccessible',
    shared: 'shareable',
  });
  assert.equal(composeFixture(other).supergraphSdl, composeFixture(usual).supergraphSdl);
});

test("directives that the document does not import are not federation's", () => {
  const [reason] = refuseFixture({
    a: { sdl: `${link('2.3')} type Query { a: A } type A @key(fields: "id") { id: ID! }` },
  });
  assert.equal(reason?.code, 'INVALID_GRAPHQL');
  assert.equal(reason?.service, 'a');
});

test('a version that nobody knows is refused', () => {
  const [reason] = refuseFixture({ a: { sdl: `${link('2.99')} type Query { a: Int }` } });
  assert.equal(reason?.code, 'UNKNOWN_FEDERATION_LINK_VERSION');
});

const composed = (...services: string[]) =>
  Object.fromEntries(
    services.map((name) => [
      name,
      {
        sdl: `${link('2.1', '@key', '@composeDirective')}
          extend schema @link(url: "https://team.example/cache/v1.0", import: ["@cached"]) @composeDirective(name: "@cached")
          directive @cached(seconds: Int!) on FIELD_DEFINITION | OBJECT
          directive @private on FIELD_DEFINITION
          type Query { ${name}: Int @cached(seconds: 5) @private }`,
      },
    ]),
  );

test('@composeDirective carries a directive into the supergraph, and others stay out', () => {
  const { supergraphSdl, publicSdl } = composeFixture(composed('one', 'two'));
  assert.match(supergraphSdl, /directive @cached\(seconds: Int!\) on FIELD_DEFINITION \| OBJECT/);
  assert.match(supergraphSdl, /one: Int .*@cached\(seconds: 5\)/);
  assert.match(supergraphSdl, /two: Int .*@cached\(seconds: 5\)/);
  assert.match(supergraphSdl, /@link\(url: "https:\/\/team.example\/cache\/v1.0", import: \["@cached"\]\)/);
  assert.doesNotMatch(supergraphSdl, /@private/);
  assert.doesNotMatch(publicSdl, /@cached|@private/);
});

conformance(
  '@composeDirective',
  { only: { ...composed('only')['only'], resolvers: { Query: { only: () => 7 } } } as Subgraphs[string] },
  [{ title: 'changes nothing for clients', query: '{ only }', data: { only: 7 } }],
);

test('@composeDirective of a directive that is not linked is refused', () => {
  const [reason] = refuseFixture({
    a: {
      sdl: `${link('2.1', '@composeDirective')} extend schema @composeDirective(name: "@cached")
        directive @cached on FIELD_DEFINITION type Query { a: Int @cached }`,
    },
  });
  assert.equal(reason?.code, 'DIRECTIVE_COMPOSITION_ERROR');
});

test('executable directives are kept when all services have them', () => {
  const service = (name: string, more = '') => ({
    sdl: `${link('2.3', '@key')} directive @trace on FIELD ${more} type Query { ${name}: Int }`,
  });
  assert.match(composeFixture({ a: service('a'), b: service('b') }).supergraphSdl, /directive @trace on FIELD/);
});
