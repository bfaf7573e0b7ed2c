/** One requirement at a route and at a field: both doors decide alike, for every kind of requirement and viewer. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { AuthorizeOptions } from '../../policies/authorize-options.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

type Outcome = 'passes' | 'UNAUTHENTICATED' | 'FORBIDDEN';

const viewers = {
  nobody: null,
  reader: { scope: 'read', roles: ['guest'] },
  editor: { roles: ['editor'], tenant: 'acme', level: 3 },
  auditor: { roles: ['auditor'], tenant: 'other' },
  admin: { roles: ['admin'] },
  mailer: { permissions: ['mail:send'] },
} as const;
type Name = keyof typeof viewers;

const passes = (...names: Name[]): Record<Name, Outcome> =>
  Object.fromEntries(
    (Object.keys(viewers) as Name[]).map((name) => [
      name,
      names.includes(name) ? 'passes' : name === 'nobody' ? 'UNAUTHENTICATED' : 'FORBIDDEN',
    ]),
  ) as Record<Name, Outcome>;

const table: { authorize: AuthorizeOptions; expected: Record<Name, Outcome> }[] = [
  { authorize: { authenticated: true }, expected: passes('reader', 'editor', 'auditor', 'admin', 'mailer') },
  { authorize: { scopes: ['read'] }, expected: passes('reader') },
  { authorize: { anyScopes: [['read', 'write'], ['other']] }, expected: passes() },
  { authorize: { roles: ['editor', 'guest'] }, expected: passes('reader', 'editor', 'admin') },
  { authorize: { permissions: ['mail:send'] }, expected: passes('mailer', 'auditor', 'admin') },
  { authorize: { permissions: ['article:write', 'article:read'] }, expected: passes('editor', 'auditor', 'admin') },
  { authorize: { expression: "claims.tenant == 'acme' && claims.level + 1 > 3" }, expected: passes('editor') },
  { authorize: { roles: ['editor'], expression: "claims.tenant == 'acme'" }, expected: passes('editor') },
  {
    authorize: { authenticated: false, expression: "request.headers['x-secret'] == 's' || 'editor' in viewer.roles" },
    expected: passes('editor'),
  },
  {
    authorize: { authenticated: false, expression: "request.address == '127.0.0.1' && request.path.startsWith('/')" },
    expected: passes('nobody', 'reader', 'editor', 'auditor', 'admin', 'mailer'),
  },
  { authorize: { expression: "'mail:send' in viewer.permissions && viewer.issuer != ''" }, expected: passes('mailer') },
];

test('both doors decide alike', async (t) => {
  await using issuer = await startTokenIssuer();
  const graph = await startSubgraph(t, `type Query { ${table.map((_, index) => `f${index}: String`).join(' ')} }`, {
    Query: Object.fromEntries(table.map((_, index) => [`f${index}`, () => 'yes'])),
  });
  const rest = await startServer(t, (_request, response) => response.end('"yes"'));
  const gateway = await startGateway(t, {
    authentication: { jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri, audience: 'shop' }] },
    authorization: { permissions: { editor: ['article:write', 'article:read'], auditor: '*' }, adminRole: 'admin' },
    fields: Object.fromEntries(table.map(({ authorize }, index) => [`Query.f${index}`, { authorize }])),
  });
  await registerGraphql(gateway, 'graph', graph.url);
  await registerRest(
    gateway,
    'rest',
    rest.url,
    table.map(({ authorize }, index) => ({ match: { path: `/f${index}` }, authorize })),
  );
  for (const [name, claims] of Object.entries(viewers)) {
    const headers: Record<string, string> =
      claims === null ? {} : { authorization: `Bearer ${await issuer.sign({ scope: undefined, ...claims })}` };
    for (const [index, { authorize, expected }] of table.entries()) {
      const answer = await gateway.graphql(`{ f${index} }`, { headers });
      const response = await fetch(`${gateway.url}/f${index}`, { headers });
      const body = await response.json();
      const title = `${name} ${JSON.stringify(authorize)}`;
      const atGraphql = answer.errors === undefined ? 'passes' : answer.errors[0]?.extensions['code'];
      const atRest = response.status === 200 ? 'passes' : body.code;
      assert.deepEqual([atGraphql, atRest], [expected[name as Name], expected[name as Name]], title);
      assert.equal(answer.status, response.status, title);
      assert.equal(answer.headers.get('www-authenticate'), response.headers.get('www-authenticate'), title);
      if (atRest === 'FORBIDDEN') {
        const asksScopes = authorize.scopes !== undefined || authorize.anyScopes !== undefined;
        assert.equal(
          response.headers.get('www-authenticate')?.includes('insufficient_scope') === true,
          asksScopes,
          title,
        );
      }
    }
  }
});

test('policies of services are decided by the configuration, and unknown ones are named in the log', async (t) => {
  const key = createHash('sha256').update('ada').digest('hex');
  const gateway = await startGateway(t, {
    authentication: { apiKeys: [{ name: 'ada', sha256: key, scopes: ['boss'] }] },
    authorization: { policies: { is_boss: { scopes: ['boss'] } } },
  });
  const graph = await startSubgraph(
    t,
    `type Query { pay: Int @policy(policies: [["is_boss"]]) secret: Int @policy(policies: [["forgotten"]]) any: Int @policy(policies: [["forgotten"], ["is_boss"]]) }`,
    { Query: { pay: () => 1, secret: () => 2, any: () => 3 } },
  );
  await registerGraphql(gateway, 'payroll', graph.url);
  const headers = { 'x-api-key': 'ada' };
  assert.deepEqual((await gateway.graphql('{ pay any }', { headers })).data, { pay: 1, any: 3 });
  assert.equal((await gateway.graphql('{ pay }')).status, 401);
  assert.equal((await gateway.graphql('{ secret }', { headers })).status, 403);
  const warning = gateway.lines.find((line) => line['policy'] === 'forgotten');
  assert.deepEqual(warning?.['services'], ['payroll']);
});

test('values of arguments may decide, of every field for itself', async (t) => {
  const key = createHash('sha256').update('ada').digest('hex');
  const gateway = await startGateway(t, {
    authentication: { apiKeys: [{ name: 'ada', sha256: key }] },
    fields: {
      'Query.order': { authorize: { expression: 'args.owner == viewer.id || args.first < 3', mode: 'filter' } },
    },
  });
  const graph = await startSubgraph(t, 'type Query { order(owner: ID, first: Int = 10): String }', {
    Query: { order: () => 'o' },
  });
  await registerGraphql(gateway, 'orders', graph.url);
  const query =
    'query ($me: ID, $n: Int) { mine: order(owner: $me) theirs: order(owner: "bob") few: order(first: $n) }';
  const { data, errors } = await gateway.graphql(query, {
    variables: { me: 'ada', n: 2 },
    headers: { 'x-api-key': 'ada' },
  });
  assert.deepEqual(data, { mine: 'o', theirs: null, few: 'o' });
  assert.deepEqual(
    errors?.map(({ path }) => path),
    [['theirs']],
  );
});

test('a mistake in an expression is one of the definition', async (t) => {
  const gateway = await startGateway(t);
  const routes = [{ match: { path: '/a' }, authorize: { expression: 'claims.tenant ==' } }];
  const { status, body } = await gateway.admin('PUT', '/services/a', { routes });
  assert.equal(status, 400);
  assert.equal(body.reasons[0].path, '/routes/0/authorize/expression');
  assert.match(body.reasons[0].message, /expected a CEL expression over `claims`, `viewer`, `request`, `args`/);
});
