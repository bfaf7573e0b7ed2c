import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer as createTlsServer } from 'node:https';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { certificatesSkipReason, createAuthority } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { registerRest, until } from '../support/registration.ts';
import {
  listenOn,
  openRefused,
  openSocket,
  type SocketService,
  socketRoute,
  startSocketService,
  startWithSockets,
} from './fixture.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const apiKey = 'sk-upgrade-0123456789abcdef';

test('a handshake is authenticated and authorized like any request, and the service learns who it is', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(
    t,
    service,
    { ...socketRoute, authorize: { scopes: ['chat'] } },
    { authentication: { required: true, apiKeys: [{ name: 'ann', sha256: sha256(apiKey), scopes: ['chat'] }] } },
  );
  assert.equal((await openRefused(gateway)).status, 401);
  assert.equal((await openRefused(gateway, '/ws/room', { headers: { 'x-api-key': 'wrong' } })).status, 401);
  await openSocket(t, gateway, '/ws/room', { headers: { 'x-api-key': apiKey } });
  assert.equal(service.asked.length, 1);
  assert.equal(service.asked[0]?.headers['x-user-id'], 'ann');
});

test('a page of another site cannot open a WebSocket with the cookies of a user', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const { host } = new URL(gateway.url);
  const open = (headers: Record<string, string>) => openSocket(t, gateway, '/ws/room', { headers });
  const refuse = async (headers: Record<string, string>) =>
    (await openRefused(gateway, '/ws/room', { headers })).status;
  assert.equal(await refuse({ cookie: 'session=1', origin: 'https://evil.example' }), 403);
  assert.equal(await refuse({ cookie: 'session=1', origin: 'null' }), 403);
  assert.equal(await refuse({ cookie: 'session=1', origin: `http://${host}.evil.example` }), 403);
  assert.equal(await refuse({ cookie: 'session=1', 'sec-fetch-site': 'same-site' }), 403);
  assert.equal(service.asked.length, 0);
  await open({ cookie: 'session=1', origin: `http://${host}` });
  await open({ cookie: 'session=1', origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' });
  // Nothing to misuse, and no browser.
  await open({ origin: 'https://evil.example' });
  await open({ cookie: 'session=1' });
});

test('origins that `csrf` or `cors` trust may, and all may where a route says so', async (t) => {
  const service = await startSocketService(t);
  const headers = { cookie: 'session=1', origin: 'https://app.example' };
  const trusting = [
    { csrf: { trustedOrigins: ['https://app.example'] } },
    { cors: { origins: ['https://app.example'], credentials: true } },
    { upgrade: { anyOrigin: true } },
  ];
  for (const options of trusting) {
    const gateway = await startWithSockets(t, service, { ...socketRoute, ...options });
    await openSocket(t, gateway, '/ws/room', { headers });
  }
  const gateway = await startWithSockets(t, service, { ...socketRoute, cors: { origins: ['https://app.example'] } });
  assert.equal((await openRefused(gateway, '/ws/room', { headers })).status, 403);
});

test('header rules and rate limits of the route hold for handshakes', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, {
    ...socketRoute,
    headers: { request: [{ set: 'x-tenant', value: 'shop' }] },
    rateLimit: [{ name: 'handshakes', limit: 2, window: '1h', key: 'ip' }],
  });
  await openSocket(t, gateway);
  await openSocket(t, gateway);
  const refused = await openRefused(gateway);
  assert.equal(refused.status, 429);
  assert.ok(refused.headers['retry-after']);
  assert.deepEqual(
    service.asked.map(({ headers }) => headers['x-tenant']),
    ['shop', 'shop'],
  );
});

test('open WebSockets are load for least-connections, and plain calls go where there are fewer', async (t) => {
  const services = [await startSocketService(t), await startSocketService(t), await startSocketService(t)];
  const gateway = await startGateway(t);
  await registerRest(gateway, 'chat', '', [socketRoute], {
    instances: services.map(({ url }, index) => ({ id: `i${index}`, url })),
    loadBalancing: { algorithm: 'least-connections' },
  });
  const peers = [];
  for (let i = 0; i < 30; i++) peers.push(await openSocket(t, gateway));
  assert.deepEqual(
    services.map(({ sockets }) => sockets.clients.size),
    [10, 10, 10],
  );
  for (const peer of services[1]?.sockets.clients ?? []) peer.close();
  await until(() => services[1]?.sockets.clients.size === 0, 'one instance is empty');
  for (let i = 0; i < 8; i++) await openSocket(t, gateway);
  assert.equal(services[1]?.sockets.clients.size, 8);
});

