import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { until } from '../support/registration.ts';
import { openRefused, openSocket, socketRoute, startSocketService, startWithSockets } from './fixture.ts';

test('text, binary, empty and large messages come back as they were sent', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway);
  for (const message of ['hello', '', 'päyload', 'x'.repeat(70_000)]) {
    peer.socket.send(message);
    const echo = await peer.next();
    assert.equal(echo.isBinary, false);
    assert.equal(echo.data.toString(), message);
  }
  for (const size of [1, 125, 126, 65_535, 65_536, 1_048_576]) {
    const bytes = randomBytes(size);
    peer.socket.send(bytes);
    const echo = await peer.next();
    assert.equal(echo.isBinary, true);
    assert.ok(echo.data.equals(bytes), String(size));
  }
});

test('pings and pongs cross from end to end', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway);
  const pong = new Promise((resolve) => peer.socket.once('pong', resolve));
  peer.socket.ping('from the client');
  assert.equal(String(await pong), 'from the client');
  const [atService] = [...service.sockets.clients];
  const back = new Promise((resolve) => atService?.once('pong', resolve));
  atService?.ping('from the service');
  assert.equal(String(await back), 'from the service');
});

test('compression and subprotocols are between client and service', async (t) => {
  const service = await startSocketService(t, {
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (protocols) => (protocols.has('chat.v2') ? 'chat.v2' : false),
  });
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway, '/ws/room', { perMessageDeflate: true }, ['chat.v1', 'chat.v2']);
  assert.equal(peer.socket.protocol, 'chat.v2');
  assert.match(peer.socket.extensions, /permessage-deflate/);
  const text = 'all work and no play '.repeat(10_000);
  peer.socket.send(text);
  assert.equal((await peer.next()).data.toString(), text);
  peer.socket.close();
  await peer.closed;
  const line = await accessLine(gateway.lines);
  assert.ok(Number(line['received']) < text.length / 10, `${line['received']} bytes: not compressed`);
});

test('the handshake reaches the service with what the gateway adds, and nothing that was for the gateway', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  await openSocket(t, gateway, '/ws/room?a=1', {
    headers: { 'x-own': 'yes', 'x-user-id': 'root', 'proxy-authorization': 'Basic x' },
  });
  const [asked] = service.asked;
  assert.equal(asked?.url, '/room?a=1');
  const { headers } = asked ?? { headers: {} };
  assert.equal(headers.upgrade, 'websocket');
  assert.equal(headers.connection, 'Upgrade');
  assert.equal(headers.host, new URL(service.url).host);
  assert.equal(headers['x-own'], 'yes');
  assert.equal(headers['x-user-id'], undefined);
  assert.equal(headers['proxy-authorization'], undefined);
  assert.equal(headers['x-request-timeout-ms'], undefined);
  assert.match(String(headers.via), /selvage/);
  assert.match(String(headers['x-request-id']), /./);
});

test('close codes and reasons cross in both directions', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const first = await openSocket(t, gateway);
  const [atService] = [...service.sockets.clients];
  const heard = new Promise<number>((resolve) => atService?.once('close', (code) => resolve(code)));
  first.socket.close(4001, 'enough');
  assert.equal(await heard, 4001);
  assert.equal((await first.closed).code, 4001);
  const second = await openSocket(t, gateway);
  await until(() => service.sockets.clients.size === 1, 'one is left');
  for (const each of service.sockets.clients) each.close(4002, 'go');
  assert.deepEqual(await second.closed, { code: 4002, reason: 'go' });
});

