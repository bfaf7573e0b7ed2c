import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const anyRoute = [{ match: { path: '/api/*' }, rewrite: '/*', maxBodySize: '1gb' }];
const piece = Buffer.alloc(65_536, 'x');
const totalBytes = 256 * 1_048_576;

/** Writes as much as is taken; the counter shows how far it came. */
function pour(target: NodeJS.WritableStream, counter: { bytes: number }): void {
  while (counter.bytes < totalBytes) {
    counter.bytes += piece.length;
    if (!target.write(piece)) {
      target.once('drain', () => pour(target, counter));
      return;
    }
  }
  target.end();
}

/** Waits until a counter stands still for a while. */
async function settle(counter: { bytes: number }): Promise<void> {
  let before = -1;
  let since = performance.now();
  await until(() => {
    if (counter.bytes !== before) since = performance.now();
    before = counter.bytes;
    return counter.bytes > 0 && performance.now() - since > 400;
  }, 'the stream stands');
}

test('a client that does not read pauses the service, and gets every byte when it reads on', async (t) => {
  const gateway = await startGateway(t);
  const sent = { bytes: 0 };
  const service = await startServer(t, (_request, response) => pour(response, sent));
  await registerRest(gateway, 'pour', service.url, anyRoute);
  const client = httpRequest(`${gateway.url}/api/all`).end();
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  response.pause();
  await settle(sent);
  assert.ok(sent.bytes < 64 * 1_048_576, `${sent.bytes} bytes left the service`);
  let received = 0;
  for await (const chunk of response) received += (chunk as Buffer).length;
  assert.equal(received, totalBytes);
});

test('a service that does not read pauses the client, and gets every byte when it reads on', async (t) => {
  const gateway = await startGateway(t);
  const goOn = Promise.withResolvers<void>();
  const service = await startServer(t, async (request, response) => {
    await goOn.promise;
    let received = 0;
    for await (const chunk of request) received += (chunk as Buffer).length;
    response.end(String(received));
  });
  await registerRest(gateway, 'take', service.url, anyRoute);
  for (const headers of [{ 'content-length': totalBytes }, {}]) {
    const sent = { bytes: 0 };
    const client = httpRequest(`${gateway.url}/api/all`, { method: 'POST', headers });
    const answered = once(client, 'response');
    pour(client, sent);
    if ('content-length' in headers) {
      await settle(sent);
      assert.ok(sent.bytes < 64 * 1_048_576, `${sent.bytes} bytes left the client`);
      goOn.resolve();
    }
    const [response] = (await answered) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += chunk;
    assert.equal(text, String(totalBytes));
  }
});

/** Reads what a connection brings, as it comes. */
async function openEvents(url: string, path: string, headers: Record<string, string> = {}) {
  const client = httpRequest(url + path, { headers: { accept: 'text/event-stream', ...headers }, agent: false }).end();
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  const state = { text: '', ended: false, headers: response.headers, leave: () => client.destroy() };
  response.on('data', (chunk: Buffer) => {
    state.text += chunk.toString();
  });
  response.on('error', () => {});
  response.on('close', () => {
    state.ended = true;
  });
  return state;
}

