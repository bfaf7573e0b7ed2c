import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';

/** A service that speaks HTTP/2 by prior knowledge alone. */
async function startService(t: TestContext, listener: (q: Http2ServerRequest, s: Http2ServerResponse) => void) {
  const sessions: ServerHttp2Session[] = [];
  const server = createServer(listener);
  server.on('session', (session) => sessions.push(session));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway = await startGateway(t, {
    services: { rest: { http2: true, instances: [{ url }], routes: [{ match: { path: '/*' } }] } },
  });
  return { gateway, sessions };
}

test('a service that asks for it is spoken to in HTTP/2, over few connections', async (t) => {
  const { gateway, sessions } = await startService(t, (incoming, response) => {
    response.writeHead(200, ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-version', incoming.httpVersion]);
    incoming.pipe(response);
  });
  const send = (body: string) => fetch(`${gateway.url}/echo`, { method: 'POST', body });
  const first = await send('hello');
  assert.deepEqual([first.status, await first.text(), first.headers.get('x-version')], [200, 'hello', '2.0']);
  assert.deepEqual(first.headers.getSetCookie(), ['a=1', 'b=2']);
  const all = await Promise.all(
    Array.from({ length: 50 }, (_, i) => send(`body ${i}`).then((answer) => answer.text())),
  );
  assert.deepEqual(
    all,
    Array.from({ length: 50 }, (_, i) => `body ${i}`),
  );
  assert.equal(sessions.length, 1);
  assert.equal((await (await send('x'.repeat(500_000))).text()).length, 500_000);
});

test('what a service may have processed is not sent again, what it refused is', async (t) => {
  const seen: string[] = [];
  const { gateway } = await startService(t, (incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const count = seen.filter((one) => one.endsWith(incoming.url)).length;
    if (incoming.url === '/break') incoming.stream.session?.destroy();
    else if (incoming.url === '/reset') incoming.stream.close(2);
    else if (incoming.url === '/refused' && count === 1) incoming.stream.close(7);
    else response.end('done');
  });
  const post = async (path: string) => (await fetch(gateway.url + path, { method: 'POST' })).status;
  assert.equal(await post('/break'), 502);
  assert.equal(await post('/reset'), 502);
  assert.deepEqual(seen, ['POST /break', 'POST /reset']);
  assert.equal(await post('/refused'), 200);
});
