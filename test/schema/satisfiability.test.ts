import assert from 'node:assert/strict';
import test from 'node:test';
import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { composeSupergraph } from '../../schema/federation.ts';
import { findLostFields, isCostlyToCheck } from '../../schema/satisfiability.ts';
import { parseSdl } from '../../schema/sdl.ts';
import { readSubgraphTypes } from '../../schema/subgraph-types.ts';
import { buildLargeSchema, buildManySubgraphs, type NamedSdl } from '../support/large-graphs.ts';
import { createRandom } from '../support/random.ts';

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable", "@external", "@requires", "@override", "@provides"])';

const readGraph = (sdls: readonly NamedSdl[]) =>
  sdls.map(({ name, sdl }) => ({ name, types: readSubgraphTypes(parse(sdl)) }));
const isPlain = (sdls: readonly NamedSdl[]): boolean => findLostFields(readGraph(sdls))?.length === 0;

/** The codes of what the library finds; empty when it composes. */
function findErrors(sdls: readonly NamedSdl[]): Set<unknown> {
  const { errors = [] } = composeServices(sdls.map(({ name, sdl }) => ({ name, url: name, typeDefs: parse(sdl) })));
  return new Set(errors.map(({ extensions }) => extensions['code']));
}

/** Two to four subgraphs with parts of three types: keys, objects in keys, requirements and stubs at random. */
function buildRandomGraph(seed: number): NamedSdl[] {
  const random = createRandom(seed);
  const some = (share: number) => random() < share;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const names = ['a', 'b', 'c', 'd'].slice(0, 2 + Math.floor(random() * 3));
  const types = ['X', 'Y', 'Z'];
  return names.map((name, index) => {
    const parts = types
      .filter(() => some(0.75))
      .map((type) => {
        const keys = ['id', 'code', `sub { n }`].filter((_, at) => some(at === 0 ? 0.7 : 0.3));
        const fields = [
          ...(keys.includes('id') || some(0.3) ? ['id: ID! @shareable'] : []),
          ...(keys.includes('code') || some(0.2) ? ['code: ID! @shareable'] : []),
          ...(keys.includes('sub { n }') || some(0.1) ? ['sub: Sub @shareable'] : []),
          `${name}${type}: Int`,
          ...(some(0.4) ? [`to${name}: ${pick(types)}`] : []),
        ];
        const owner = names[(index + 1) % names.length];
        if (some(0.3) && owner !== name)
          fields.push(`${owner}${type}: Int @external`, `req${name}: Int @requires(fields: "${owner}${type}")`);
        const directives = keys.map((key) => `@key(fields: "${key}"${some(0.15) ? ', resolvable: false' : ''})`);
        return { type, sdl: `type ${type} ${directives.join(' ')} { ${fields.join(' ')} }` };
      });
    const known = parts.map(({ type }) => type);
    const roots = known.filter(() => some(0.6)).map((type) => `get${name}${type}: ${type}`);
    const text = parts.map(({ sdl }) => sdl).join('\n');
    const body = types
      .filter((type) => !known.includes(type))
      .reduce((sdl, type) => sdl.replaceAll(`: ${type}`, ': Int'), text);
    return {
      name,
      sdl: `${link} type Query { q${name}: Int ${roots.join(' ')} } ${body} type Sub @shareable { n: Int }`,
    };
  });
}

test('what the quick test calls satisfiable, the library does too', () => {
  let plain = 0;
  let satisfiable = 0;
  for (let seed = 1; seed <= 600; seed += 1) {
    const graph = buildRandomGraph(seed);
    const errors = findErrors(graph);
    if ([...errors].some((code) => code !== 'SATISFIABILITY_ERROR')) continue;
    if (errors.size === 0) satisfiable += 1;
    if (!isPlain(graph)) continue;
    plain += 1;
    assert.deepEqual([...errors], [], `seed ${seed}: ${JSON.stringify(graph)}`);
  }
  assert.ok(plain > 30 && plain > satisfiable / 2, `${plain} of ${satisfiable} seen`);
});

const services = (...sdls: string[]): NamedSdl[] =>
  sdls.map((sdl, index) => ({ name: `s${index}`, sdl: `${link} ${sdl}` }));

for (const [title, expected, graph] of [
  ['entities of a hundred services', true, buildManySubgraphs(100)],
  [
    'a key over a third service',
    true,
    services(
      'type Query { a: A } type A @key(fields: "x") { x: ID! }',
      'type A @key(fields: "x") @key(fields: "y") { x: ID! y: ID! }',
      'type A @key(fields: "y") { y: ID! z: Int }',
    ),
  ],
  [
    'a key that nobody has',
    false,
    services('type Query { a: A } type A { x: ID! }', 'type A @key(fields: "y") { y: ID! z: Int }'),
  ],
  [
    'a value type with different fields',
    false,
    services(
      'type Query { a: A } type A { x: ID! @shareable }',
      'type Query { b: A } type A { x: ID! @shareable z: Int }',
    ),
  ],
  [
    'requirements in a circle',
    false,
    services(
      'type Query { a: A } type A @key(fields: "id") { id: ID! x: Int @requires(fields: "y") y: Int @external }',
      'type A @key(fields: "id") { id: ID! y: Int @requires(fields: "x") x: Int @external }',
    ),
  ],
  [
    'a requirement inside another entity',
    true,
    services(
      'type Query { a: A } type A @key(fields: "id") { id: ID! b: B } type B @key(fields: "id") { id: ID! }',
      'type B @key(fields: "id") { id: ID! n: Int }',
      'type A @key(fields: "id") { id: ID! b: B @external m: Int @requires(fields: "b { n }") } type B @key(fields: "id") { id: ID! n: Int @external }',
    ),
  ],
  [
    'a field that moved',
    true,
    services(
      'type Query { a: A } type A @key(fields: "id") { id: ID! x: Int }',
      'type A @key(fields: "id") { id: ID! x: Int @override(from: "s0") }',
    ),
  ],
  [
    'a field that moved out of reach',
    false,
    services(
      'type Query { a: A } type A { id: ID! x: Int @shareable }',
      'type A { x: Int @override(from: "s0") @shareable }',
    ),
  ],
] as const) {
  test(`satisfiable: ${title} (${expected ? 'plainly' : 'not plainly'})`, () => assert.equal(isPlain(graph), expected));
}

test('two hundred services and a schema as large as any compose, and a mistake among them is found in time', () => {
  const services = buildManySubgraphs(200);
  const compose = (sdls: readonly NamedSdl[]) =>
    composeSupergraph(sdls.map(({ name, sdl }) => ({ name, document: parseSdl(sdl, name) })));
  assert.ok('sdl' in compose(services));
  assert.ok('sdl' in compose([{ name: 'large', sdl: buildLargeSchema(1_500) }]));
  assert.equal(isCostlyToCheck(readGraph(services)), true);
  assert.equal(isCostlyToCheck(readGraph(services.slice(0, 50))), false);
  const broken = compose([
    ...services,
    { name: 'broken', sdl: `${link} type Query { lost: User } type User { nick: String }` },
  ]);
  assert.ok(Array.isArray(broken));
  assert.ok(
    broken.some(({ code, type, field }) => code === 'SATISFIABILITY_ERROR' && type === 'User' && field === 'nick'),
  );
  assert.ok(broken.every(({ message }) => message.includes('may be out of reach')));
});
