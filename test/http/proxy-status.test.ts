import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest } from '../support/registration.ts';

// RFC 9209: whoever debugs a failed call is told what kind of failure it was, and nothing of where.

test('failed calls carry the error type of Proxy-Status that fits', async (t) => {
  const gateway = await startGateway(t);
  const cut = await startRawService(t, (socket) => socket.destroy());
  const junk = await startRawService(t, (socket) => socket.write('hello\r\n\r\n'));
  const silent = await startRawService(t, () => {});
  const cases: [name: string, url: string, error: string][] = [
    ['refused', 'http://127.0.0.1:9', 'connection_refused'],
    ['cut', cut.url, 'connection_terminated'],
    ['junk', junk.url, 'http_protocol_error'],
    ['silent', silent.url, 'http_response_timeout'],
  ];
  for (const [name, url, error] of cases) {
    const once = { retry: { attempts: 0 }, timeout: '300ms' };
    await registerRest(gateway, name, url, [{ match: { path: `/${name}` } }], once);
    const head = `GET /${name} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const { text } = await sendRaw(gateway.url, head, { until: /\r\n\r\n\{.*\}$/ });
    assert.match(text, new RegExp(`proxy-status: selvage; error=${error}\r\n`), name);
  }
});

test('a client that left stands as 499 in the log and in metrics', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, () => {});
  await registerRest(gateway, 'silent', service.url, [{ match: { path: '/x' } }]);
  await sendRaw(gateway.url, 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n', { silenceMs: 100 });
  const end = performance.now() + 5_000;
  while (!gateway.lines.some(({ status }) => status === 499) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const line = gateway.lines.find(({ path }) => path === '/x');
  assert.deepEqual([line?.['status'], line?.['code']], [499, 'CLIENT_CLOSED_REQUEST']);
  assert.match((await gateway.admin('GET', '/metrics')).body, /status="499"/);
});
