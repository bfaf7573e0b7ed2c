import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createSecureServer, createServer, type IncomingHttpHeaders } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { findDefinitionMistakes } from '../../subgraphs/definition-check.ts';
import { createAuthority, certificatesSkipReason as skip } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';

type Check = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => void;

const serving = Buffer.from([8, 1]);
const same = (bytes: Buffer): Buffer => bytes;

/** A server of gRPC whose messages stay bytes; without `check` it knows of no health. */
async function startHealth(t: TestContext, check: Check | null, credentials = ServerCredentials.createInsecure()) {
  const server = new Server();
  const definition = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  if (check !== null) server.addService({ Check: definition }, { Check: check });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  t.after(() => server.forceShutdown());
  return `http://127.0.0.1:${port}`;
}

async function startChecked(t: TestContext, url: string, health: object, more: object = {}) {
  const gateway = await startGateway(t, {
    services: {
      shop: {
        grpc: { services: ['shop.v1.Orders'] },
        instances: [{ url }],
        health: { interval: '1h', unhealthyAfter: 1, ...health },
        ...more,
      },
    },
  });
  const probe = async () => {
    const { state, reason } = (await gateway.admin('POST', '/services/shop/health-check')).body.instances[0];
    return reason === undefined ? state : `${state}: ${reason}`;
  };
  return { gateway, probe };
}

test('a check of gRPC takes SERVING for healthy, and says what it got instead', async (t) => {
  let answer: Parameters<sendUnaryData<Buffer>> = [null, serving];
  const asked: { message: Buffer; header: unknown; deadline: unknown }[] = [];
  const url = await startHealth(t, (call, done) => {
    const { request, metadata } = call;
    asked.push({ message: request, header: metadata.get('x-check')[0], deadline: call.getDeadline() });
    done(...answer);
  });
  const { probe } = await startChecked(t, url, {
    kind: 'grpc',
    service: 'shop.v1.Orders',
    headers: { 'x-check': 'yes' },
  });
  assert.equal(await probe(), 'healthy');
  assert.deepEqual(asked[0]?.message, Buffer.from('\n\x0eshop.v1.Orders'));
  assert.equal(asked[0]?.header, 'yes');
  assert.ok(Number(asked[0]?.deadline) <= Date.now() + 2_000);
  const others: [typeof answer, string][] = [
    [[null, Buffer.from([8, 2])], 'unhealthy: NOT_SERVING'],
    [[null, Buffer.from([8, 3])], 'unhealthy: SERVICE_UNKNOWN'],
    [[null, Buffer.alloc(0)], 'unhealthy: UNKNOWN'],
    [[{ code: status.NOT_FOUND, details: 'at 10.0.0.1' }], 'unhealthy: status NOT_FOUND'],
    [[null, serving], 'healthy'],
    [[{ code: status.UNAVAILABLE }], 'unhealthy: status UNAVAILABLE'],
  ];
  for (const [given, expected] of others) {
    answer = given;
    // Of an instance that is out the first reason stays: it is back in between.
    if (expected !== 'healthy') {
      answer = [null, serving];
      await probe();
      answer = given;
    }
    assert.equal(await probe(), expected);
  }
});

test('without a name the server as a whole is asked about', async (t) => {
  const asked: Buffer[] = [];
  const url = await startHealth(t, (call, done) => {
    asked.push(call.request);
    done(null, serving);
  });
  const { probe } = await startChecked(t, url, { kind: 'grpc' });
  assert.equal(await probe(), 'healthy');
  assert.equal(asked[0]?.length, 0);
});

test('a server that knows no checks, one that is silent and one that is none of gRPC are not healthy', async (t) => {
  const unimplemented = await startChecked(t, await startHealth(t, null), { kind: 'grpc' });
  assert.equal(await unimplemented.probe(), 'unhealthy: status UNIMPLEMENTED');
  const silent = await startChecked(t, await startHealth(t, () => {}), { kind: 'grpc', timeout: '100ms' });
  assert.match(await silent.probe(), /^unhealthy: (?:timeout|status (?:DEADLINE_EXCEEDED|CANCELLED))$/);
  const { url } = await startPlain(t);
  assert.equal(await (await startChecked(t, url, { kind: 'grpc' })).probe(), 'unhealthy: no answer of gRPC');
});

