import assert from 'node:assert/strict';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { connectHttp2 } from '../support/http2.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';

// RFC 9110 section 6.5: what is announced and may come late reaches the service behind the body, and nothing else does.

const trailed = (fields: string, trailers: string, body = '2\r\nok\r\n') =>
  `POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${fields}\r\n${body}0\r\n${trailers}\r\n`;

/** Answers a body of chunks at its end, anything else at once. */
async function startService(t: TestContext) {
  return startRawService(t, (socket, text) => {
    if (
      /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(text) ||
      !/transfer-encoding/i.test(text.slice(text.lastIndexOf(' HTTP/1.1')))
    )
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
}

async function start(t: TestContext, route: object = {}, more: object = {}) {
  const gateway = await startGateway(t);
  const service = await startService(t);
  await registerRest(gateway, 'sum', service.url, [{ match: { path: '/*' }, ...route }], more);
  const send = async (bytes: string | string[]) => {
    const { statuses } = await sendRaw(gateway.url, bytes, { until: /ok$|\}$/ });
    const all = service.received.at(-1) ?? '';
    return { statuses, seen: all.slice(all.lastIndexOf('POST /sum')) };
  };
  return { gateway, service, send };
}

test('announced trailers follow the body, in their order and spelling, and the announcement goes before it', async (t) => {
  const { send } = await start(t);
  const { statuses, seen } = await send(
    trailed('Trailer: X-Sum, Digest-Of\r\n', 'X-Sum: 7\r\nDigest-Of: b\xe9\r\nx-sum: 8\r\n'),
  );
  assert.deepEqual(statuses, [200]);
  assert.match(seen, /\r\ntrailer: x-sum, digest-of\r\n/);
  assert.ok(seen.endsWith('\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nDigest-Of: b\xe9\r\nx-sum: 8\r\n\r\n'), seen);
});

test('a trailer that was not announced, or whose body has a length, stays behind', async (t) => {
  const { send } = await start(t);
  assert.match((await send(trailed('', 'X-Sum: 7\r\n'))).seen, /0\r\n\r\n$/);
  const some = (await send(trailed('Trailer: X-Sum\r\n', 'X-Other: 7\r\nX-Sum: 1\r\n'))).seen;
  assert.match(some, /0\r\nX-Sum: 1\r\n\r\n$/);
  const { statuses, seen } = await send(
    'POST /sum HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nok',
  );
  assert.deepEqual(statuses, [200]);
  assert.doesNotMatch(seen, /trailer/i);
});

test('no trailer frames, routes, authenticates, or says what only the gateway says', async (t) => {
  const { send } = await start(t);
  const names = [
    ...['Authorization', 'Cookie', 'X-Api-Key', 'x_api_key', 'Proxy-Authorization', 'Content-Type', 'Content-Encoding', 'Range'],
    ...['Host', 'Forwarded', 'X-Forwarded-For', 'x_forwarded_for', 'X-User-Id', 'x.user.id', 'X-Request-Id', 'Via', 'TE', 'Trailer'],
    ...['If-Match', 'Expect', 'Max-Forwards', 'Cache-Control', 'Connection', 'Upgrade', 'X-Hop', 'X-Told', 'x_told', 'Client-Cert'],
  ]; // biome-ignore format: a list to look over
  const fields = `Trailer: ${names.join(', ')}, X-Sum\r\nConnection: x-hop\r\nX-Told: in the head\r\n`;
  const { seen } = await send(trailed(fields, `${names.map((name) => `${name}: forged\r\n`).join('')}X-Sum: 7\r\n`));
  assert.match(seen, /\r\ntrailer: x-sum\r\n/);
  assert.match(seen, /\r\n0\r\nX-Sum: 7\r\n\r\n$/);
  assert.doesNotMatch(seen, /forged/);
});

test('a body without bytes goes on as one of length 0, without trailers', async (t) => {
  const { send } = await start(t);
  const { statuses, seen } = await send(trailed('Trailer: X-Sum\r\n', 'X-Sum: 7\r\n', ''));
  assert.deepEqual(statuses, [200]);
  assert.match(seen, /\r\ncontent-length: 0\r\n\r\n$/);
});

test('framing in a trailer is refused', async (t) => {
  const { send, service } = await start(t);
  for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
    const { statuses } = await send(trailed(`Trailer: ${field.split(':')[0]}\r\n`, `${field}\r\n`));
    assert.deepEqual(statuses, [400], field);
  }
  assert.ok(service.received.every((text) => !text.endsWith('0\r\n\r\n')));
});

