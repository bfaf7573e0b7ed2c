import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { ExchangeControl } from '../../subgraphs/exchange.ts';
import type { Http1ConnectionsOptions } from '../../subgraphs/http1-connections.ts';
import { startRawService } from '../support/raw-http.ts';
import { get, NotingHandler, openConnections, send } from './exchange-fixture.ts';
import { startService } from './stage.ts';

const ok = 'HTTP/1.1 200 OK\r\n';
const plain = `${ok}Content-Length: 2\r\n\r\nok`;

/** A service that answers each request with the bytes for its path, and connections to it. */
async function stage(
  t: TestContext,
  bytes: string | ((path: string, socket: Socket) => string),
  options: Partial<Http1ConnectionsOptions> = {},
) {
  const paths: string[] = [];
  const service = await startRawService(t, (socket, text) => {
    const all = [...text.matchAll(/(?:^|\n|ok)[A-Z]+ (\/\S*) HTTP/g)];
    const path = all.at(-1)?.[1] ?? '';
    paths.push(path);
    const answer = typeof bytes === 'string' ? bytes : bytes(path, socket);
    if (answer !== '') socket.write(answer, 'latin1');
  });
  const opened = openConnections(service.url, options);
  t.after(() => opened.connections.destroy());
  return { ...opened, service, paths };
}

/** Until a connection is seen to be closed on our side. */
async function closed(socket: Socket | undefined): Promise<void> {
  if (socket?.closed === false) await once(socket, 'close');
}

test('one connection serves one request after the other', async (t) => {
  const { connections, made } = await stage(t, plain);
  for (let i = 0; i < 5; i++) assert.equal((await send(connections, get('/'))).body, 'ok');
  assert.equal(made.length, 1);
});

test('requests beyond the connections wait, and are sent in their order', async (t) => {
  const held: Socket[] = [];
  const hold = (_path: string, socket: Socket) => {
    held.push(socket);
    return '';
  };
  const { connections, made, paths } = await stage(t, hold, { connections: 2 });
  const handlers = Array.from({ length: 6 }, () => new NotingHandler());
  handlers.forEach((handler, i) => {
    connections.dispatch(get(`/${i}`), handler);
  });
  for (const handler of handlers) {
    await handler.started;
    while (held.length === 0) await turn();
    held.shift()?.write(plain);
    assert.equal((await handler.over).body, 'ok');
  }
  assert.equal(made.length, 2);
  assert.deepEqual(paths.slice(2), ['/2', '/3', '/4', '/5']);
});

test('of idle connections the one that was used last is taken first', async (t) => {
  const held = new Map<string, Socket>();
  const { connections, made } = await stage(t, (path, socket) => {
    held.set(path, socket);
    return path === '/again' ? plain : '';
  });
  const first = send(connections, get('/first'));
  const second = send(connections, get('/second'));
  while (held.size < 2) await turn();
  held.get('/second')?.write(plain);
  await second;
  held.get('/first')?.write(plain);
  await first;
  await send(connections, get('/again'));
  assert.equal(held.get('/again'), held.get('/first'));
  assert.equal(made.length, 2);
});

test('what was given up before its turn is not sent, and its connection serves the next', async (t) => {
  const { connections, made, paths } = await stage(t, plain, { connections: 1 });
  await send(connections, get('/warm'));
  class GivenUp extends NotingHandler {
    override onRequestStart(control: ExchangeControl): void {
      super.onRequestStart(control);
      control.abort(new Error('given up'));
    }
  }
  const handler = new GivenUp();
  connections.dispatch(get('/given-up'), handler);
  assert.equal((await handler.over).error?.message, 'given up');
  assert.equal(handler.ends, 1);
  assert.equal((await send(connections, get('/next'))).body, 'ok');
  assert.deepEqual(paths, ['/warm', '/next']);
  assert.equal(made.length, 1);
});

for (const what of ['bytes nobody asked for', 'its end', 'a reset'] as const) {
  test(`an idle connection that brings ${what} is not used again, also when both come at once`, async (t) => {
    const { connections, service, made } = await stage(t, plain);
    await send(connections, get('/'));
    const [socket] = service.sockets;
    // Timers come before events in a turn: the request is there first, and the bytes are when it is written.
    await delay(1);
    if (what === 'its end') socket?.end();
    else if (what === 'a reset') {
      socket?.resetAndDestroy();
      while (service.sockets.size > 0) await turn();
    } else socket?.write(`${ok}Content-Length: 4\r\n\r\nEVIL`);
    const answer = await send(connections, get('/next'));
    assert.equal(answer.error, undefined);
    assert.equal(answer.body, 'ok');
    assert.equal(made.length, 2);
    await closed(made[0]);
  });
}

