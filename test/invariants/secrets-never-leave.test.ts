import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

// Invariant 7: secrets, tokens, and upstream stack traces never reach a client, a log line or a metric label.

const secrets = [
  'sk-live-9f8e7d6c5b',
  'eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LXBheWxvYWQ.c2lnbmF0dXJl',
  'cookie-7261626974',
  'admin-token-4d5e6f',
];
const [apiKey = '', jwt = '', cookie = '', adminToken = ''] = secrets;
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

test('no secret and no stack trace is in any answer, log line or metric', async (t) => {
  const adminHeaders = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  const gateway = await startGateway(t, {
    authentication: {
      apiKeys: [{ name: 'partner', sha256: digest(apiKey) }],
      jwt: [{ issuer: 'http://127.0.0.1:1/nobody', audience: 'x' }],
    },
    admin: { tokens: [{ name: 'ops', sha256: digest(adminToken), role: 'admin' }] },
  });
  const graphql = await startPlainGraphql(t, 'type Query { broken: Int fine: Int }', {
    Query: {
      fine: () => 1,
      broken() {
        throw Object.assign(new Error('the database refused'), {
          extensions: {
            code: 'DB',
            stacktrace: ['Error: at /srv/secret-path/db.js:1'],
            exception: { stack: 'at /srv/secret-path' },
          },
        });
      },
    },
  });
  const rest = await startServer(t, (request, response) => {
    if (request.url === '/cut') return response.socket?.destroy();
    response.end('fine');
  });
  const put = (path: string, body: object) =>
    fetch(gateway.adminUrl + path, { method: 'PUT', headers: adminHeaders, body: JSON.stringify(body) });
  await put('/services/graph', { graphql: {}, instances: [{ url: graphql.url }] });
  await put('/services/rest', {
    routes: [{ match: { path: '/rest/*' }, rewrite: '/*' }],
    instances: [{ url: rest.url }],
  });

  const seen: string[] = [];
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(gateway.url + path, init);
    seen.push(JSON.stringify([...response.headers]), await response.text());
    return response.status;
  };
  const query = (text: string) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': apiKey, cookie: `session=${cookie}` },
    body: JSON.stringify({ query: text }),
  });
  assert.equal(await ask('/graphql', query('{ broken fine }')), 200);
  assert.equal(await ask('/graphql', query('{ nothing }')), 200);
  assert.equal(await ask('/rest/ok', { headers: { 'x-api-key': apiKey, cookie } }), 200);
  assert.equal(await ask('/rest/ok', { headers: { 'x-api-key': `${apiKey}wrong` } }), 401);
  assert.ok([401, 503].includes(await ask('/rest/ok', { headers: { authorization: `Bearer ${jwt}` } })));
  assert.equal(await ask(`/rest/ok?token=${jwt}&key=${apiKey}`), 200);
  assert.equal(await ask('/rest/cut', { method: 'POST', headers: { 'x-api-key': apiKey }, body: 'x' }), 502);
  assert.equal(
    (await fetch(`${gateway.adminUrl}/services`, { headers: { authorization: `Bearer ${adminToken}x` } })).status,
    401,
  );
  for (const path of ['/services', '/audit', '/graph', '/routes', '/metrics']) {
    const response = await fetch(gateway.adminUrl + path, { headers: adminHeaders });
    assert.equal(response.status, 200);
    if (path !== '/services' && path !== '/audit') seen.push(await response.text());
  }
  await gateway.gateway.stop();
  assert.ok(gateway.lines.length > 5, 'there are log lines to look at');
  for (const text of [...seen, JSON.stringify(gateway.lines)]) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `found ${secret} in ${text.slice(0, 300)}`);
    assert.ok(!text.includes('secret-path'), `found a stack trace of a service in ${text.slice(0, 300)}`);
  }
  for (const text of seen) {
    assert.ok(!/\bat .+\.[jt]s:\d+/.test(text), `found a stack trace in ${text.slice(0, 300)}`);
    assert.ok(!/ECONN|UND_ERR/.test(text), `found an inner error in ${text.slice(0, 300)}`);
  }
});

test('an error that nobody expected says nothing but that it happened', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('<html>stack at /srv/x.js:1'),
  );
  await gateway.admin('PUT', '/services/odd', {
    graphql: { schema: 'type Query { odd: Int }', kind: 'plain' },
    instances: [{ url: service.url }],
  });
  const { errors } = await gateway.graphql('{ odd }');
  assert.equal(errors?.[0]?.extensions['code'], 'DOWNSTREAM_SERVICE_ERROR');
  assert.ok(!JSON.stringify(errors).includes('srv'));
});
