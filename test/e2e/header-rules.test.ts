import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type TestContext, test } from 'node:test';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const apiKeys = ['one', 'two'].map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));

/** A GraphQL service that answers `{ NAME }` with headers of its own, and notes what it gets. */
async function startService(
  t: TestContext,
  name: string,
  headers: Record<string, string | string[]> = {},
  delayMs = 0,
) {
  const seen: IncomingHttpHeaders[] = [];
  const server = await startServer(t, (request, response) => {
    seen.push(request.headers);
    setTimeout(() => {
      response.writeHead(200, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ data: { [name]: name } }));
    }, delayMs);
  });
  const schema = `type Query { ${name}: String }`;
  const definition = { graphql: { kind: 'plain', schema }, instances: [{ id: '1', url: server.url }] };
  return { seen, definition };
}

async function register(gateway: Awaited<ReturnType<typeof startGateway>>, services: Record<string, object>) {
  const answer = await gateway.admin('PUT', '/services', { services, mode: 'merge' });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

test('rules of gateway, service and route add up at the REST door, both ways, and errors have them too', async (t) => {
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    policies: {
      headers: {
        request: [
          { set: 'x-level', value: 'gateway' },
          { set: 'x-viewer', value: '{viewer.id}' },
        ],
        response: [{ set: 'x-powered', value: 'edge {request.id}' }, { remove: 'x-internal-*' }],
      },
    },
  });
  const seen: string[][] = [];
  const service = await startServer(t, (request, response) => {
    seen.push(request.rawHeaders);
    response.writeHead(200, { 'x-internal-host': 'db-7', 'X-Powered': 'php' });
    response.end();
  });
  const routes = [
    {
      match: { path: '/api/:id' },
      headers: {
        request: [{ add: 'x-level', value: 'route {route.params.id}' }, { remove: 'x-secret' }],
        response: [{ set: 'x-service', value: '{service}' }],
      },
    },
  ];
  const headers = { request: [{ add: 'x-level', value: 'service' }] };
  await registerRest(gateway, 'shop', service.url, routes, { headers });
  const answer = await ask(`${gateway.url}/api/a%20b?x=1`, {
    headers: { 'x-request-id': 'abc', 'x-level': 'client', 'x-viewer': 'forged', 'x-secret': 's' },
  });
  const [got = []] = seen;
  const levels = got.filter((_, index) => index % 2 === 1 && got[index - 1] === 'x-level');
  assert.deepEqual(levels, ['gateway', 'service', 'route a%20b']);
  assert.ok(!got.includes('forged') && !got.includes('x-secret'), 'what has no value is not what the client says');
  assert.deepEqual(
    [answer.headers['x-powered'], answer.headers['x-service'], answer.headers['x-internal-host']],
    ['edge abc', 'shop', undefined],
  );
  const lost = await ask(`${gateway.url}/nowhere`, { headers: { 'x-request-id': 'def' } });
  assert.deepEqual([lost.status, lost.headers['x-powered']], [404, 'edge def']);
});

test('requests to GraphQL services follow the rules of gateway, GraphQL and service', async (t) => {
  const a = await startService(t, 'a');
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    policies: { headers: { request: [{ set: 'x-level', value: 'gateway' }] } },
    graphql: {
      headers: { request: [{ add: 'x-level', value: 'graphql' }], response: [{ set: 'x-door', value: 'graphql' }] },
    },
  });
  const headers = {
    request: [
      { add: 'x-level', value: '{service} for {viewer.id}' },
      { set: 'content-type', value: 'text/plain' },
    ],
  };
  await register(gateway, { a: { ...a.definition, headers } });
  const answer = await gateway.graphql('{ a }', { headers: { 'x-api-key': 'one' } });
  assert.deepEqual([answer.data, answer.headers.get('x-door')], [{ a: 'a' }, 'graphql']);
  assert.equal(a.seen.at(-1)?.['x-level'], 'gateway, graphql, a for one');
  assert.equal(a.seen.at(-1)?.['content-type'], 'application/json');
});

test('requests that rules tell apart are neither shared nor answered from what is kept', async (t) => {
  const a = await startService(t, 'a', {}, 50);
  const gateway = await startGateway(t, {
    graphql: { cache: {}, shareOperations: true },
    fields: { 'Query.a': { cache: { ttl: '1m' } } },
  });
  const headers = {
    request: [
      { set: 'x-tenant', value: '{request.header.x-tenant}' },
      { set: 'x-trace', value: '{request.id}' },
    ],
  };
  await register(gateway, { a: { ...a.definition, headers } });
  const tenants = () => a.seen.map((one) => one['x-tenant']).toSorted();
  const get = (tenant: string) => gateway.graphql('{ a }', { headers: { 'x-tenant': tenant } });
  await Promise.all([get('red'), get('red'), get('blue')]);
  assert.deepEqual(tenants(), ['blue', 'red']);
  await Promise.all([get('red'), get('blue')]);
  assert.deepEqual(tenants(), ['blue', 'red'], 'both are kept, each for itself');
});

