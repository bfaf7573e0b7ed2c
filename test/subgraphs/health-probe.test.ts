import assert from 'node:assert/strict';
import type http from 'node:http';
import { test } from 'node:test';
import { probeHealth } from '../../subgraphs/health-probe.ts';
import { buildHealthSettings, type HealthOptions } from '../../subgraphs/health-settings.ts';
import { until } from '../support/registration.ts';
import { closedPort, startRawService, startService } from './stage.ts';

/** One look, with what a definition would say under `health`. */
function probe(url: string, health: HealthOptions, timeoutMs = 5_000): Promise<void> {
  return probeHealth({ url, check: buildHealthSettings({ health }).check, timeoutMs });
}

test('a probe of a path takes 200 to 399 for healthy, and everything else for not', async () => {
  await using service = await startService((request, response) => {
    response.writeHead(Number(request.url?.slice(1)) || 200, { location: '/503' }).end('x'.repeat(100_000));
  });
  for (const status of [200, 204, 302, 399]) await probe(service.url, { path: `/${status}` });
  for (const status of [400, 404, 500, 503]) {
    await assert.rejects(probe(service.url, { path: `/${status}` }), { message: `status ${status}`, connected: true });
  }
});

test('the statuses of a healthy answer can be named, one by one and as ranges', async () => {
  await using service = await startService((request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end();
  });
  const expectedStatuses = ['200-204', 418];
  for (const status of [200, 204, 418]) await probe(service.url, { path: `/${status}`, expectedStatuses });
  for (const status of [205, 302, 417, 419]) {
    await assert.rejects(probe(service.url, { path: `/${status}`, expectedStatuses }), { message: `status ${status}` });
  }
});

test('a probe of a path is a GET with the host and the headers that the options name', async () => {
  let seen: http.IncomingMessage | undefined;
  await using service = await startService((request, response) => {
    seen = request;
    response.end();
  });
  await probe(service.url, { host: 'shop.example', headers: { 'x-check': 'yes' } });
  assert.equal(seen?.method, 'GET');
  assert.equal(seen?.url, '/health');
  assert.equal(seen?.headers.host, 'shop.example');
  assert.equal(seen?.headers['x-check'], 'yes');
  assert.equal(seen?.headers['user-agent'], 'selvage-health-check');
});

test('a GraphQL probe wants data, and says what it got instead', async () => {
  const answers = [
    { status: 200, body: '{"data":{"__typename":"Query"}}', failure: null },
    { status: 200, body: '{"data":null,"errors":[{"message":"no"}]}', failure: 'no data' },
    { status: 200, body: '<html>', failure: 'no data' },
    { status: 200, body: 'null', failure: 'no data' },
    { status: 503, body: 'not yet', failure: 'status 503' },
    { status: 200, body: ' '.repeat(100_000), failure: 'an answer too long' },
  ];
  let asked = '';
  let next = 0;
  await using service = await startService((request, response) => {
    const { status, body } = answers[next] ?? { status: 500, body: '' };
    asked = `${request.method} ${request.url} ${request.headers['content-type']} `;
    request.on('data', (chunk) => {
      asked += chunk;
    });
    request.on('end', () => response.writeHead(status).end(body));
  });
  const { check } = buildHealthSettings({ health: { kind: 'graphql' }, graphql: { path: '/query' } });
  for (const [index, { failure }] of answers.entries()) {
    next = index;
    const look = probeHealth({ url: service.url, check, timeoutMs: 5_000 });
    if (failure === null) await look;
    else await assert.rejects(look, { message: failure, connected: true });
    assert.equal(asked, 'POST /query application/json {"query":"{__typename}"}');
  }
});

test('a TCP probe is content with a connection', async () => {
  await using silent = await startRawService(() => {});
  await probe(silent.url, { kind: 'tcp' });
});

test('a probe ends: by a connection, a refusal, silence, or a name that does not resolve', async () => {
  await using silent = await startRawService(() => {});
  const refused = `http://127.0.0.1:${await closedPort()}`;
  await probeHealth({ url: silent.url, check: null, timeoutMs: 5_000 });
  for (const kind of ['http', 'graphql'] as const) {
    await assert.rejects(probe(silent.url, { kind }, 50), { message: 'timeout', connected: true });
  }
  for (const kind of ['http', 'graphql', 'tcp'] as const) {
    await assert.rejects(probe(refused, { kind }), { code: 'ECONNREFUSED', connected: false });
    const lookup = (_name: string, _options: unknown, callback: (error: Error, address: string) => void) =>
      callback(new Error('not allowed'), '');
    const { check } = buildHealthSettings({ health: { kind } });
    await assert.rejects(probeHealth({ url: 'http://shop.example', check, timeoutMs: 5_000, lookup }), {
      message: 'not allowed',
      connected: false,
    });
  }
});

test('a probe over HTTP/2 ends the same ways, and leaves no connection behind', async () => {
  const open = new Set<object>();
  await using silent = await startRawService((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).resume();
  });
  const refused = `http://127.0.0.1:${await closedPort()}`;
  for (const kind of ['http', 'graphql', 'grpc'] as const) {
    const { check } = buildHealthSettings({ health: { kind }, http2: true });
    await assert.rejects(probeHealth({ url: silent.url, check, timeoutMs: 50 }), {
      message: 'timeout',
      connected: true,
    });
    await assert.rejects(probeHealth({ url: refused, check, timeoutMs: 5_000 }), {
      code: 'ECONNREFUSED',
      connected: false,
    });
    const lookup = (_name: string, _options: unknown, callback: (error: Error, address: string) => void) =>
      callback(new Error('not allowed'), '');
    await assert.rejects(probeHealth({ url: 'http://shop.example', check, timeoutMs: 5_000, lookup }), {
      message: 'not allowed',
      connected: false,
    });
  }
  await until(() => open.size === 0, 'all connections are closed');
});