test('bytes behind an answer end its connection, and the answer stands', async (t) => {
  for (const behind of [`${plain}${ok}Content-Length: 4\r\n\r\nEVIL`, `${plain}\r\n`]) {
    const { connections, made } = await stage(t, behind);
    for (let i = 1; i < 3; i++) {
      assert.equal((await send(connections, get('/'))).body, 'ok');
      assert.equal(made.length, i);
    }
  }
});

test('a connection ends after an answer that says so, and after one that has no other end', async (t) => {
  const answers = [
    `${ok}Connection: close\r\nContent-Length: 2\r\n\r\nok`,
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
    `${ok}Keep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok`,
  ];
  for (const answer of answers) {
    const { connections, made } = await stage(t, answer);
    for (let i = 0; i < 2; i++) assert.equal((await send(connections, get('/'))).body, 'ok');
    assert.equal(made.length, 2, answer);
    await closed(made[1]);
  }
  const { connections, made } = await stage(t, (_path, socket) => {
    socket.end(`${ok}\r\nto the end`);
    return '';
  });
  assert.equal((await send(connections, get('/'))).body, 'to the end');
  await closed(made[0]);
});

test('a connection that is reset has not ended its answer, even where nothing else ends it', async (t) => {
  const { connections } = await stage(t, (_path, socket) => {
    socket.write(`${ok}\r\npart`, () => setTimeout(() => socket.resetAndDestroy(), 20));
    return '';
  });
  const { error, body } = await send(connections, get('/'));
  assert.equal(body, 'part');
  assert.equal(error?.code, 'ECONNRESET');
});