test('sticky sessions hold for WebSockets: the 101 brings the cookie, and the cookie the instance', async (t) => {
  const services = [await startSocketService(t), await startSocketService(t), await startSocketService(t)];
  const gateway = await startGateway(t);
  await registerRest(gateway, 'chat', '', [socketRoute], {
    instances: services.map(({ url }, index) => ({ id: `i${index}`, url })),
    loadBalancing: { algorithm: 'round-robin', sticky: {} },
  });
  let cookie = '';
  const first = await fetch(`${gateway.url}/ws/room`);
  for (const field of first.headers.getSetCookie()) cookie = field.split(';')[0] ?? '';
  assert.match(cookie, /^selvage-chat=/);
  for (let i = 0; i < 6; i++) await openSocket(t, gateway, '/ws/room', { headers: { cookie } });
  assert.deepEqual(services.map(({ asked }) => asked.length).sort(), [0, 0, 6]);
});

test('an instance that is drained keeps its WebSockets and gets no new ones', async (t) => {
  const services = [await startSocketService(t), await startSocketService(t)];
  const gateway = await startGateway(t);
  const instances = services.map(({ url }, index) => ({ id: `i${index}`, url }));
  await registerRest(gateway, 'chat', '', [socketRoute], { instances, loadBalancing: { algorithm: 'round-robin' } });
  const peers = [await openSocket(t, gateway), await openSocket(t, gateway)];
  await gateway.admin('POST', '/services/chat/instances/i0/drain');
  for (let i = 0; i < 3; i++) await openSocket(t, gateway);
  assert.deepEqual(
    services.map(({ asked }) => asked.length),
    [1, 4],
  );
  for (const peer of peers) {
    peer.socket.send('still here');
    assert.equal((await peer.next()).data.toString(), 'still here');
  }
});

test('wss for clients in front, and wss to instances whose certificate does not hold is refused', {
  skip: certificatesSkipReason,
}, async (t) => {
  const authority = await createAuthority(t);
  const { certificate, key, certificateFile, keyFile } = await authority.issue('localhost', {
    san: 'DNS:localhost,IP:127.0.0.1',
    usage: 'serverAuth',
  });
  const server = createTlsServer({ cert: certificate, key });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  t.after(() => {
    for (const peer of sockets.clients) peer.terminate();
    server.close();
    server.closeAllConnections();
  });
  const { port } = new URL(await listenOn(server));
  const folder = await makeFolder(t);
  const before = process.env['NODE_EXTRA_CA_CERTS'];
  process.env['NODE_EXTRA_CA_CERTS'] = authority.certificateFile;
  t.after(() => {
    if (before === undefined) delete process.env['NODE_EXTRA_CA_CERTS'];
    else process.env['NODE_EXTRA_CA_CERTS'] = before;
  });
  const services = {
    chat: { instances: [{ url: `https://localhost:${port}` }], routes: [socketRoute] },
    other: { instances: [{ url: `https://127.0.0.2:${port}` }], routes: [{ match: { path: '/other' }, upgrade: {} }] },
  };
  const listen = { tls: { certificate: certificateFile, key: keyFile } };
  const gateway = await startGatewayProcess(t, folder, { services, listen } as never);
  const peer = await openSocket(t, gateway, '/ws/room', { ca: authority.certificate });
  peer.socket.send('over two TLS connections');
  assert.equal((await peer.next()).data.toString(), 'over two TLS connections');
  const refused = await openRefused(gateway, '/other', { ca: authority.certificate });
  assert.equal(refused.status, 503);
});

