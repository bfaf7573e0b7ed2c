import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

const sdl = /* GraphQL */ `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@cost", "@listSize"])
  type Query { me(n: Int): Node a: Int b: Int list(first: Int, last: Int): [Node] @listSize(slicingArguments: ["first", "last"]) dear: Int @cost(weight: 40) }
  type Node { id: ID me: Node list(first: Int): [Node] }
`;
const node = { id: '1', me: () => node, list: () => [] };
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
const apiKeys = [{ name: 'gold', sha256: hashOf('gold') }];

type Start = Parameters<typeof startGateway>[0];

async function open(t: Start, graphql: GatewayConfig['graphql']): Promise<TestGateway> {
  const gateway = await startGateway(t, { authentication: { apiKeys }, graphql: { ...graphql } });
  const service = await startSubgraph(t, sdl, {
    Query: { me: () => node, a: () => 1, b: () => 2, list: () => [node], dear: () => 3 },
  });
  await registerGraphql(gateway, 'nodes', service.url);
  return gateway;
}

interface Verdict {
  readonly status: number;
  readonly code: string | undefined;
  readonly message: string | undefined;
}

/** How a document can be brought: the short way, the long way, in the URL, in a batch. */
const ways: Readonly<Record<string, (url: string, query: string, headers?: object) => Promise<Verdict>>> = {
  plain: async (url, query, headers) =>
    read(
      await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ query }),
      }),
    ),
  long: async (url, query, headers) =>
    read(
      await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json; charset=utf-8', ...headers },
        body: JSON.stringify({ query }),
      }),
    ),
  get: async (url, query, headers) =>
    read(await fetch(`${url}?query=${encodeURIComponent(query)}`, { headers: { ...headers } })),
  batch: async (url, query, headers) =>
    read(
      await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify([{ query }]),
      }),
    ),
};

async function read(response: Response): Promise<Verdict> {
  const body = await response.json();
  const { errors } = Array.isArray(body) ? body[0] : body;
  return { status: response.status, code: errors?.[0].extensions.code, message: errors?.[0].message };
}

const cases: readonly { limit: object; within: string; over: string; code: string; message: RegExp }[] = [
  {
    limit: { depth: 3 },
    within: '{ me { me { id } } }',
    over: '{ me { me { me { id } } } }',
    code: 'OPERATION_TOO_DEEP',
    message: /4 levels deep; 3 are allowed/,
  },
  {
    limit: { aliases: 2 },
    within: '{ x: a y: b }',
    over: '{ x: a y: b z: a }',
    code: 'TOO_MANY_ALIASES',
    message: /3 aliases; 2 are/,
  },
  {
    limit: { rootFields: 2 },
    within: '{ a b }',
    over: '{ a b me { id } }',
    code: 'TOO_MANY_ROOT_FIELDS',
    message: /3 root fields; 2 are/,
  },
  {
    limit: { directives: 1 },
    within: '{ a @skip(if: false) }',
    over: '{ a @skip(if: false) b @skip(if: false) }',
    code: 'TOO_MANY_DIRECTIVES',
    message: /2 directives; 1 are/,
  },
  {
    limit: { tokens: 4 },
    within: '{ a b }',
    over: '{ a b dear }',
    code: 'TOO_MANY_TOKENS',
    message: /5 tokens; 4 are/,
  },
  {
    limit: { documentSize: '7b' },
    within: '{ a b }',
    over: '{ a  b }',
    code: 'DOCUMENT_TOO_LARGE',
    message: /8 bytes; 7 are/,
  },
  {
    limit: { cost: 20 },
    within: '{ list(first: 20) { id } }',
    over: '{ list(first: 21) { id } }',
    code: 'OPERATION_TOO_COMPLEX',
    message: /may cost 21; 20 is/,
  },
  {
    limit: { cost: 40 },
    within: '{ dear }',
    over: '{ dear me { id } }',
    code: 'OPERATION_TOO_COMPLEX',
    message: /may cost 41; 40 is/,
  },
];

for (const engine of ['auto', 'stitched'] as const) {
  describe(`limits of operations (engine ${engine})`, () => {
    for (const { limit, within, over, code, message } of cases) {
      test(`${code} begins where ${JSON.stringify(limit)} ends, however the document comes`, async (t) => {
        const gateway = await open(t, { limits: limit, maxBatchSize: 2, engine });
        for (const [way, ask] of Object.entries(ways)) {
          for (const round of ['first', 'again, from the caches']) {
            assert.deepEqual(
              await ask(`${gateway.url}/graphql`, within),
              { status: 200, code: undefined, message: undefined },
              `${way} ${round}`,
            );
            const refused = await ask(`${gateway.url}/graphql`, over);
            // A batch has one status for all that it holds.
            assert.deepEqual(
              [refused.status, refused.code],
              [way === 'batch' ? 200 : 400, code],
              `${way} ${round}: ${refused.message}`,
            );
            assert.match(refused.message ?? '', message);
          }
        }
      });
    }
  });
}