test('an answer that breaks off fails with the code of a broken connection', async (t) => {
  const cut = [
    '',
    'HTTP/1.1 2',
    `${ok}Content-Length: 5\r\n\r\nok`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n`,
  ];
  for (const bytes of cut) {
    const { connections } = await stage(t, (_path, socket) => {
      socket.end(bytes);
      return '';
    });
    const handler = new NotingHandler();
    connections.dispatch(get('/'), handler);
    assert.equal((await handler.over).error?.code, 'UND_ERR_SOCKET', bytes);
    assert.deepEqual([handler.starts, handler.ends], [1, 1]);
  }
});

test('a malformed answer ends its connection', async (t) => {
  const { connections, made } = await stage(t, (path) => (path === '/bad' ? 'HTTP/1.1 200 OK\nA: b\n\n' : plain));
  assert.equal((await send(connections, get('/bad'))).error?.code, 'HPE_INVALID_ANSWER');
  assert.equal((await send(connections, get('/'))).body, 'ok');
  assert.equal(made.length, 2);
});

test('an abort in the middle of an answer cuts its connection, and one after its end does nothing', async (t) => {
  const { connections, made } = await stage(t, (path) =>
    path === '/half' ? `${ok}Content-Length: 9\r\n\r\nok` : plain,
  );
  const half = new NotingHandler();
  half.onResponseData = (control) => control.abort(new Error('enough'));
  connections.dispatch(get('/half'), half);
  assert.equal((await half.over).error?.message, 'enough');
  await closed(made[0]);

  const early = new NotingHandler();
  connections.dispatch(get('/'), early);
  await early.over;
  const next = new NotingHandler();
  connections.dispatch(get('/'), next);
  await next.started;
  early.control?.pause();
  early.control?.abort(new Error('too late'));
  early.control?.resume();
  assert.equal((await next.over).body, 'ok');
  assert.deepEqual([early.ends, early.error], [1, undefined]);
  assert.equal(made.length, 2);
});

test('a handler that throws fails its own exchange alone', async (t) => {
  const { connections } = await stage(t, plain);
  for (const name of ['onRequestStart', 'onResponseStart', 'onResponseData'] as const) {
    const handler = new NotingHandler();
    handler[name] = () => {
      throw new Error(name);
    };
    connections.dispatch(get('/'), handler);
    assert.equal((await handler.over).error?.message, name);
    assert.equal((await send(connections, get('/'))).body, 'ok');
  }
});

test('a pause holds the service back, and a body that was paused comes whole', async (t) => {
  const bytes = Buffer.alloc(20_000_000, '0123456789abcdef');
  let written = 0;
  await using service = await startService((_request, response) => {
    response.writeHead(200, { 'content-length': bytes.length });
    for (let at = 0; at < bytes.length; at += 1_000_000) {
      response.write(bytes.subarray(at, at + 1_000_000), () => {
        written += 1_000_000;
      });
    }
    response.end();
  });
  const { connections, made } = openConnections(service.url);
  t.after(() => connections.destroy());
  let received = 0;
  const paused = Promise.withResolvers<void>();
  const handler = new NotingHandler();
  handler.onResponseData = (control, chunk) => {
    assert.ok(chunk.equals(bytes.subarray(received, received + chunk.length)));
    received += chunk.length;
    control.pause();
    paused.resolve();
  };
  connections.dispatch(get('/'), handler);
  await paused.promise;
  let before = -1;
  while (before !== written) {
    before = written;
    await delay(50);
  }
  assert.ok(written < bytes.length, 'the service was not held back');
  assert.ok(received < 1_000_000, `${received} bytes in spite of the pause`);
  const resume = setInterval(() => handler.control?.resume(), 0);
  t.after(() => clearInterval(resume));
  assert.equal((await handler.over).error, undefined);
  assert.equal(received, bytes.length);
  // It was paused behind the last byte, which does not hold up the next.
  clearInterval(resume);
  const next = new NotingHandler();
  connections.dispatch(get('/'), next);
  await next.over;
  assert.equal(next.body.length, bytes.length);
  assert.equal(made.length, 1);
});

test('idle connections are closed in time: ours, or what the service says less a second', async (t) => {
  let nowMs = 0;
  const long = `${ok}Keep-Alive: max=9, timeout=20\r\nContent-Length: 2\r\n\r\nok`;
  const cases: [string, number][] = [
    [plain, 4_000],
    [long, 19_000],
    [long.replace('=20', '=99999999'), 600_000],
  ];
  for (const [answer, idleMs] of cases) {
    const { connections, made } = await stage(t, answer, { now: () => nowMs });
    await send(connections, get('/'));
    nowMs += idleMs - 1;
    await send(connections, get('/'));
    assert.equal(made.length, 1);
    nowMs += idleMs;
    await send(connections, get('/'));
    assert.equal(made.length, 2, 'taken although its time was over');
    await closed(made[0]);
    nowMs += idleMs;
    connections.sweep();
    await closed(made[1]);
  }
});

test('a connection that is as old as it may be takes nothing more', async (t) => {
  let nowMs = 0;
  const { connections, made } = await stage(t, plain, { now: () => nowMs, maxAgeMs: 10_000 });
  for (let i = 0; i < 5; i++) {
    await send(connections, get('/'));
    nowMs += 2_500;
  }
  assert.equal(made.length, 2);
  await closed(made[0]);
});

test('where no connection can be made each request fails once, and nothing was begun', async (t) => {
  let attempts = 0;
  const { connections } = await stage(t, plain, {
    connections: 2,
    connect: () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED', attempt: ++attempts })),
  });
  const handlers = Array.from({ length: 5 }, () => new NotingHandler());
  for (const handler of handlers) connections.dispatch(get('/'), handler);
  for (const handler of handlers) {
    assert.equal((await handler.over).error?.code, 'ECONNREFUSED');
    assert.deepEqual([handler.starts, handler.ends], [0, 1]);
  }
  assert.equal(attempts, 5);
});

test('a connection that cannot be made fails nobody for whom another one becomes free', async (t) => {
  const refusal = Promise.withResolvers<never>();
  const held: Socket[] = [];
  const { service } = await stage(t, (_path, socket) => {
    held.push(socket);
    return '';
  });
  const sockets: Promise<Socket>[] = [];
  const { connections } = openConnections(service.url, {
    connections: 2,
    connect() {
      const { hostname, port } = new URL(service.url);
      const made = sockets.length === 0 ? connectTo(Number(port), hostname) : refusal.promise;
      sockets.push(made);
      return made;
    },
  });
  t.after(() => connections.destroy());
  const first = new NotingHandler();
  const second = new NotingHandler();
  connections.dispatch(get('/1'), first);
  connections.dispatch(get('/2'), second);
  await first.started;
  while (held.length < 1) await turn();
  held[0]?.write(plain);
  await second.started;
  refusal.reject(new Error('refused'));
  while (held.length < 2) await turn();
  held[1]?.write(plain);
  assert.equal((await second.over).body, 'ok');
});

async function connectTo(port: number, host: string): Promise<Socket> {
  const socket = connect(port, host);
  await once(socket, 'connect');
  return socket;
}

test('closing lets what was dispatched end, and takes nothing more', async (t) => {
  const held: Socket[] = [];
  const hold = (_path: string, socket: Socket) => {
    held.push(socket);
    return '';
  };
  const { connections, made } = await stage(t, hold, { connections: 1 });
  const first = send(connections, get('/1'));
  const second = send(connections, get('/2'));
  while (held.length < 1) await turn();
  const over = connections.close();
  assert.equal((await send(connections, get('/3'))).error?.code, 'UND_ERR_CLOSED');
  held[0]?.write(plain);
  assert.equal((await first).body, 'ok');
  while (held.length < 2) await turn();
  held[1]?.write(plain);
  assert.equal((await second).body, 'ok');
  await over;
  await closed(made[0]);
  assert.equal(made.length, 1);
  const idle = await stage(t, plain);
  await send(idle.connections, get('/'));
  await idle.connections.close();
  await closed(idle.made[0]);
});

test('destroying cuts what is under way and what waits, also for a connection', async (t) => {
  const { connections, made } = await stage(t, '', { connections: 1 });
  const under = new NotingHandler();
  connections.dispatch(get('/1'), under);
  await under.started;
  const waiting = send(connections, get('/2'));
  await connections.destroy();
  assert.equal((await under.over).error?.code, 'UND_ERR_DESTROYED');
  assert.equal((await waiting).error?.code, 'UND_ERR_DESTROYED');
  assert.equal((await send(connections, get('/3'))).error?.code, 'UND_ERR_DESTROYED');
  await closed(made[0]);

  const never = await stage(t, plain, { connect: () => new Promise(() => {}) });
  const unconnected = send(never.connections, get('/'));
  await never.connections.destroy();
  assert.equal((await unconnected).error?.code, 'UND_ERR_DESTROYED');

  const other = await stage(t, plain);
  const early = send(other.connections, get('/'));
  await other.connections.destroy();
  assert.equal((await early).error?.code, 'UND_ERR_DESTROYED');
  while (other.made.length === 0) await turn();
  await closed(other.made[0]);
});

test('an early answer to a body that is not read ends the connection', async (t) => {
  const { connections, made, service } = await stage(t, (_path, socket) => {
    socket.pause();
    return plain;
  });
  const answer = await send(connections, get('/', { method: 'POST', body: Buffer.alloc(30_000_000) }));
  assert.equal(answer.body, 'ok');
  await closed(made[0]);
  for (const socket of service.sockets) socket.destroy();
});

test('an http server of Node is understood in all it answers', async (t) => {
  await using service = await startService((request, response) => {
    if (request.url === '/hints') response.writeEarlyHints({ link: '</a>; rel=preload' });
    if (request.url === '/trailers') response.writeHead(200, { trailer: 'x-sum' });
    for (let i = 0; i < 3; i++) response.write(`${i}`);
    if (request.url === '/trailers') response.addTrailers({ 'x-sum': '3' });
    response.end();
  });
  const { connections, made } = openConnections(service.url);
  t.after(() => connections.destroy());
  assert.deepEqual((await send(connections, get('/hints'))).interims, [103]);
  const answer = await send(connections, get('/trailers'));
  assert.deepEqual([answer.body, answer.trailers], ['012', ['x-sum', '3']]);
  assert.equal((await send(connections, get('/', { method: 'HEAD' }))).body, '');
  assert.equal((await send(connections, get('/'))).body, '012');
  assert.equal(made.length, 2, 'a HEAD ends its connection');
});

test('pieces give their memory back where nothing of them is held, and nowhere else', async (t) => {
  class Keeping extends NotingHandler {
    readonly chunks: Buffer[] = [];
    override onResponseData(control: ExchangeControl, chunk: Buffer): void {
      super.onResponseData(control, chunk);
      this.chunks.push(chunk);
    }
  }
  class LettingGo extends Keeping {
    holdsNothing(): boolean {
      return true;
    }
  }
  const large = 'x'.repeat(300_000);
  const { connections } = await stage(t, `${ok}Content-Length: ${large.length}\r\n\r\n${large}`);
  for (const handler of [new Keeping(), new LettingGo()]) {
    connections.dispatch(get('/'), handler);
    assert.equal((await handler.over).body, large);
    await turn();
    const kept = handler.chunks.reduce((sum, { length }) => sum + length, 0);
    if (handler instanceof LettingGo) assert.ok(kept < large.length / 2, `${kept} bytes are still there`);
    else assert.equal(kept, large.length);
  }
});
