/** With `introspection: authorized` a viewer sees what it may ask, and nothing hints at the rest. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildClientSchema, buildSchema, getIntrospectionQuery, type IntrospectionQuery, printSchema } from 'graphql';
import { createYoga } from 'graphql-yoga';
import { useFieldAuthorization } from '../../policies/authorize-fields.ts';
import type { GraphqlAuthorizeOptions } from '../../policies/authorize-options.ts';
import { useAuthorizedIntrospection } from '../../policies/authorized-introspection.ts';
import { buildFieldRequirements } from '../../policies/field-requirements.ts';
import type { GraphqlContext, Viewer } from '../../policies/request-context.ts';
import { buildRequirement } from '../../policies/requirement.ts';
import { createRights } from '../../policies/rights.ts';
import { createRequestContext } from '../support/request-context.ts';

const schema = buildSchema(`
  "All there is."
  type Query { open: String me: User audit(filter: AuditFilter!, secret: Secret): Audit hits: [Hit] node: Node self: Query old: Int @deprecated(reason: "no") }
  type Mutation { forget(all: Boolean, hard: Boolean! = false): Int }
  interface Node { id: ID }
  type User implements Node { id: ID salary: Money audit: Audit }
  type Robot implements Node { id: ID }
  type Audit { at: Int by: User entries: [Entry!]! }
  type Entry { text: String }
  union Hit = User | Audit
  input AuditFilter { level: Level }
  enum Level { LOW }
  enum Secret { A }
  scalar Money
`);

const own: Record<string, GraphqlAuthorizeOptions> = {
  Audit: { scopes: ['audit'] },
  'User.salary': { permissions: ['salary'] },
  'Mutation.forget': { authenticated: true },
  'Mutation.forget(hard)': { scopes: ['audit'] },
  'Query.old': { expression: 'args.x == 1' },
};

function viewer(scopes: string[] = [], permissions: string[] = []): Viewer {
  return { id: 'ada', kind: 'jwt', issuer: 'https://idp', scopes: new Set(scopes), roles: [], claims: { permissions } };
}

function createAsk(required = false) {
  const written = new Map(Object.entries(own).map(([name, options]) => [name, buildRequirement(options)]));
  const options = {
    requirements: buildFieldRequirements(schema, written),
    required,
    publicFields: new Set(['Query.open']),
    rights: createRights(),
  };
  const plugins = [useAuthorizedIntrospection(schema, options), useFieldAuthorization(options)];
  const yoga = createYoga<GraphqlContext>({ schema, plugins, logging: false, maskedErrors: false });
  return async (query: string, who: Viewer | null) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) };
    const gateway = createRequestContext({ door: 'graphql', method: 'POST', viewer: who });
    const response = await yoga.fetch('http://shop/graphql', init, { gateway });
    // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
    return (await response.json()) as any;
  };
}

async function see(who: Viewer | null, required = false): Promise<string> {
  const { data } = await createAsk(required)(getIntrospectionQuery(), who);
  return printSchema(buildClientSchema(data as IntrospectionQuery, { assumeValid: true }));
}

describe('the visible schema', () => {
  it('of somebody with all rights is all of it', async () => {
    assert.equal(
      await see(viewer(['audit'], ['salary'])).then((sdl) => sdl.replace(/"""[^"]*"""\n/, '')),
      printSchema(schema).replace(/"""[^"]*"""\n/, ''),
    );
  });

  it('is without fields that are refused, what returns closed types, and what only they lead to', async () => {
    const sdl = await see(viewer());
    for (const gone of ['salary', 'Money', 'Audit', 'Entry', 'Level', 'Secret', 'hard']) {
      assert.ok(!sdl.includes(gone), `${gone} in ${sdl}`);
    }
    assert.match(sdl, /union Hit = User$/m);
    assert.match(sdl, /type Robot implements Node/);
    assert.match(sdl, /forget\(all: Boolean\): Int/);
    assert.match(sdl, /old: Int @deprecated/, 'only arguments can decide about it');
  });

  it('of the anonymous is what they may ask', async () => {
    assert.ok(!(await see(null)).includes('Mutation'));
    const closed = await see(null, true);
    assert.match(closed, /type Query \{\n {2}open: String\n\}/);
    assert.ok(!closed.includes('User'));
  });

  it('answers __type as it answers __schema', async () => {
    const ask = createAsk();
    const query = '{ __typename a: __type(name: "Audit") { name } u: __type(name: "User") { fields { name } } }';
    assert.deepEqual((await ask(query, viewer())).data, {
      __typename: 'Query',
      a: null,
      u: { fields: [{ name: 'id' }] },
    });
    assert.deepEqual((await ask(query, viewer(['audit']))).data.a, { name: 'Audit' });
  });

  const detours = [
    '{ open __schema { types { name } } }',
    '{ self { __schema { types { name } } } }',
    '{ self { ...F } } fragment F on Query { __type(name: "Audit") { name } }',
    '{ ...F self { ...F } } fragment F on Query { __type(name: "Audit") { name } }',
  ];
  for (const query of detours) {
    it(`is not gone around by ${query}`, async () => {
      const { data, errors } = await createAsk()(query, viewer());
      assert.equal(data ?? null, null);
      assert.equal(errors[0].extensions.code, 'BAD_REQUEST');
    });
  }

  it("is nobody else's, one after the other", async () => {
    const ask = createAsk();
    const has = async (who: Viewer | null) =>
      JSON.stringify((await ask('query { __schema { types { name } } }', who)).data).includes('"Audit"');
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await has(viewer(['audit'])), true);
      assert.equal(await has(viewer()), false);
      assert.equal(await has(null), false);
    }
  });
});
