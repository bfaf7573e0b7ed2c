import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { until } from '../support/registration.ts';

type Listener = (incoming: Http2ServerRequest, response: Http2ServerResponse) => void;

/** An instance that speaks HTTP/2 by prior knowledge alone. */
async function startInstance(t: TestContext, listener: Listener) {
  const sessions: ServerHttp2Session[] = [];
  const server = createServer(listener);
  server.on('session', (session) => sessions.push(session));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sessions };
}

async function startService(t: TestContext, listener: Listener, config: GatewayConfig = {}) {
  const { url, sessions } = await startInstance(t, listener);
  const gateway = await startGateway(t, {
    ...config,
    services: { rest: { http2: true, instances: [{ url }], routes: [{ match: { path: '/*' } }] } },
  });
  return { gateway, sessions, url };
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

test('many requests are under way on one connection at once', async (t) => {
  const waiting: Http2ServerResponse[] = [];
  const { gateway, sessions } = await startService(t, (_incoming, response) => waiting.push(response));
  const before = fetch(`${gateway.url}/before`);
  await until(() => waiting.length === 1, 'there is a connection');
  waiting.pop()?.end();
  await before;
  const asked = Array.from({ length: 80 }, async (_, i) => (await fetch(`${gateway.url}/${i}`)).text());
  await until(() => waiting.length === 80, 'the service has all of them');
  assert.equal(sessions.length, 1);
  for (const response of waiting.reverse()) response.end(response.req.url);
  assert.deepEqual(
    await Promise.all(asked),
    Array.from({ length: 80 }, (_, i) => `/${i}`),
  );
});

test('a service hears its own authority, or that of the client where the route says so, and one cookie', async (t) => {
  const heard: Http2ServerRequest[] = [];
  const { url } = await startInstance(t, (incoming, response) => {
    heard.push(incoming);
    response.end();
  });
  const routes = [{ match: { path: '/own' } }, { match: { path: '/clients' }, preserveHost: true }];
  const gateway = await startGateway(t, {
    listen: { http2: { clear: true } },
    services: { rest: { http2: true, instances: [{ url }], routes } },
  });
  const session = await connectHttp2(t, gateway.url);
  const headers = { ':authority': 'shop.example', cookie: ['a=1', 'b=2', 'c=3'] };
  for (const path of ['/own', '/clients']) assert.equal((await askHttp2(session, path, headers)).status, 200);
  assert.deepEqual(
    heard.map(({ headers }) => headers[':authority']),
    [new URL(url).host, 'shop.example'],
  );
  for (const { headers, rawHeaders } of heard) {
    assert.deepEqual([headers.host, headers.cookie], [undefined, 'a=1; b=2; c=3']);
    // RFC 9113 section 8.2.2: fields about connections are none of HTTP/2.
    for (const name of ['connection', 'transfer-encoding', 'keep-alive', 'te']) assert.ok(!rawHeaders.includes(name));
  }
});

test('a service that says GOAWAY under load fails no request, and its streams end whole', async (t) => {
  let answered = 0;
  const { gateway, sessions } = await startService(t, (_incoming, response) => {
    response.write('first half, ');
    setTimeout(() => {
      response.end('second half');
      // Now and then a connection that takes nothing new, as a service does that ends.
      if (++answered % 25 === 0) response.stream.session?.close();
    }, 2);
  });
  const outcomes = new Map<string, number>();
  const running = Array.from({ length: 10 }, async (_, index) => {
    for (let i = 0; i < 60; i++) {
      const answer = await fetch(`${gateway.url}/a`, { method: index % 2 === 0 ? 'GET' : 'POST' });
      const outcome = `${answer.status} ${await answer.text()}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  });
  await Promise.all(running);
  assert.deepEqual([...outcomes], [['200 first half, second half', 600]]);
  assert.ok(sessions.length > 5, `${sessions.length} connections`);
});

test('what lies beyond the last stream of a GOAWAY was not processed, and is sent again', async (t) => {
  const seen: string[] = [];
  const { gateway, sessions } = await startService(t, (incoming, response) => {
    const session = incoming.stream.session;
    if (session === sessions[0] && incoming.url === '/last') {
      // The streams behind it, which are there already, count as not seen.
      session?.goaway(constants.NGHTTP2_NO_ERROR, incoming.stream.id);
      setTimeout(() => response.end('taken'), 50);
    } else if (session !== sessions[0]) {
      seen.push(`${incoming.method} ${incoming.url}`);
      response.end('again');
    }
  });
  const last = fetch(`${gateway.url}/last`);
  const behind = ['GET', 'POST', 'DELETE', 'PATCH'].map((method) => fetch(`${gateway.url}/behind`, { method }));
  const answers = await Promise.all([last, ...behind].map(async (answer) => (await answer).text()));
  assert.equal(answers[0], 'taken');
  for (const text of answers.slice(1)) assert.equal(text, 'again');
  assert.equal(seen.length, 4);
});

test('what one instance refuses goes to another, whatever the method; what nobody takes is a 503', async (t) => {
  const refused: string[] = [];
  const taken: string[] = [];
  const busy = await startInstance(t, (incoming) => {
    refused.push(`${incoming.method} ${incoming.url}`);
    incoming.stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  const idle = await startInstance(t, (incoming, response) => {
    taken.push(`${incoming.method} ${incoming.url}`);
    response.end('taken');
  });
  const loadBalancing = { algorithm: 'round-robin' } as const;
  const gateway = await startGateway(t, {
    services: {
      both: {
        ...{ http2: true, loadBalancing, instances: [{ url: busy.url }, { url: idle.url }] },
        routes: [{ match: { path: '/both/*' } }],
      },
      none: { http2: true, instances: [{ url: busy.url }], routes: [{ match: { path: '/none' } }] },
    },
  });
  for (let i = 0; i < 6; i++) {
    const answer = await fetch(`${gateway.url}/both/${i}`, { method: i % 2 === 0 ? 'POST' : 'PUT' });
    assert.deepEqual([answer.status, await answer.text()], [200, 'taken'], String(i));
  }
  assert.equal(taken.length, 6, 'each was taken once');
  assert.ok(refused.length >= 3, 'some were refused before');

  refused.length = 0;
  const nobody = await fetch(`${gateway.url}/none`, { method: 'POST' });
  assert.equal(nobody.status, 503);
  assert.match(await nobody.text(), /"code":"SERVICE_UNAVAILABLE"/);
  // RFC 9113 section 8.7: not automatically more than once.
  assert.equal(refused.length, 2);
});

test('a body that was sent is not sent again, even where it was refused', async (t) => {
  let count = 0;
  const refuse: Listener = (incoming) => {
    count++;
    incoming.once('data', () => incoming.stream.close(constants.NGHTTP2_REFUSED_STREAM));
  };
  const instances = await Promise.all([startInstance(t, refuse), startInstance(t, refuse)]);
  const gateway = await startGateway(t, {
    services: {
      rest: {
        ...{ http2: true, instances: instances.map(({ url }) => ({ url })) },
        routes: [{ match: { path: '/*' } }],
      },
    },
  });
  const answer = await fetch(`${gateway.url}/a`, { method: 'PUT', body: 'x'.repeat(100_000) });
  assert.equal(answer.status, 502);
  assert.equal(count, 1);
});
