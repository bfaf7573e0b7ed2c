import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { jwtVerify } from 'jose';
import { startGateway } from '../support/gateway.ts';
import { startOpenIdProvider } from '../support/openid-provider.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

test('a token of a real OpenID provider opens both doors as far as its scopes go', async (t) => {
  const provider = await startOpenIdProvider(['orders:read', 'profile:read', 'audit:read']);
  t.after(() => provider.close());
  const gateway = await startGateway(t, {
    authentication: { jwt: [{ issuer: provider.issuer, audience: provider.audience, algorithms: ['RS256', 'ES256'] }] },
    fields: { 'Query.audit': { authorize: { scopes: ['audit:read'] } } },
  });
  const graph = await startSubgraph(
    t,
    `type Query { me: User node: Node audit: String }
     interface Node { id: ID! email: String }
     type User implements Node @key(fields: "id") { id: ID! email: String @requiresScopes(scopes: [["profile:read"]]) name: String @authenticated }`,
    {
      Query: {
        me: () => ({ id: '1', email: 'ada@example', name: 'Ada' }),
        node: () => ({ __typename: 'User', id: '1', email: 'ada@example' }),
        audit: () => 'all fine',
      },
    },
  );
  const rest = await startServer(t, (request, response) =>
    response.end(JSON.stringify([request.headers['x-user-id'], request.headers['x-user-scopes']])),
  );
  await registerGraphql(gateway, 'graph', graph.url);
  await registerRest(gateway, 'rest', rest.url, [
    { match: { path: '/open' } },
    { match: { path: '/read' }, authorize: { scopes: ['orders:read'] } },
  ]);
  const bearer = async (scope: string) => ({ authorization: `Bearer ${await provider.token({ scope })}` });
  const reader = await bearer('orders:read profile:read');
  const auditor = await bearer('audit:read');
  const code = async (query: string, headers?: Record<string, string>) => {
    const { status, data, errors } = await gateway.graphql(query, headers ? { headers } : {});
    return errors === undefined ? data : [status, errors[0]?.extensions['code']];
  };
  const rested = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(gateway.url + path, { headers });
    const body = await response.json();
    return response.status === 200 ? body : [response.status, body.code];
  };

  assert.deepEqual(await code('{ me { id } }'), { me: { id: '1' } });
  assert.deepEqual(await code('{ me { name } }'), [401, 'UNAUTHENTICATED']);
  assert.deepEqual(await code('{ me { name } }', auditor), { me: { name: 'Ada' } });
  assert.deepEqual(await code('{ me { email } }', auditor), [403, 'FORBIDDEN']);
  assert.deepEqual(await code('{ me { email } }', reader), { me: { email: 'ada@example' } });
  assert.deepEqual(await code('{ node { email } }'), [401, 'UNAUTHENTICATED'], 'not around it by the interface');
  assert.deepEqual(await code('{ node { e: email } }', auditor), [403, 'FORBIDDEN']);
  assert.deepEqual(await code('{ node { ...F } } fragment F on Node { email }', reader), {
    node: { email: 'ada@example' },
  });
  assert.deepEqual(await code('{ audit }', reader), [403, 'FORBIDDEN']);
  assert.deepEqual(await code('{ audit }', auditor), { audit: 'all fine' });

  assert.deepEqual(await rested('/open'), [null, null]);
  assert.deepEqual(await rested('/read'), [401, 'UNAUTHENTICATED']);
  assert.deepEqual(await rested('/read', auditor), [403, 'FORBIDDEN']);
  const [id, scopes] = await rested('/read', reader);
  assert.ok(id);
  assert.match(scopes, /orders:read/);
  const tampered = { authorization: `${reader.authorization.slice(0, -6)}AAAAAA` };
  assert.deepEqual(
    await rested('/open', tampered),
    [401, 'UNAUTHENTICATED'],
    'a wrong credential is refused everywhere',
  );
  assert.deepEqual(await code('{ me { id } }', tampered), [401, 'UNAUTHENTICATED']);
});

test('where authentication is required only public routes and fields are open', async (t) => {
  const gateway = await startGateway(t, {
    authentication: {
      required: true,
      apiKeys: [{ name: 'partner', sha256: createHash('sha256').update('key').digest('hex') }],
    },
    fields: { 'Query.open': { public: true } },
  });
  const graph = await startSubgraph(t, 'type Query { open: Thing closed: Thing } type Thing @shareable { id: ID }', {
    Query: { open: () => ({ id: 1 }), closed: () => ({ id: 2 }) },
  });
  const rest = await startServer(t, (_, response) => response.end('{}'));
  await registerGraphql(gateway, 'graph', graph.url);
  await registerRest(gateway, 'rest', rest.url, [
    { match: { path: '/open' }, public: true },
    { match: { path: '/closed' } },
  ]);
  const key = { 'x-api-key': 'key' };
  assert.deepEqual((await gateway.graphql('{ open { id } }')).data, { open: { id: '1' } });
  assert.equal((await gateway.graphql('{ open { id } closed { id } }')).status, 401);
  assert.deepEqual((await gateway.graphql('{ closed { id } }', { headers: key })).data, { closed: { id: '2' } });
  assert.equal((await fetch(`${gateway.url}/open`)).status, 200);
  const closed = await fetch(`${gateway.url}/closed`);
  assert.equal(closed.status, 401);
  assert.ok(closed.headers.get('www-authenticate'));
  assert.equal((await fetch(`${gateway.url}/closed`, { headers: key })).status, 200);
  assert.equal((await fetch(`${gateway.url}/health/live`)).status, 200, 'health is for everyone');
});

