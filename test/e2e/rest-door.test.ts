import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const anyRoute = [{ match: { path: '/api/*' }, rewrite: '/*' }];

test('path, query, method, headers and body arrive as they were sent; status, headers and body come back as they were', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.writeHead(418, 'Short And Stout', { 'x-answer': 'yes', etag: '"7"' });
    response.end(
      JSON.stringify({ method: request.method, url: request.url, body, type: request.headers['content-type'] }),
    );
  });
  await registerRest(gateway, 'echo', service.url, anyRoute);
  const response = await fetch(`${gateway.url}/api/a%20b/c;d=1?x=%2F&y=1`, {
    method: 'PATCH',
    headers: { 'content-type': 'text/odd' },
    body: 'päyload',
  });
  assert.equal(response.status, 418);
  assert.equal(response.headers.get('x-answer'), 'yes');
  assert.equal(response.headers.get('etag'), '"7"');
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.deepEqual(await response.json(), {
    method: 'PATCH',
    url: '/a%20b/c;d=1?x=%2F&y=1',
    body: 'päyload',
    type: 'text/odd',
  });
});

test('rewrites use parameters and the wildcard, raw', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (request, response) => response.end(request.url));
  await registerRest(gateway, 'echo', service.url, [
    { match: { path: '/users/:id/orders/:order' }, rewrite: '/v2/orders/:order/of/:id' },
    { match: { path: '/files/*' }, rewrite: '/store/*' },
    { match: { path: '/plain' } },
  ]);
  const ask = async (path: string) => (await fetch(gateway.url + path)).text();
  assert.equal(await ask('/users/7/orders/a%20b?q=1'), '/v2/orders/a%20b/of/7?q=1');
  assert.equal(await ask('/files/x/y%3Fz'), '/store/x/y%3Fz');
  assert.equal(await ask('/plain?a'), '/plain?a');
});

test('hop-by-hop fields and all that Connection names are dropped both ways; the gateway adds its own', async (t) => {
  const gateway = await startGateway(t);
  let seen: string[] = [];
  const service = await startServer(t, (request, response) => {
    seen = request.rawHeaders;
    response.writeHead(200, {
      connection: 'keep-alive, x-inner',
      'x-inner': 'secret',
      'x-outer': 'fine',
      'proxy-authenticate': 'Basic',
    });
    response.end('ok');
  });
  await registerRest(gateway, 'echo', service.url, anyRoute);
  const answer = await new Promise<{ headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
    const headers = {
      connection: 'close, x-private',
      'x-private': '1',
      'keep-alive': 'timeout=5',
      te: 'trailers',
      'proxy-authorization': 'Basic x',
      'x-forwarded-for': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      'x-request-timeout-ms': '99999999',
      'x-own': 'Value',
    };
    httpRequest(`${gateway.url}/api/x`, { headers }, (response) => response.resume().on('end', () => resolve(response)))
      .on('error', reject)
      .end();
  });
  const sent = Object.fromEntries(
    Array.from({ length: seen.length / 2 }, (_, i) => [seen[2 * i]?.toLowerCase(), seen[2 * i + 1]]),
  );
  for (const dropped of ['x-private', 'keep-alive', 'te', 'proxy-authorization'])
    assert.equal(sent[dropped], undefined, dropped);
  assert.equal(sent['x-own'], 'Value');
  assert.equal(sent['via'], '1.1 selvage');
  assert.equal(sent['x-forwarded-for'], '127.0.0.1');
  assert.equal(sent['x-forwarded-proto'], 'http');
  assert.equal(sent['x-forwarded-host'], new URL(gateway.url).host);
  assert.match(sent['forwarded'] ?? '', /for=127\.0\.0\.1/);
  assert.ok(!(sent['forwarded'] ?? '').includes('6.6.6.6'));
  assert.match(sent['x-request-id'] ?? '', /^[0-9a-f-]{36}$/);
  assert.ok(Number(sent['x-request-timeout-ms']) <= 30_000, 'what is left, and not what the client wrote');
  assert.equal(sent['host'], new URL(service.url).host);
  assert.equal(answer.headers['x-inner'], undefined);
  assert.equal(answer.headers['proxy-authenticate'], undefined);
  assert.equal(answer.headers['x-outer'], 'fine');
});

test('behind a trusted proxy the chain of addresses is kept', async (t) => {
  const gateway = await startGateway(t, { trustedProxies: ['127.0.0.1', '10.0.0.0/8'] });
  const service = await startServer(t, (request, response) => response.end(JSON.stringify(request.headers)));
  await registerRest(gateway, 'echo', service.url, anyRoute);
  const headers = {
    'x-forwarded-for': '6.6.6.6, 203.0.113.9, 10.1.1.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'shop.example',
  };
  const seen = await (await fetch(`${gateway.url}/api/x`, { headers })).json();
  assert.match(seen['x-forwarded-for'], /203\.0\.113\.9, 10\.1\.1\.1, 127\.0\.0\.1$/);
  assert.equal(seen['x-forwarded-proto'], 'https');
  assert.equal(seen['x-forwarded-host'], 'shop.example');
});