test('headers of services reach the client of a GraphQL answer as their rules say, and no others', async (t) => {
  const headers = (n: number, cache: string) => ({
    'x-list': `l${n}`,
    'x-first': `f${n}`,
    'x-last': `z${n}`,
    'x-only-b': `o${n}`,
    'x-hidden': 'h',
    'cache-control': cache,
    'set-cookie': [`c${n}=1; Path=/`, `d${n}=1`],
  });
  for (const engine of ['auto', 'stitched'] as const) {
    const a = await startService(t, 'a', headers(1, 'public, max-age=60'));
    const b = await startService(t, 'b', headers(2, 'private, max-age=30'), 80);
    const gateway = await startGateway(t, {
      graphql: {
        engine,
        responseHeaders: [
          { name: 'X-List' },
          { name: 'x-first', merge: 'first' },
          { name: 'x-last', merge: 'last' },
          { name: 'x-only-b', services: ['b'] },
          { name: 'cache-control', merge: 'strictest' },
          { name: 'set-cookie' },
        ],
      },
    });
    await register(gateway, { a: a.definition, b: b.definition });
    const answer = await gateway.graphql('{ a b }');
    assert.deepEqual(answer.data, { a: 'a', b: 'b' });
    const names = ['x-list', 'x-first', 'x-last', 'x-only-b', 'x-hidden', 'cache-control'];
    assert.deepEqual(
      names.map((name) => answer.headers.get(name)),
      ['l1, l2', 'f1', 'z2', 'o2', null, 'private, max-age=30'],
      engine,
    );
    assert.deepEqual(answer.headers.getSetCookie(), ['c1=1; Path=/', 'd1=1', 'c2=1; Path=/', 'd2=1']);
  }
});

test('who shares a request gets its headers, but never its cookies, and answers with cookies are not kept', async (t) => {
  for (const shareOperations of [false, true]) {
    const a = await startService(t, 'a', { 'x-list': 'l', 'set-cookie': 'session=1' }, 80);
    const gateway = await startGateway(t, {
      graphql: { shareOperations, cache: {}, responseHeaders: [{ name: 'x-list' }, { name: 'set-cookie' }] },
      fields: { 'Query.a': { cache: { ttl: '1m' } } },
    });
    await register(gateway, { a: a.definition });
    const answers = await Promise.all([1, 2, 3].map(() => gateway.graphql('{ a }')));
    assert.equal(a.seen.length, 1, 'they were shared');
    assert.deepEqual(
      answers.map(({ headers }) => headers.get('x-list')),
      ['l', 'l', 'l'],
    );
    assert.equal(answers.filter(({ headers }) => headers.getSetCookie().length > 0).length, 1);
    const again = await gateway.graphql('{ a }');
    assert.deepEqual([again.headers.getSetCookie(), a.seen.length], [['session=1'], 2]);
  }
});

test('a route that passes credentials on under another name keeps nothing for others', async (t) => {
  const gateway = await startGateway(t);
  let count = 0;
  const service = await startServer(t, (_, response) => response.end(String(++count)));
  const cache = { ttl: '1m' };
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/renamed' }, cache, headers: { request: [{ rename: 'cookie', to: 'x-cookie' }] } },
    {
      match: { path: '/copied' },
      cache,
      headers: { request: [{ set: 'x-cookie', value: '{request.header.cookie}' }, { remove: 'cookie' }] },
    },
    { match: { path: '/removed' }, cache, headers: { request: [{ remove: 'cookie' }] } },
  ]);
  const get = async (path: string, cookie: string) => (await ask(gateway.url + path, { headers: { cookie } })).text;
  for (const path of ['/renamed', '/copied']) assert.notEqual(await get(path, 'a=1'), await get(path, 'a=2'));
  assert.equal(await get('/removed', 'a=1'), await get('/removed', 'a=2'), 'the service cannot tell them apart');
});

test('what is called public is kept for each apart whom rules tell the service of', async (t) => {
  const a = await startService(t, 'a');
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    graphql: { cache: {} },
    fields: { 'Query.a': { cache: { ttl: '1m', scope: 'public' } } },
  });
  const headers = { request: [{ set: 'x-tenant', value: '{viewer.id}' }] };
  await register(gateway, { a: { ...a.definition, headers } });
  for (const key of ['one', 'two', 'one', 'two']) await gateway.graphql('{ a }', { headers: { 'x-api-key': key } });
  assert.deepEqual(
    a.seen.map((one) => one['x-tenant']),
    ['one', 'two'],
  );
});
