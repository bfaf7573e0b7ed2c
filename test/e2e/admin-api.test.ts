import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { federated, startServer, startSubgraph } from '../support/subgraph.ts';

const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const routes = [{ match: { path: '/a/*' } }];

test('a service registers in two calls, is listed, and is removed', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (_, response) => response.end('from a'));
  const created = await gateway.admin('PUT', '/services/a', { routes });
  assert.deepEqual([created.status, created.body.created], [201, true]);
  assert.equal((await fetch(`${gateway.url}/a/x`)).status, 503, 'no instance yet');
  const registered = await gateway.admin('PUT', '/services/a/instances/a-1', { url: service.url, leaseSeconds: 30 });
  assert.equal(registered.status, 201);
  assert.equal(await (await fetch(`${gateway.url}/a/x`)).text(), 'from a');
  assert.equal(
    (await gateway.admin('PUT', '/services/a/instances/a-1', { url: service.url, leaseSeconds: 30 })).status,
    200,
    'a heartbeat',
  );

  const shown = (await gateway.admin('GET', '/services/a')).body;
  assert.equal(shown.instances[0].id, 'a-1');
  assert.equal(shown.instances[0].state, 'healthy');
  assert.ok(shown.instances[0].leaseRemainingSeconds > 0);
  assert.equal((await gateway.admin('GET', '/routes')).body.routes[0].service, 'a');
  const probed = await gateway.admin('POST', '/services/a/health-check');
  assert.equal(probed.body.instances[0].state, 'healthy');

  assert.equal((await gateway.admin('POST', '/services/a/instances/a-1/drain')).status, 200);
  assert.equal((await fetch(`${gateway.url}/a/x`)).status, 503, 'a draining instance takes no new calls');
  assert.equal((await gateway.admin('DELETE', '/services/a/instances/a-1')).status, 204);
  assert.equal((await gateway.admin('DELETE', '/services/a')).status, 204);
  assert.equal((await gateway.admin('GET', '/services/a')).status, 404);
  const actions = (await gateway.admin('GET', '/audit')).body.entries;
  assert.ok(actions.length >= 5);
  assert.ok(actions.every((entry: { author: string }) => entry.author === 'local'));
});

test('an instance whose lease runs out leaves the rotation', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (_, response) => response.end('ok'));
  await gateway.admin('PUT', '/services/a', { routes });
  await gateway.admin('PUT', '/services/a/instances/a-1', { url: service.url, leaseSeconds: 1 });
  assert.equal((await fetch(`${gateway.url}/a/x`)).status, 200);
  await until(
    async () => (await gateway.admin('GET', '/services/a')).body.instances.length === 0,
    'the lease runs out',
  );
  assert.equal((await fetch(`${gateway.url}/a/x`)).status, 503);
});

test('If-Match guards against a change in between', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.admin('PUT', '/services/a', { routes });
  const etag = first.headers.get('etag') ?? '';
  const put = (ifMatch: string, path: string) =>
    fetch(`${gateway.adminUrl}/services/a`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'if-match': ifMatch },
      body: JSON.stringify({ routes: [{ match: { path } }] }),
    });
  assert.equal((await put(etag, '/b')).status, 200);
  const late = await put(etag, '/c');
  assert.equal(late.status, 412);
  assert.equal((await late.json()).code, 'PRECONDITION_FAILED');
});

test('all mistakes of a registration are named at once, and nothing changes', async (t) => {
  const gateway = await startGateway(t);
  const { revision } = (await gateway.admin('GET', '/services')).body;
  const answer = await gateway.admin('PUT', '/services/a', {
    routes: [{ match: { path: 'no-slash', methods: ['FETCH'] } }],
    instances: [{ url: 'ftp://x', weight: 0 }],
    loadBalancing: { algorithm: 'magic' },
    colour: 'red',
  });
  assert.equal(answer.status, 400);
  const text = JSON.stringify(answer.body.reasons);
  for (const part of ['path', 'methods', 'url', 'weight', 'algorithm', 'colour']) assert.match(text, new RegExp(part));
  assert.equal((await gateway.admin('GET', '/services')).body.revision, revision);
});

const badUrls = [
  'http://169.254.169.254',
  'http://user:pw@127.0.0.1:1',
  'file:///etc/passwd',
  'http://0.0.0.0:1',
  'http://127.0.0.1:1/path',
  'http://[fe80::1]:80',
  'gopher://x',
  'http://',
];
test('an instance cannot be anywhere: schemes, credentials, link-local and metadata addresses are refused', async (t) => {
  const gateway = await startGateway(t);
  await gateway.admin('PUT', '/services/a', { routes });
  for (const url of badUrls) {
    const answer = await gateway.admin('PUT', '/services/a/instances/x', { url });
    assert.ok([400, 403].includes(answer.status), `${url}: ${answer.status}`);
  }
  assert.deepEqual((await gateway.admin('GET', '/services/a')).body.instances, []);
});

