/**
 * Mode `filter` against an oracle: the answer must be what plain execution gives where the resolvers of the denied fields
 * throw. Random operations with fragments, aliases, conditions, lists, interfaces and unions.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { makeExecutableSchema } from '@graphql-tools/schema';
import {
  execute,
  type GraphQLSchema,
  getNamedType,
  isCompositeType,
  isInterfaceType,
  isObjectType,
  isUnionType,
  parse,
  validate,
} from 'graphql';
import { createYoga } from 'graphql-yoga';
import { useFieldAuthorization } from '../../policies/authorize-fields.ts';
import { buildFieldRequirements } from '../../policies/field-requirements.ts';
import type { GraphqlContext } from '../../policies/request-context.ts';
import { buildRequirement } from '../../policies/requirement.ts';
import { createRights } from '../../policies/rights.ts';
import { createRandom } from '../support/random.ts';
import { createRequestContext } from '../support/request-context.ts';

const typeDefs = /* GraphQL */ `
  type Query { user: User sure: User! users: [User!] all: [User!]! nested: [[User!]]! being: Being beings: [Being!] any: [Any] }
  interface Being { id: ID! name: String tag: String! best: Being }
  union Any = User | Robot
  type User implements Being { id: ID! name: String tag: String! best: Being salary: Int bonus: Int! boss: User! friends: [User!]! }
  type Robot implements Being { id: ID! name: String tag: String! best: Being model: String maker: User! }
`;
const deniable = [
  'User.salary',
  'User.bonus',
  'User.boss',
  'User.friends',
  'Robot.model',
  'Robot.maker',
  'Query.sure',
  'Being.tag',
  'Being.best',
  'Query.users',
];
const user = { __typename: 'User', id: 'u', name: 'Ada', tag: 't', salary: 1, bonus: 2 };
const robot = { __typename: 'Robot', id: 'r', name: 'Bob', tag: 's', model: 'R2' };

function buildExecutable(denied: ReadonlySet<string>): GraphQLSchema {
  const values: Record<string, Record<string, unknown>> = {
    Query: {
      user,
      sure: user,
      users: [user, user],
      all: [user],
      nested: [[user], null, [user]],
      being: robot,
      beings: [user, robot],
      any: [user, null, robot],
    },
    User: { best: robot, boss: user, friends: [user] },
    Robot: { best: user, maker: user },
  };
  const resolvers = Object.fromEntries(
    Object.entries(values).map(([type, fields]) => {
      const own = Object.entries(fields).map(([name, value]) => [name, () => value]);
      const closed = deniable
        .filter((coordinate) => denied.has(coordinate))
        .filter(
          (coordinate) => coordinate.startsWith(`${type}.`) || (type !== 'Query' && coordinate.startsWith('Being.')),
        )
        .map((coordinate) => [
          coordinate.split('.')[1] ?? '',
          () => {
            throw new Error('denied');
          },
        ]);
      return [type, Object.fromEntries([...own, ...closed])];
    }),
  );
  const resolveType = { __resolveType: ({ __typename }: { __typename: string }) => __typename };
  return makeExecutableSchema({ typeDefs, resolvers: { ...resolvers, Being: resolveType, Any: resolveType } });
}

/** Selections of a type, some under aliases and conditions, some in fragments. */
function generate(schema: GraphQLSchema, typeName: string, random: () => number, depth: number): string {
  const type = schema.getType(typeName);
  const parts: string[] = [];
  const fields = isObjectType(type) || isInterfaceType(type) ? Object.values(type.getFields()) : [];
  const count = 1 + Math.floor(random() * 3);
  for (let index = 0; index < count && fields.length > 0; index += 1) {
    const field = fields[Math.floor(random() * fields.length)];
    const named = field === undefined ? undefined : getNamedType(field.type);
    if (field === undefined || named === undefined || (isCompositeType(named) && depth === 0)) continue;
    const alias = random() < 0.3 ? `${['a', 'b', 'denied_a'][Math.floor(random() * 3)]}: ` : '';
    const condition = ['', '', '', ' @include(if: $yes)', ' @skip(if: $yes)', ' @include(if: false)'][
      Math.floor(random() * 6)
    ];
    const below = isCompositeType(named) ? ` { ${generate(schema, named.name, random, depth - 1)} }` : '';
    parts.push(`${alias}${field.name}${condition}${below}`);
  }
  if (type !== undefined && (isUnionType(type) || isInterfaceType(type))) {
    for (const possible of schema.getPossibleTypes(type)) {
      if (random() < 0.7) parts.push(`... on ${possible.name} { ${generate(schema, possible.name, random, depth)} }`);
    }
  }
  if (typeName === 'User' && random() < 0.3) parts.push('...F');
  if (parts.length === 0 || random() < 0.2) parts.push('__typename');
  return parts.join(' ');
}

it('a filtered answer is what execution would give if the denied fields failed', async () => {
  const random = createRandom(20_26);
  const schema = buildExecutable(new Set());
  let filtered = 0;
  for (let round = 0; round < 400; round += 1) {
    const denied = new Set(deniable.filter(() => random() < 0.3));
    const query = `query ($yes: Boolean = true) { ${generate(schema, 'Query', random, 3)} x: __typename @skip(if: $yes) } fragment F on User { salary bonus @include(if: $yes) g: name }`;
    const document = parse(query);
    const usesFragment = query.includes('...F');
    const usable = usesFragment ? query : query.slice(0, query.indexOf(' fragment F'));
    if (validate(schema, usesFragment ? document : parse(usable)).length > 0) continue;
    const written = new Map([...denied].map((coordinate) => [coordinate, buildRequirement({ roles: ['nobody'] })]));
    const options = {
      requirements: buildFieldRequirements(schema, written),
      required: false,
      publicFields: new Set<string>(),
      rights: createRights({ mode: 'filter' }),
    };
    const yoga = createYoga<GraphqlContext>({
      schema,
      plugins: [useFieldAuthorization(options)],
      logging: false,
      maskedErrors: false,
    });
    const viewer = { id: 'a', kind: 'jwt', issuer: 'i', scopes: new Set<string>(), roles: [], claims: {} } as const;
    const gateway = createRequestContext({ door: 'graphql', method: 'POST', viewer });
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: usable }),
    };
    const answer = await (await yoga.fetch('http://shop/graphql', init, { gateway })).json();
    const oracle = await execute({ schema: buildExecutable(denied), document: parse(usable) });
    assert.equal(JSON.stringify(answer.data), JSON.stringify(oracle.data), `${usable}\n${[...denied]}`);
    const paths = (errors: readonly { path?: unknown }[] = []) => errors.map(({ path }) => JSON.stringify(path));
    const known = new Set(paths(oracle.errors));
    // Of several errors that make one object null, each may stand for all of them.
    if (known.size > 0) filtered += 1;
    assert.equal(answer.errors === undefined, known.size === 0, usable);
    for (const path of paths(answer.errors)) assert.ok(known.has(path), `${path} of ${usable}`);
  }
  assert.ok(filtered > 60, `only ${filtered} operations were filtered`);
});