test('viewers of two classes send the same document, and each is held to their own limits', async (t) => {
  const gateway = await open(t, {
    maxBatchSize: 2,
    limits: {
      depth: 2,
      aliases: 1,
      tokens: 12,
      cost: 1,
      classes: [{ for: 'api-key:gold', depth: 9, aliases: 9, tokens: 99, cost: 99 }],
    },
  });
  const documents: Record<string, string> = {
    OPERATION_TOO_DEEP: '{ me { me { id } } }',
    TOO_MANY_ALIASES: '{ x: a y: b }',
    TOO_MANY_TOKENS: '{ a b a b a b a b a b a b }',
    OPERATION_TOO_COMPLEX: '{ dear }',
  };
  for (const order of [
    ['gold', 'free', 'gold', 'free'],
    ['free', 'gold', 'free'],
  ]) {
    for (const [code, text] of Object.entries(documents)) {
      // Each order begins with documents that no cache knows.
      const query = order.length === 3 ? text.replace('{', '{ ') : text;
      const spaced = order.length === 3 ? query : text;
      for (const ask of Object.values(ways)) {
        for (const who of order) {
          const verdict = await ask(`${gateway.url}/graphql`, spaced, who === 'gold' ? { 'x-api-key': 'gold' } : {});
          assert.equal(verdict.code, who === 'gold' ? undefined : code, `${who}: ${verdict.message}`);
        }
      }
    }
  }
});

test('a limit that is only measured refuses nothing, and metrics and the log tell of it', async (t) => {
  const gateway = await open(t, { limits: { mode: 'measure', depth: 1, cost: 10 } });
  assert.deepEqual((await gateway.graphql('{ me { id } dear }')).data, { me: { id: '1' }, dear: 3 });
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(
    body,
    /selvage_graphql_limit_exceeded_total\{code="OPERATION_TOO_DEEP",class="default",refused="false"\} 1/,
  );
  assert.match(
    body,
    /selvage_graphql_limit_exceeded_total\{code="OPERATION_TOO_COMPLEX",class="default",refused="false"\} 1/,
  );
  assert.match(body, /selvage_graphql_operation_cost_sum\{class="default"\} 41/);
  assert.match(body, /selvage_graphql_operation_depth_sum\{class="default"\} 2/);
  const told = gateway.lines.filter(({ msg }) => String(msg).includes('only measured'));
  assert.deepEqual(
    told.map(({ code }) => code),
    ['OPERATION_TOO_DEEP', 'OPERATION_TOO_COMPLEX'],
  );
  assert.equal(gateway.lines.find(({ msg, cost }) => msg === 'request' && cost !== undefined)?.['cost'], 41);
});

test('a list that insists on one slicing argument is refused without it where costs are limited', async (t) => {
  const gateway = await open(t, { limits: { cost: 1_000 } });
  assert.equal((await gateway.graphql('{ list(last: 3) { id } }')).errors, undefined);
  for (const query of ['{ list { id } }', '{ list(first: 1, last: 1) { id } }', '{ list(first: null) { id } }']) {
    const { status, errors } = await gateway.graphql(query);
    assert.deepEqual([status, errors?.[0]?.extensions['code']], [400, 'OPERATION_TOO_COMPLEX'], query);
    assert.match(errors?.[0]?.message ?? '', /"Query\.list" needs exactly one of the arguments first, last/);
  }
});

test('bombs and megabytes are refused before they cost anything', async (t) => {
  const gateway = await open(t, { maxBatchSize: 2 });
  const bomb = Array.from({ length: 100 }, (_, i) => `fragment F${i} on Query { ...F${i + 1} ...F${i + 1} }`).join(' ');
  const hostile: Record<string, string> = {
    TOO_MANY_ROOT_FIELDS: `{ ...F0 } ${bomb} fragment F100 on Query { a }`,
    DOCUMENT_TOO_LARGE: `{ ${'a '.repeat(500_000)}}`,
    OPERATION_TOO_DEEP: `{ ${'me { '.repeat(100)} id ${'}'.repeat(100)} }`,
    TOO_MANY_TOKENS: `{ ${'a '.repeat(2_000)}}`,
  };
  for (const [code, query] of Object.entries(hostile)) {
    for (const way of ['plain', 'long', 'batch']) {
      const verdict = await ways[way]?.(`${gateway.url}/graphql`, query);
      // A body of a megabyte is over the limit of bodies as well, which is asked first.
      const expected = [code, ...(code === 'DOCUMENT_TOO_LARGE' ? ['PAYLOAD_TOO_LARGE'] : [])];
      assert.ok(expected.includes(verdict?.code ?? ''), `${way}: ${verdict?.code} ${verdict?.message}`);
    }
  }
  assert.deepEqual((await gateway.graphql('{ a }')).data, { a: 1 });
});

test('names of the schema are not suggested when that is off', async (t) => {
  const mistakes: readonly { query: string; variables?: object }[] = [
    { query: '{ mee { id } }' },
    { query: '{ me { idd } }' },
    { query: '{ list(frst: 1) { id } }' },
    { query: '{ me { ... on Nod { id } } }' },
    { query: '{ me }' },
    { query: 'query ($x: Nod) { a }' },
    { query: 'query ($x: Int!) { me(n: $x) { id } }', variables: { x: '1' } },
  ];
  for (const [suggestions, expected] of [
    [false, 0],
    [true, 5],
  ] as const) {
    for (const engine of ['auto', 'stitched'] as const) {
      const gateway = await open(t, { suggestions, engine });
      let count = 0;
      for (const { query, ...more } of mistakes) {
        const { errors } = await gateway.graphql(query, more);
        assert.ok(errors, query);
        if (/did you mean/i.test(JSON.stringify(errors))) count++;
      }
      assert.ok(suggestions ? count >= expected : count === 0, `${suggestions}: ${count}`);
    }
  }
});