test('workers hold WebSockets, count them together, and say goodbye when they are replaced', async (t) => {
  const service = await startSocketService(t);
  const folder = await makeFolder(t);
  const services = { chat: { instances: [{ url: service.url }], routes: [socketRoute] } };
  const gateway = await startGatewayProcess(t, folder, { workers: 2, services, shutdown: { grace: '10s' } });
  const peers = await Promise.all(Array.from({ length: 12 }, () => openSocket(t, gateway)));
  for (const peer of peers) {
    peer.socket.send('hello');
    await peer.next();
  }
  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  assert.match(metrics, /selvage_upgrades_open\{service="chat"\} 12/);
  const status = await (await fetch(`${gateway.adminUrl}/services/chat`)).text();
  assert.match(status, /"upgrades": 12/);
  assert.equal(await gateway.end('SIGTERM'), 0);
  for (const peer of peers) assert.equal((await peer.closed).code, 1001);
  const ends = gateway.lines.filter(({ msg }) => msg === 'request').filter(({ end }) => end === 'drain');
  assert.equal(ends.length, 12);
  assert.ok(new Set(ends.map(({ worker }) => worker)).size >= 1);
});

test('a WebSocket of a retired path is led to the replacement like any request, and gone with it', async (t) => {
  const next = await startSocketService(t);
  const old = await startSocketService(t);
  const retire = { deprecated: '2024-01-01', replacement: { service: 'next', rewrite: '/v2/*' } };
  const ended = { match: { path: '/gone/*' }, upgrade: {}, retire: { deprecated: '2023-01-01', gone: '2024-01-01' } };
  const gateway = await startGateway(t);
  await registerRest(gateway, 'next', next.url, [{ match: { path: '/next' } }], { fallbackFor: ['chat'] });
  await registerRest(gateway, 'chat', old.url, [{ ...socketRoute, retire }, ended]);
  await openSocket(t, gateway, '/ws/room');
  assert.deepEqual([next.asked.map(({ url }) => url), old.asked.length], [['/v2/room'], 0]);
  assert.equal((await openRefused(gateway, '/gone/room')).status, 410);
});

test('a WebSocket goes where the split, the version and the region of its route say', async (t) => {
  const [one, two, canary] = await Promise.all([startSocketService(t), startSocketService(t), startSocketService(t)]);
  const gateway = await startGateway(t);
  const put = async (name: string, body: object) => {
    assert.equal((await gateway.admin('PUT', `/services/${name}`, body)).status, 201);
  };
  await put('canary', { routes: [{ match: { path: '/c' } }], instances: [{ url: canary.url }], trafficFrom: ['chat'] });
  const zones = { europe: 'eu', america: 'us' };
  const variants = [
    { name: 'stable', weight: 100, version: '2.x' },
    { name: 'canary', weight: 0, service: 'canary' },
  ];
  await put('chat', {
    routes: [
      { match: { path: '/v2' }, version: '2.x', upgrade: {} },
      { match: { path: '/v9' }, version: '9.0', upgrade: {} },
      { match: { path: '/near' }, region: { header: 'x-region', zones }, upgrade: {} },
      { match: { path: '/split' }, split: { variants, chooseBy: 'x-canary' }, upgrade: {} },
    ],
    instances: [
      { url: one.url, version: '1.4', zone: 'eu' },
      { url: two.url, version: '2.0', zone: 'us' },
    ],
  });
  const asked = async (service: SocketService, path: string, headers: Record<string, string> = {}) => {
    const before = service.asked.length;
    for (let i = 1; i <= 4; i++) {
      const peer = await openSocket(t, gateway, path, { headers });
      assert.equal(service.asked.length, before + i, path);
      peer.socket.terminate();
    }
    return service.asked.at(-1)?.headers['x-route-variant'];
  };
  assert.equal(await asked(two, '/v2'), undefined);
  await asked(one, '/near', { 'x-region': 'europe' });
  await asked(two, '/near', { 'x-region': 'america' });
  assert.equal(await asked(two, '/split', { 'x-route-variant': 'forged' }), 'stable');
  assert.equal(await asked(canary, '/split', { 'x-canary': 'always' }), 'canary');
  assert.equal((await openRefused(gateway, '/v9')).status, 503);
});