test('a refusal of the service arrives with status, headers and body', async (t) => {
  for (const status of [401, 403, 404, 426, 503]) {
    const service = await startSocketService(t);
    service.server.removeAllListeners('upgrade');
    service.server.on('upgrade', (_request, socket) => {
      const body = `no: ${status}`;
      const upgrade = status === 426 ? 'upgrade: other\r\nconnection: upgrade\r\n' : '';
      socket.end(
        `HTTP/1.1 ${status} No\r\n${upgrade}x-why: because\r\nset-cookie: a=1\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
    const gateway = await startWithSockets(t, service);
    const refused = await openRefused(gateway);
    assert.equal(refused.status, status);
    assert.equal(refused.body, `no: ${status}`);
    assert.equal(refused.headers['x-why'], 'because');
    assert.deepEqual(refused.headers['set-cookie'], ['a=1']);
    assert.equal(refused.headers.upgrade, status === 426 ? 'other' : undefined);
    const line = await accessLine(gateway.lines);
    assert.equal(line['status'], status);
    assert.equal(line['bytes'], refused.body.length);
  }
});

test('without `upgrade` a WebSocket is refused with a code, and the same route goes on to answer plain requests', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, { match: { path: '/ws/*' } });
  const refused = await openRefused(gateway);
  assert.equal(refused.status, 501);
  assert.equal(JSON.parse(refused.body).code, 'UPGRADE_NOT_SUPPORTED');
  assert.equal(service.asked.length, 0);
  assert.equal(await (await fetch(`${gateway.url}/ws/room`)).text(), 'plain');
  const graphql = await openRefused(gateway, '/graphql');
  assert.equal(graphql.status, 501);
  assert.equal(JSON.parse(graphql.body).errors[0].extensions.code, 'UPGRADE_NOT_SUPPORTED');
});

test('a route with `upgrade` still answers plain requests; an unknown path is 404', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  assert.equal(await (await fetch(`${gateway.url}/ws/room`)).text(), 'plain');
  assert.equal((await openRefused(gateway, '/elsewhere')).status, 404);
});

test('`upgrade` at the gateway or the service holds for its routes, and a route can switch it off', async (t) => {
  const service = await startSocketService(t);
  const closed = { match: { path: '/closed' }, upgrade: { enabled: false } };
  const gateway = await startWithSockets(t, service, { match: { path: '/open' } }, { policies: { upgrade: {} } });
  await gateway.admin('PUT', '/services/other', {
    instances: [{ url: service.url }],
    routes: [closed],
  });
  await openSocket(t, gateway, '/open');
  assert.equal((await openRefused(gateway, '/closed')).status, 501);
});

test('protocols that are HTTP again cannot be configured', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  for (const protocol of ['h2c', 'HTTP/2.0', 'TLS/1.3']) {
    const { status, body } = await gateway.admin('PUT', '/services/bad', {
      instances: [{ url: service.url }],
      routes: [{ ...socketRoute, match: { path: '/bad' }, upgrade: { protocols: ['websocket', protocol] } }],
    });
    assert.equal(status, 400, protocol);
    assert.match(JSON.stringify(body), /routes\/0\/upgrade\/protocols\/1/);
  }
});

test('the access line is written at the end and says what passed; metrics count', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway);
  peer.socket.send('12345');
  await peer.next();
  const metrics = async () => (await gateway.admin('GET', '/metrics')).body as string;
  assert.match(await metrics(), /selvage_upgrades_open\{service="chat"\} 1/);
  assert.match(await metrics(), /selvage_requests_total\{[^}]*name="ANY \/ws\/\*"[^}]*status="101"\} 1/);
  assert.match(await metrics(), /selvage_requests_in_flight\{door="rest"\} 0/);
  const { body } = await gateway.admin('GET', '/services/chat');
  assert.match(JSON.stringify(body), /"inFlight":0,"upgrades":1/);
  assert.equal(gateway.lines.filter(({ msg }) => msg === 'request').length, 0);
  peer.socket.close(1000);
  await peer.closed;
  const line = await accessLine(gateway.lines);
  assert.equal(line['status'], 101);
  assert.equal(line['code'], null);
  assert.equal(line['protocol'], 'websocket');
  // Masked frames of 5 bytes and of the status, and the same without masks.
  assert.equal(line['received'], 11 + 8);
  assert.equal(line['bytes'], 7 + 4);
  assert.match(String(line['end']), /^(client|service)$/);
  await until(async () => /selvage_upgrades_open\{service="chat"\} 0/.test(await metrics()), 'none is open');
  assert.match(await metrics(), /selvage_upgrade_bytes_total\{service="chat",from="client"\} 19/);
  assert.match(await metrics(), /selvage_upgrades_ended_total\{service="chat",reason="(client|service)"\} 1/);
  assert.match(await metrics(), /selvage_upgrade_duration_seconds_count\{service="chat"\} 1/);
});

async function accessLine(lines: readonly Record<string, unknown>[]): Promise<Record<string, unknown>> {
  await until(() => lines.some(({ msg }) => msg === 'request'), 'an access line');
  return lines.find(({ msg }) => msg === 'request') ?? {};
}