test('no route is 404, another method 405 with Allow, both as problem+json with the request id', async (t) => {
  const gateway = await startGateway(t);
  await registerRest(gateway, 'some', 'http://127.0.0.1:9', [{ match: { path: '/a', methods: ['GET', 'PUT'] } }]);
  const missing = await fetch(`${gateway.url}/b`);
  assert.deepEqual([missing.status, missing.headers.get('content-type')], [404, 'application/problem+json']);
  const problem = await missing.json();
  assert.equal(problem.code, 'ROUTE_NOT_FOUND');
  assert.equal(problem.requestId, missing.headers.get('x-request-id'));
  const wrong = await fetch(`${gateway.url}/a`, { method: 'POST' });
  assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD, PUT']);
});

test('routes are told apart by host', async (t) => {
  const gateway = await startGateway(t);
  const one = await startServer(t, (_, response) => response.end('one'));
  const two = await startServer(t, (_, response) => response.end('two'));
  const { host } = new URL(gateway.url);
  await registerRest(gateway, 'one', one.url, [{ match: { path: '/x', host } }]);
  await registerRest(gateway, 'two', two.url, [{ match: { path: '/x', host: 'other.example' } }]);
  assert.equal(await (await fetch(`${gateway.url}/x`)).text(), 'one');
});

test('a download is streamed: the head arrives while the service still holds the body', async (t) => {
  const gateway = await startGateway(t);
  const release = Promise.withResolvers<void>();
  const service = await startServer(t, async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: first\n\n');
    await release.promise;
    response.end('data: last\n\n');
  });
  await registerRest(gateway, 'events', service.url, anyRoute);
  const response = await fetch(`${gateway.url}/api/events`);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), 'data: first\n\n');
  release.resolve();
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), 'data: last\n\n');
  assert.equal((await reader.read()).done, true);
});

test('large bodies pass whole in both directions', async (t) => {
  const gateway = await startGateway(t, { limits: { maxBodySize: '64mb' } });
  const service = await startServer(t, (request, response) => {
    response.writeHead(200);
    request.pipe(response);
  });
  await registerRest(gateway, 'echo', service.url, anyRoute);
  const sent = Buffer.alloc(20_000_000, 'selvage ');
  const response = await fetch(`${gateway.url}/api/echo`, { method: 'POST', body: sent });
  const received = Buffer.from(await response.arrayBuffer());
  const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  assert.equal(digest(received), digest(sent));
});

test('a service that dies in the middle of a body is seen as a truncated answer, never as a whole one', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (request, response) => {
    response.writeHead(200, request.url === '/known' ? { 'content-length': '1000' } : {});
    response.write('half');
    setTimeout(() => response.socket?.destroy(), 20);
  });
  await registerRest(gateway, 'dying', service.url, anyRoute);
  for (const path of ['known', 'chunked']) {
    await assert.rejects(async () => (await fetch(`${gateway.url}/api/${path}`)).text(), path);
  }
});

test('a client that leaves takes its request at the service with it', async (t) => {
  const gateway = await startGateway(t);
  let arrived = false;
  let aborted = false;
  const service = await startServer(t, (_, response) => {
    arrived = true;
    response.on('close', () => {
      aborted = !response.writableFinished;
    });
  });
  await registerRest(gateway, 'slow', service.url, anyRoute);
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  socket.write('GET /api/slow HTTP/1.1\r\nhost: x\r\n\r\n');
  await until(() => arrived, 'the request arrives');
  socket.destroy();
  await until(() => aborted, 'the service sees the client leave');
});

test('HEAD, 204 and 304 have no body', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (request, response) => {
    const status = Number(request.url?.slice(1));
    response.writeHead(status, status === 200 ? { 'content-length': '5' } : {});
    response.end(status === 200 ? 'hello' : undefined);
  });
  await registerRest(gateway, 'codes', service.url, anyRoute);
  const head = await fetch(`${gateway.url}/api/200`, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '5', '']);
  assert.equal((await fetch(`${gateway.url}/api/204`)).status, 204);
  assert.equal((await fetch(`${gateway.url}/api/304`)).status, 304);
});

test('a service that is too late is a 504, one that breaks off a 502, one that is away a 503', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (request, response) => {
    if (request.url === '/break') response.socket?.destroy();
  });
  await registerRest(gateway, 'bad', service.url, [{ ...anyRoute[0], timeout: '100ms' }]);
  await registerRest(gateway, 'away', 'http://127.0.0.1:1', [{ match: { path: '/away' } }]);
  const post = async (path: string) => {
    const response = await fetch(gateway.url + path, { method: 'POST', body: 'x' });
    const problem = await response.json();
    return [response.status, problem.code, problem.service];
  };
  assert.deepEqual(await post('/api/slow'), [504, 'GATEWAY_TIMEOUT', 'bad']);
  assert.deepEqual(await post('/api/break'), [502, 'DOWNSTREAM_SERVICE_ERROR', 'bad']);
  await post('/away');
  assert.deepEqual(await post('/away'), [503, 'SERVICE_UNAVAILABLE', 'away']);
});