test('checks of gRPC go over TLS where the instance has it, as the service says', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const own = await authority.issue('orders', { usage: 'serverAuth', san: 'DNS:orders.example' });
  const client = await authority.issue('gateway');
  const pair = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.certificate) };
  const credentials = ServerCredentials.createSsl(Buffer.from(authority.certificate), [pair], true);
  const plain = await startHealth(t, (_call, done) => done(null, serving), credentials);
  const url = plain.replace('http:', 'https:');
  const tls = { ca: authority.certificateFile, serverName: 'orders.example' };
  const known = { ...tls, certificate: client.certificateFile, key: client.keyFile };
  const good = await startChecked(t, url, { kind: 'grpc' }, { tls: known });
  assert.equal(await good.probe(), 'healthy');
  const stranger = await startChecked(t, url, { kind: 'grpc' }, { tls });
  assert.match(await stranger.probe(), /^(?:unhealthy|ejected): /);
  const other = await startChecked(t, url, { kind: 'grpc' }, { tls: { ...known, serverName: 'other.example' } });
  assert.match(await other.probe(), /ERR_TLS_CERT_ALTNAME_INVALID$/);
});

/** A service that speaks HTTP/2 by prior knowledge alone. */
async function startPlain(t: TestContext) {
  const asked: IncomingHttpHeaders[] = [];
  const state = { status: 200, body: 'x'.repeat(100_000) };
  const server = createServer((incoming, response) => {
    asked.push(incoming.headers);
    response.writeHead(state.status, { 'content-type': 'application/json' });
    response.end(state.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, state };
}

test('checks by path speak HTTP/2 to services that do', async (t) => {
  const { url, asked, state } = await startPlain(t);
  const { probe } = await startChecked(t, url, { path: '/ready', host: 'shop.example', headers: { 'x-check': 'a' } });
  assert.equal(await probe(), 'healthy');
  assert.equal(asked[0]?.[':path'], '/ready');
  assert.equal(asked[0]?.[':authority'], 'shop.example');
  assert.equal(asked[0]?.['x-check'], 'a');
  assert.equal(asked[0]?.['user-agent'], 'selvage-health-check');
  state.status = 503;
  assert.equal(await probe(), 'unhealthy: status 503');

  const graphql = await startPlain(t);
  graphql.state.body = '{"data":{"__typename":"Query"}}';
  const asking = await startChecked(t, graphql.url, { kind: 'graphql', path: '/query' }, { http2: true });
  assert.equal(await asking.probe(), 'healthy');
  assert.deepEqual([graphql.asked[0]?.[':method'], graphql.asked[0]?.[':path']], ['POST', '/query']);
});

test('checks by path go by the version of HTTP that an instance with TLS chooses', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const { certificate: cert, key } = await authority.issue('a', { usage: 'serverAuth', san: 'DNS:a.example' });
  const versions: string[] = [];
  const listener = (incoming: { httpVersion: string }, response: { end(): unknown }) => {
    versions.push(incoming.httpVersion);
    response.end();
  };
  const servers = [createSecureServer({ cert, key }, listener), createHttpsServer({ cert, key }, listener)];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { probe } = await startChecked(
      t,
      `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      { path: '/ready' },
      { tls: { ca: authority.certificateFile, serverName: 'a.example' } },
    );
    assert.equal(await probe(), 'healthy');
  }
  assert.deepEqual(versions, ['2.0', '1.1']);
});

test('an instance that nobody listens at is ejected by checks of gRPC as by others', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const { probe } = await startChecked(t, `http://127.0.0.1:${port}`, { kind: 'grpc' });
  assert.match(await probe(), /ECONNREFUSED$/);
});

test('what contradicts a check of gRPC is told with its place', () => {
  const mistakesOf = (health: object, more: object = { http2: true }) =>
    findDefinitionMistakes({ health, routes: [{ match: { path: '/a' } }], ...more }).map(
      ({ path, message }) => `${path}: ${message}`,
    );
  assert.deepEqual(mistakesOf({ kind: 'grpc', service: 'a.B', host: 'a', headers: { a: 'b' } }), []);
  assert.match(mistakesOf({ kind: 'grpc' }, {}).join(), /^\/health\/kind: gRPC is spoken in HTTP\/2/);
  assert.match(mistakesOf({ kind: 'grpc', path: '/a' }).join(), /^\/health\/path: /);
  assert.match(mistakesOf({ service: 'a.B' }).join(), /^\/health\/service: /);
  assert.match(
    mistakesOf({ kind: 'grpc', headers: { 'Grpc-Timeout': '1S' } }).join(),
    /^\/health\/headers\/Grpc-Timeout/,
  );
});
