import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';

// RFC 8297 before a cache: hints are for who asked the service, since what is shared is known only when the head is there.

const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n';
const answerOf = (control: string) =>
  `HTTP/1.1 200 OK\r\nCache-Control: ${control}\r\nETag: "1"\r\nContent-Length: 4\r\n\r\npage`;

/** A service of which the test sends every byte; `asked` counts requests. */
async function start(t: TestContext, cache: object = {}) {
  const gateway = await startGateway(t);
  const waiting: Socket[] = [];
  let asked = 0;
  const service = await startRawService(t, (socket) => {
    asked++;
    waiting.push(socket);
    socket.write(hints);
  });
  await registerRest(gateway, 'pages', service.url, [{ match: { path: '/*' }, cache }], { retry: { attempts: 0 } });
  const ask = (fields = '', method = 'GET') =>
    sendRaw(gateway.url, `${method} /page HTTP/1.1\r\nHost: a\r\n${fields}\r\n`, {
      until: / 200 OK[\s\S]*page$|\r\n\r\n\{.*\}$| 304 /,
    });
  const answer = async (bytes: string) => {
    await until(() => waiting.length > 0, 'the service is asked');
    waiting.shift()?.write(bytes);
  };
  return { gateway, service, ask, answer, asked: () => asked };
}

test('a miss gives the hints of the service at once, a hit has none', async (t) => {
  const { gateway, ask, answer, asked } = await start(t);
  const early = await sendRaw(gateway.url, 'GET /page HTTP/1.1\r\nHost: a\r\n\r\n', { until: 'preload\r\n\r\n' });
  assert.deepEqual(early.statuses, [103]);
  await answer('');
  const first = ask();
  await answer(answerOf('max-age=60'));
  assert.deepEqual((await first).statuses, [103, 200]);
  const second = await ask();
  assert.deepEqual(second.statuses, [200]);
  assert.match(second.text, /cache-status: selvage; hit/i);
  assert.equal(asked(), 2);
});

test('who joins the request of another one gets no hints of it: they might be for that one alone', async (t) => {
  const { ask, answer, asked } = await start(t);
  const leads = ask();
  await until(() => asked() === 1, 'the first is under way');
  const joins = ask();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await answer(answerOf('max-age=60'));
  assert.deepEqual((await leads).statuses, [103, 200]);
  const { statuses, text } = await joins;
  assert.deepEqual(statuses, [200]);
  assert.match(text, /collapsed/);
  assert.equal(asked(), 1);
});

test('who has waited in vain asks the service, and gets the hints of that', async (t) => {
  const { ask, answer, asked } = await start(t);
  const leads = ask();
  await until(() => asked() === 1, 'the first is under way');
  const joins = ask();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await answer(answerOf('no-store'));
  assert.deepEqual((await leads).statuses, [103, 200]);
  await answer(answerOf('no-store'));
  assert.deepEqual((await joins).statuses, [103, 200]);
});

test('a kept answer that is asked about, and one that is no case for the cache, come with hints', async (t) => {
  const { ask, answer } = await start(t);
  const first = ask();
  await answer(answerOf('max-age=60'));
  await first;
  const validated = ask('Cache-Control: no-cache\r\n');
  await answer('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n');
  assert.deepEqual((await validated).statuses, [103, 200]);
  for (const [method, fields] of [
    ['GET', 'If-Match: "1"\r\n'],
    ['GET', 'Cache-Control: no-cache\r\nRange: bytes=0-9\r\n'],
    ['POST', 'Content-Length: 0\r\n'],
  ]) {
    const asked = ask(fields, method);
    await answer(answerOf('no-store'));
    assert.deepEqual((await asked).statuses, [103, 200], fields);
  }
});

test('hints of a failure that a kept answer stands in for are out already, and do no harm', async (t) => {
  const { ask, answer } = await start(t, { staleIfError: '1m' });
  const first = ask();
  await answer(answerOf('max-age=0'));
  await first;
  const hidden = ask();
  await answer('HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno');
  const { statuses, text } = await hidden;
  assert.deepEqual(statuses, [103, 200]);
  assert.match(text, /stale-if-error[\s\S]*page$/);
});

test('an answer that is refreshed behind the back of its client brings no hints', async (t) => {
  const { ask, answer, asked } = await start(t, { staleWhileRevalidate: '1m' });
  const first = ask();
  await answer(answerOf('max-age=0'));
  await first;
  assert.deepEqual((await ask()).statuses, [200]);
  await until(() => asked() === 2, 'the service is asked again');
  await answer(answerOf('max-age=60'));
});

test('an endless row of hints is given up before a cache, too, and is a 502', async (t) => {
  const { ask, answer } = await start(t);
  const asked = ask();
  await answer(hints.repeat(500));
  assert.equal((await asked).statuses.at(-1), 502);
});