test('what the rules of a route remove, set or rename does not come behind the body either', async (t) => {
  const request = [
    { remove: 'x-internal-*' },
    { set: 'x-tenant', value: 'a' },
    { rename: 'x-old', to: 'x-new' },
    { default: 'x-kind', value: 'plain' },
  ];
  const { send } = await start(t, { headers: { request } });
  const names = ['x-internal-role', 'x-tenant', 'x-old', 'x-new', 'x-kind', 'x-sum'];
  const { seen } = await send(
    trailed(`Trailer: ${names.join(',')}\r\n`, names.map((name) => `${name}: late\r\n`).join('')),
  );
  assert.match(seen, /\r\ntrailer: x-sum\r\n/);
  assert.match(seen, /\r\n0\r\nx-sum: late\r\n\r\n$/);
});

test('trailers belong to their own request, also on a connection that is used again', async (t) => {
  const { gateway, service, send } = await start(t);
  for (let n = 0; n < 3; n++) {
    await send([trailed('Trailer: X-Sum\r\n', `X-Sum: ${n}\r\n`)]);
    await send(trailed('', ''));
    await send('GET /sum HTTP/1.1\r\nHost: a\r\n\r\n');
  }
  const all = service.received.join('');
  assert.deepEqual(all.match(/\r\n0\r\n(?:X-Sum: \d\r\n)?\r\n/g), [
    ...['\r\n0\r\nX-Sum: 0\r\n\r\n', '\r\n0\r\n\r\n', '\r\n0\r\nX-Sum: 1\r\n\r\n', '\r\n0\r\n\r\n'],
    ...['\r\n0\r\nX-Sum: 2\r\n\r\n', '\r\n0\r\n\r\n'],
  ]); // biome-ignore format: pairs
  assert.ok(service.received.length < 9, 'connections are used again');
  assert.equal(gateway.lines.filter(({ level }) => level === 'error').length, 0);
});

test('a client that leaves before its trailers never makes the body look whole', async (t) => {
  const { gateway, service } = await start(t);
  const cut = trailed('Trailer: X-Sum\r\n', '').replace(/0\r\n\r\n$/, '0\r\nX-Su');
  await sendRaw(gateway.url, cut, { silenceMs: 300 });
  await until(() => service.sockets.size === 0, 'the connection to the service is dropped');
  assert.doesNotMatch(service.received.join(''), /\r\n0\r\n/);
});

test('a body that is read whole, for a change of it, goes on without trailers', async (t) => {
  const { send } = await start(t, { transform: { request: { drop: ['a'] } } });
  const json = 'Content-Type: application/json\r\nTrailer: X-Sum\r\n';
  const { statuses, seen } = await send(trailed(json, 'X-Sum: 7\r\n', '7\r\n{"a":1}\r\n'));
  assert.deepEqual(statuses, [200]);
  assert.doesNotMatch(seen, /x-sum|trailer/i);
});

test('a copy for a mirror has the body and no trailers, the request itself has both', async (t) => {
  const gateway = await startGateway(t);
  const [own, copied] = [await startService(t), await startService(t)];
  await registerRest(gateway, 'copy', copied.url, [{ match: { path: '/copy' } }], { trafficFrom: ['sum'] });
  await registerRest(gateway, 'sum', own.url, [{ match: { path: '/sum' }, mirror: { service: 'copy' } }]);
  await sendRaw(gateway.url, trailed('Trailer: X-Sum\r\n', 'X-Sum: 7\r\n'), { until: /ok$/ });
  await until(() => copied.received.join('').endsWith('ok'), 'the copy is sent');
  assert.match(own.received.join(''), /0\r\nX-Sum: 7\r\n\r\n$/);
  assert.doesNotMatch(copied.received.join(''), /x-sum|trailer/i);
});

test('trailers of a client of HTTP/2 reach a service of HTTP/1.1', async (t) => {
  const gateway = await startGateway(t, { listen: { http2: { clear: true } } });
  const service = await startService(t);
  await registerRest(gateway, 'sum', service.url, [{ match: { path: '/*' } }]);
  const client = await connectHttp2(t, gateway.url);
  const stream = client.request({ ':method': 'POST', ':path': '/sum', trailer: 'x-sum' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7', 'x-other': '8' }));
  stream.end('ok');
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) text += chunk;
  assert.equal(text, 'ok');
  assert.match(service.received.join(''), /\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n$/);
});

test('a service of HTTP/2 gets the body, and neither trailers nor their announcement', async (t) => {
  const seen: unknown[] = [];
  const server = createHttp2Server((request, response) => {
    request.resume().on('end', () => {
      seen.push(request.headers['trailer'], request.rawTrailers);
      response.end('ok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const gateway = await startGateway(t);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await registerRest(gateway, 'two', url, [{ match: { path: '/*' } }], { http2: true });
  const { statuses } = await sendRaw(gateway.url, trailed('Trailer: X-Sum\r\n', 'X-Sum: 7\r\n'), { until: /ok/ });
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(seen, [undefined, []]);
});