test('events arrive one by one, Last-Event-ID passes, and the service learns when the client leaves', async (t) => {
  const gateway = await startGateway(t);
  let events: ServerResponse | undefined;
  let lastEventId: unknown;
  let left = false;
  const service = await startServer(t, (request, response) => {
    lastEventId = request.headers['last-event-id'];
    response.once('close', () => {
      left = true;
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    events = response;
  });
  await registerRest(gateway, 'events', service.url, anyRoute);
  const client = await openEvents(gateway.url, '/api/events', { 'last-event-id': '41' });
  assert.equal(lastEventId, '41');
  for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
    events?.write(event);
    await until(() => client.text.endsWith(event), event);
  }
  client.leave();
  await until(() => left, 'the service learns of it');
});

test('streams of events outlive idle time, deadline, a new configuration, and a new graph', async (t) => {
  const gateway = await startGateway(t, { limits: { bodyIdleTimeout: '100ms' }, policies: { deadline: '200ms' } });
  const open: ServerResponse[] = [];
  const service = await startServer(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    open.push(response);
  });
  const instances = [{ id: 'events-1', url: service.url }];
  await registerRest(gateway, 'events', service.url, anyRoute);
  const clients = await Promise.all([1, 2, 3].map(() => openEvents(gateway.url, '/api/events')));
  const graphql = { kind: 'plain', schema: 'type Query { now: String }' };
  const swaps = [
    ['/services/other', { graphql, instances: [{ url: service.url }] }],
    ['/services/events', { routes: [...anyRoute, { match: { path: '/more' } }], instances, timeout: '1s' }],
    ['/policies/limit', { bind: { gateway: true }, timeout: '2s' }],
  ] as const;
  for (const [path, body] of swaps) {
    const answer = await gateway.admin('PUT', path, body);
    assert.ok(answer.status < 300, `${path}: ${JSON.stringify(answer.body)}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const each of open) each.write(`data: ${path}\n\n`);
    await until(() => clients.every(({ text }) => text.endsWith(`${path}\n\n`)), path);
  }
  assert.ok(clients.every(({ ended }) => !ended));
  for (const client of clients) client.leave();
});

test('a part of a representation is asked for and answered as if nobody stood between', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, (request, response) => {
    const fields = { 'content-range': 'bytes 2-4/10', 'content-length': 3, 'accept-ranges': 'bytes' };
    response.writeHead(request.headers.range === 'bytes=2-4' ? 206 : 200, fields).end('cde');
  });
  await registerRest(gateway, 'parts', service.url, anyRoute);
  const answer = await fetch(`${gateway.url}/api/file`, { headers: { range: 'bytes=2-4' } });
  assert.equal(answer.status, 206);
  assert.equal(answer.headers.get('content-range'), 'bytes 2-4/10');
  assert.equal(await answer.text(), 'cde');
});

test('a body may take longer than the deadline as long as it flows, and ends with 408 once it stands for the idle time', async (t) => {
  const gateway = await startGateway(t, { policies: { deadline: '1s', timeout: '1s' } });
  const service = await startServer(t, (request, response) => {
    let received = 0;
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    request.on('end', () => response.end(`got ${received}`));
  });
  await registerRest(gateway, 'slow', service.url, [{ match: { path: '/api/*' }, idleTimeout: '900ms' }]);
  const piece = 'x'.repeat(1_024);
  const post = async (pieces: number): Promise<string> => {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    t.after(() => socket.destroy());
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.write(`POST /api/x HTTP/1.1\r\nhost: a\r\ncontent-length: ${20 * piece.length}\r\n\r\n`);
    for (let i = 0; i < pieces; i++) {
      await new Promise((resolve) => setTimeout(resolve, 80));
      if (!socket.destroyed) socket.write(piece);
    }
    await until(() => /got|}/.test(text) || socket.closed, 'an answer');
    return text;
  };
  assert.match(await post(20), /^HTTP\/1.1 200.*got 20480/s);
  const stalled = await post(3);
  assert.match(stalled, /^HTTP\/1.1 408/);
  assert.match(stalled, /"code":"REQUEST_TIMEOUT"/);
});

test('an answer that began is cut when its client stops sending, and the instance is not blamed', async (t) => {
  const gateway = await startGateway(t, { policies: { timeout: '1s' } });
  const service = await startServer(t, (request, response) => request.pipe(response));
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' }, idleTimeout: '400ms' }]);
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {}).resume();
  socket.write('POST /api/x HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\nxxx');
  await until(() => socket.closed, 'the cut');
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /selvage_slow_clients_total\{[^}]*kind="body"[^}]*\} 1/);
  assert.doesNotMatch(body, /GATEWAY_TIMEOUT/);
});