test('an opaque token of a real OpenID provider opens both doors, and does not when it is withdrawn', async (t) => {
  const provider = await startOpenIdProvider(['orders:read', 'profile:read']);
  t.after(() => provider.close());
  const gateway = await startGateway(t, {
    authentication: {
      introspection: {
        ...provider.introspection,
        issuer: provider.issuer,
        audience: provider.audience,
        cacheFor: '1ms',
      },
      cookies: { token: '__Host-token' },
    },
  });
  const graph = await startSubgraph(t, 'type Query { name: String @authenticated rename: String }', {
    Query: { name: () => 'Ada', rename: () => 'Eve' },
  });
  const rest = await startServer(t, (request, response) => response.end(JSON.stringify(request.headers['x-user-id'])));
  await registerGraphql(gateway, 'graph', graph.url);
  await registerRest(gateway, 'rest', rest.url, [{ match: { path: '/read' }, authorize: { scopes: ['orders:read'] } }]);
  const token = await provider.token({ scope: 'orders:read', opaque: true });
  assert.equal(token.split('.').length, 1, 'it is no JWT');
  const bearer = { authorization: `Bearer ${token}` };
  const status = async (headers: Record<string, string>) => {
    const { status: read, headers: answered } = await fetch(`${gateway.url}/read`, { headers });
    const graphql = await gateway.graphql('{ name }', { headers });
    return [read, graphql.status, answered.get('retry-after')];
  };
  assert.deepEqual(await status(bearer), [200, 200, null]);
  assert.deepEqual(await status({ authorization: `Bearer ${token}x` }), [401, 401, null]);
  const cookie = `__Host-token=${token}`;
  assert.deepEqual(await status({ cookie, 'sec-fetch-site': 'same-origin' }), [200, 200, null]);
  assert.deepEqual(await status({ cookie, 'sec-fetch-site': 'cross-site' }), [200, 403, null], 'a GET is harmless');
  const other = await provider.token({ scope: 'profile:read', opaque: true });
  assert.deepEqual(await status({ authorization: `Bearer ${other}` }), [403, 200, null]);
  await provider.revoke(token);
  assert.deepEqual(await status(bearer), [401, 401, null]);
  await provider.close();
  assert.deepEqual(
    await status({ authorization: `Bearer ${other}` }),
    [503, 503, '1'],
    'nobody can say whether it is valid',
  );
  const metrics = await gateway.admin('GET', '/metrics');
  assert.match(metrics.body, /selvage_credential_checks_total\{kind="introspection",outcome="unavailable"\} \d/);
  assert.ok(!JSON.stringify(gateway.lines).includes(token), 'no line holds the token');
  assert.ok(gateway.lines.some(({ msg }) => String(msg).startsWith('credentials cannot')));
});

test('services of both doors get a signed token about the viewer, which no client can send', async (t) => {
  const secret = 'a secret of at least thirty-two characters';
  const gateway = await startGateway(t, {
    authentication: { apiKeys: [{ name: 'partner', sha256: createHash('sha256').update('key').digest('hex') }] },
    viewer: { headers: false, token: { secret } },
  });
  const graph = await startSubgraph(t, 'type Query { a: String }', { Query: { a: () => 'a' } });
  const heard: unknown[] = [];
  const rest = await startServer(t, (request, response) => {
    heard.push([request.headers['x-user-token'], request.headers['x-user-id']]);
    response.end('{}');
  });
  await registerGraphql(gateway, 'graph', graph.url);
  await registerRest(gateway, 'rest', rest.url, [{ match: { path: '/read' } }]);
  const forged = { 'x-user-token': 'forged', 'x-user-id': 'root' };
  await fetch(`${gateway.url}/read`, { headers: forged });
  await fetch(`${gateway.url}/read`, { headers: { ...forged, 'x-api-key': 'key' } });
  await gateway.graphql('{ a }', { headers: { 'x-api-key': 'key' } });
  const asked = graph.requests.filter(({ headers }) => headers['x-user-token'] !== undefined);
  const tokens = [(heard[1] as string[])[0], asked[0]?.headers['x-user-token']];
  assert.deepEqual(heard[0], [undefined, undefined]);
  for (const token of tokens) {
    const { payload } = await jwtVerify(String(token), Buffer.from(secret), {
      audience: 'services',
      typ: 'viewer+jwt',
    });
    assert.equal(payload.sub, 'partner');
  }
  assert.equal((heard[1] as unknown[])[1], undefined);
});