test('an allow-list narrows what may be registered', async (t) => {
  const gateway = await startGateway(t, { registration: { allow: ['10.1.0.0/16', '*.svc.example'] } });
  await gateway.admin('PUT', '/services/a', { routes });
  const put = async (url: string) => (await gateway.admin('PUT', '/services/a/instances/x', { url })).status;
  assert.equal(await put('http://127.0.0.1:80'), 403);
  assert.equal(await put('http://10.1.2.3:80'), 201);
});

test('two services cannot take the same path', async (t) => {
  const gateway = await startGateway(t);
  assert.equal((await gateway.admin('PUT', '/services/a', { routes })).status, 201);
  const answer = await gateway.admin('PUT', '/services/b', { routes });
  assert.equal(answer.status, 409);
  assert.match(JSON.stringify(answer.body), /\ba\b/);
});

test('many instances that register the same schema at once make one generation', async (t) => {
  const gateway = await startGateway(t);
  const sdl = 'type Query { a: Int }';
  const services = await Promise.all(Array.from({ length: 6 }, () => startSubgraph(t, sdl, { Query: { a: () => 1 } })));
  const register = async (url: string, index: number) => {
    await gateway.admin('PUT', '/services/many', { graphql: {} });
    return (await gateway.admin('PUT', `/services/many/instances/i-${index}`, { url })).body.graph;
  };
  const graphs = await Promise.all(services.map(({ url }, index) => register(url, index)));
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /selvage_graph_swaps_total 1\b/);
  assert.equal(new Set(graphs.slice(-1)).size, 1);
  assert.equal((await gateway.admin('GET', '/services/many')).body.instances.length, 6);
});

test('the graph, its SDL and the supergraph can be read', async (t) => {
  const gateway = await startGateway(t);
  await gateway.admin('PUT', '/services/p', {
    graphql: {
      schema: federated('type Query { p: P } type P @key(fields: "id") { id: ID! hidden: Int @inaccessible }'),
    },
  });
  assert.deepEqual((await gateway.admin('GET', '/graph')).body.services, ['p']);
  const sdl = (await gateway.admin('GET', '/graph/sdl')).body;
  assert.match(sdl, /type P \{/);
  assert.ok(!/join__|hidden|_entities|@key/.test(sdl));
  assert.match((await gateway.admin('GET', '/graph/supergraph')).body, /join__Graph/);
});

test('tokens: admins may all, teams their services, viewers look, others nothing', async (t) => {
  const tokens = [
    { name: 'ops', sha256: digest('t-ops'), role: 'admin' as const },
    { name: 'team-a', sha256: digest('t-a'), role: 'team' as const, services: ['a'] },
    { name: 'eye', sha256: digest('t-eye'), role: 'viewer' as const },
  ];
  const gateway = await startGateway(t, { admin: { tokens } });
  const call = async (token: string | null, method: string, path: string, body?: object) => {
    const response = await fetch(gateway.adminUrl + path, {
      method,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    await response.text();
    return response.status;
  };
  assert.equal(await call(null, 'GET', '/services'), 401);
  assert.equal(await call('wrong', 'GET', '/services'), 401);
  assert.equal(await call('t-eye', 'GET', '/services'), 200);
  assert.equal(await call('t-eye', 'PUT', '/services/a', { routes }), 403);
  assert.equal(await call('t-a', 'PUT', '/services/a', { routes }), 201);
  assert.equal(await call('t-a', 'PUT', '/services/b', { routes: [{ match: { path: '/b' } }] }), 403);
  assert.equal(
    await call('t-a', 'PUT', '/services', { services: { b: { routes: [{ match: { path: '/b' } }] } } }),
    403,
  );
  assert.equal(await call('t-a', 'PUT', '/services', { services: { a: { routes } }, mode: 'replace' }), 403);
  assert.equal(await call('t-a', 'PUT', '/services/b/instances/x', { url: 'http://127.0.0.1:1' }), 403);
  assert.equal(await call('t-a', 'DELETE', '/services/a'), 204);
  assert.equal(await call('t-ops', 'PUT', '/services/b', { routes: [{ match: { path: '/b' } }] }), 201);
  assert.equal(await call('t-ops', 'GET', '/metrics'), 200);
});

test('without tokens a name that was re-bound to this machine gets nothing', async (t) => {
  const gateway = await startGateway(t);
  const status = await new Promise((resolve, reject) => {
    httpRequest(`${gateway.adminUrl}/services`, { headers: { host: 'evil.example' } }, (response) =>
      resolve(response.resume().statusCode),
    )
      .on('error', reject)
      .end();
  });
  assert.equal(status, 403);
  const form = await fetch(`${gateway.adminUrl}/services/a/health-check`, {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(form.status, 415);
  assert.ok(
    gateway.lines.some(({ msg }) => /loopback/.test(String(msg))),
    'the log says that it is open on loopback',
  );
});
