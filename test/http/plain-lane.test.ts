import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { readPlainHead } from '../../gateway/plain-head.ts';
import { addPlainLane } from '../../gateway/plain-lane.ts';
import { createRandom } from '../support/random.ts';

// Plain requests are read without Node's parser. What is read so must be what Node's parser reads from the same bytes, and
// everything else must reach that parser as it came.

const limits = {
  maxHeaderBytes: 16_384,
  maxHeaderCount: 100,
  headersTimeoutMs: 10_000,
  clientIdleMs: 30_000,
  keepAliveMs: 65_000,
  maxRequestsPerConnection: 0,
  maxConnections: 0,
};

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

async function readRequest(request: IncomingMessage): Promise<Seen> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  const { method, url, httpVersion, rawHeaders, headers } = request;
  return { method, url, httpVersion, rawHeaders, headers, body: Buffer.concat(pieces).toString('latin1') };
}

/** What Node's parser makes of bytes; null where it refuses them, or finds them to be less or more than one request. */
async function readByNode(bytes: Buffer): Promise<(Seen & { readonly keepsAlive: boolean }) | null> {
  const seen: Promise<Seen & { keepsAlive: boolean }>[] = [];
  let refused = false;
  const server = createServer((request, response) => {
    seen.push(readRequest(request).then((found) => ({ ...found, keepsAlive: response.shouldKeepAlive })));
  });
  server.on('clientError', () => {
    refused = true;
  });
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  server.emit('connection', socket);
  socket.push(bytes);
  await new Promise(setImmediate);
  const [first] = seen;
  if (refused || seen.length !== 1 || first === undefined) return null;
  const found = await Promise.race([first, new Promise<null>((resolve) => setImmediate(resolve, null))]);
  socket.destroy();
  return found;
}

const plain = [
  'GET /api/x HTTP/1.1\r\nHost: shop.example\r\n\r\n',
  'GET /api/x?a=b&c=%20 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n',
  'DELETE /a;b HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\nX-A: b, c\r\nCookie: a=b; c="d"\r\n\r\n',
  'POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
  'PUT /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
  'POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n',
];
const spices = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\0',
    '\t',
    ' ',
    '  ',
    ':',
    ': ',
    ',',
    ';',
    '\x7f',
    '\x80',
    '\xff',
    '0',
    '1',
    '-',
    '_',
    '"',
  ],
  ...[
    'Host: b\r\n',
    'Content-Length: 1\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: upgrade\r\n',
    'Upgrade: x\r\n',
  ],
  ...[
    'Connection: close\r\n',
    'Expect: 100-continue\r\n',
    ' folded\r\n',
    'X_Y: z\r\n',
    'x: \r\n',
    '__proto__: a\r\n',
    'TE: trailers\r\n',
  ],
  ...['HTTP/1.0', 'HTTP/1.1', 'HTTP/2.0', 'http://b/', '*', '#', '/', '..', 'GET ', 'get ', 'PRI '],
];

test('what is read as plain is what the parser of Node reads', async () => {
  const random = createRandom(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    let text = pick(plain);
    for (let changes = Math.floor(random() * 3); changes > 0; changes--) {
      const at = Math.floor(random() * (text.length + 1));
      const cut = random() < 0.5 ? 0 : Math.floor(random() * 4);
      text = text.slice(0, at) + (random() < 0.2 ? '' : pick(spices)) + text.slice(at + cut);
    }
    const bytes = Buffer.from(text, 'latin1');
    const head = readPlainHead(bytes, limits);
    if (head === null) continue;
    accepted++;
    const { method, url, rawHeaders, headers, keepsAlive } = head;
    const body = head.body?.toString('latin1') ?? '';
    const own = { method, url, httpVersion: '1.1', rawHeaders, headers, body, keepsAlive };
    assert.deepEqual(own, await readByNode(bytes), JSON.stringify(text));
  }
  assert.ok(accepted > 5_000, `only ${accepted} were plain`);
});

for (const text of plain) {
  test(`plain is ${JSON.stringify(text.slice(0, 50))}`, () => {
    assert.notEqual(readPlainHead(Buffer.from(text), limits), null);
  });
}

interface Lane extends AsyncDisposable {
  readonly port: number;
  readonly seen: Seen[];
  /** What was served without Node's parser. */
  plain(): number;
}

type Answer = (request: IncomingMessage, response: ServerResponse, seen: Seen) => void;

async function startLane(
  answer: Answer = (_request, response, { url }) => response.writeHead(200, []).end(`${url};`),
  changes: Partial<typeof limits> = {},
): Promise<Lane> {
  const seen: Seen[] = [];
  let plainOnes = 0;
  const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    if (request.constructor.name === 'PlainRequest') plainOnes++;
    const found = await readRequest(request);
    seen.push(found);
    answer(request, response, found);
  });
  addPlainLane(server, { limits: { ...limits, ...changes } });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    plain: () => plainOnes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setNoDelay();
  await once(socket, 'connect');
  return socket;
}

/** What a socket says until `isEnough`, or to its end. */
async function hear(socket: Socket, isEnough: (text: string) => boolean = () => false): Promise<string> {
  let text = '';
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    text += piece.toString('latin1');
    if (isEnough(text)) break;
  }
  return text;
}

const get = (path: string, fields = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const last = 'Connection: close\r\n';

test('a request that comes in pieces is the same request, wherever it is cut', async () => {
  await using lane = await startLane();
  const text = `POST /a?b HTTP/1.1\r\nHost: a\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nabc`;
  const whole: Seen[] = [];
  for (let cut = 1; cut <= text.length; cut++) {
    const socket = await open(lane.port);
    socket.write(text.slice(0, cut));
    if (cut < text.length) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      socket.write(text.slice(cut));
    }
    assert.match(await hear(socket, (heard) => heard.includes('/a?b;')), /^HTTP\/1\.1 200 OK\r\n/);
    socket.destroy();
    whole.push(...lane.seen.splice(0));
  }
  assert.equal(whole.length, text.length);
  for (const one of whole) assert.deepEqual(one, whole[0]);
  assert.equal(whole[0]?.body, 'abc');
});

test('requests that do not wait for their answers are answered in their order', async () => {
  await using lane = await startLane((_request, response, { url }) => {
    setTimeout(() => response.writeHead(200, []).end(`${url};`), url === '/1' ? 30 : 1);
  });
  const socket = await open(lane.port);
  socket.write(get('/0'));
  await hear(socket, (heard) => heard.includes('/0;'));
  socket.write(get('/1'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  socket.write(get('/2') + get('/3'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  socket.write(get('/4', last));
  const heard = await hear(socket);
  assert.deepEqual([...heard.matchAll(/\/\d;/g)].join(''), '/1;/2;/3;/4;');
  assert.equal(lane.plain(), 2);
});

test('several requests in one piece all go to the parser of Node', async () => {
  await using lane = await startLane();
  const socket = await open(lane.port);
  socket.write(get('/1') + get('/2', last));
  assert.match(await hear(socket), /\/1;.*\/2;/s);
  assert.equal(lane.plain(), 0);
});

test('an answer without a length is chunked, and one that ends at once has one', async () => {
  await using lane = await startLane((_request, response, { url }) => {
    if (url === '/trailed') {
      response.writeHead(200, ['trailer', 'x-sum']);
      response.addTrailers([['x-sum', '2']]);
      response.end('once');
    } else if (url === '/whole') response.writeHead(200, []).end('whole ü');
    else {
      response.writeHead(200, ['trailer', 'x-sum']);
      response.write('first');
      setImmediate(() => {
        response.write(Buffer.alloc(5_000, 0x61));
        response.addTrailers([['x-sum', '1']]);
        response.end('last');
      });
    }
  });
  const socket = await open(lane.port);
  socket.write(get('/whole'));
  const whole = await hear(socket, (heard) => heard.includes('whole'));
  assert.match(whole, /\r\ncontent-length: 8\r\n\r\nwhole \xc3\xbc$/);
  socket.write(get('/trailed'));
  const trailed = await hear(socket, (heard) => heard.includes('x-sum: 2'));
  assert.match(trailed, /\r\ntransfer-encoding: chunked\r\n\r\n4\r\nonce\r\n0\r\nx-sum: 2\r\n\r\n$/);
  socket.write(get('/parts', last));
  const parts = await hear(socket);
  assert.match(
    parts,
    /\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n1388\r\na{5000}\r\n4\r\nlast\r\n0\r\nx-sum: 1\r\n\r\n$/,
  );
});

test('HEAD, 204 and 304 have no body, whatever is written', async () => {
  await using lane = await startLane((_request, response, { url }) => {
    const status = Number(url?.slice(1));
    response.writeHead(status, status === 200 ? ['content-length', '4'] : []);
    response.write('bo');
    response.end('dy');
  });
  const socket = await open(lane.port);
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
    ['GET', 200],
  ] as const) {
    socket.write(`${method} /${status} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const heard = await hear(
      socket,
      (text) => text.includes('\r\n\r\n') && (status !== 200 || method === 'HEAD' || text.endsWith('body')),
    );
    assert.match(
      heard,
      new RegExp(`^HTTP/1.1 ${status} .*\r\n\r\n${method === 'GET' && status === 200 ? 'body' : ''}$`, 's'),
    );
    assert.equal(heard.includes('chunked'), false);
  }
});

test('a field that would begin another one is refused as Node refuses it', async () => {
  const refused: unknown[] = [];
  await using lane = await startLane((_request, response) => {
    for (const fields of [
      ['x', 'a\r\nset-cookie: b'],
      ['x y', 'a'],
      ['x', '\u2028'],
      ['x', 'a\0'],
    ]) {
      try {
        response.writeHead(200, fields);
      } catch (error) {
        refused.push((error as NodeJS.ErrnoException).code);
      }
    }
    response.writeHead(200, []).end('good');
  });
  const socket = await open(lane.port);
  socket.write(get('/', last));
  assert.match(await hear(socket), /^HTTP\/1\.1 200 OK\r\n.*good$/s);
  assert.deepEqual(refused, ['ERR_INVALID_CHAR', 'ERR_INVALID_HTTP_TOKEN', 'ERR_INVALID_CHAR', 'ERR_INVALID_CHAR']);
});

test('a connection that is not used is closed after its time, and so is one that says nothing', async () => {
  await using lane = await startLane(undefined, { keepAliveMs: 200, headersTimeoutMs: 400 });
  const silent = await open(lane.port);
  const used = await open(lane.port);
  used.write(get('/'));
  assert.match(await hear(used), /\/;$/);
  assert.equal(await hear(silent), '');
});

test('a client that leaves is gone for whoever answers it', async () => {
  const gone = Promise.withResolvers<boolean>();
  await using lane = await startLane((_request, response) => {
    response.once('close', () => gone.resolve(response.writableFinished));
  });
  const socket = await open(lane.port);
  socket.write(get('/'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.resetAndDestroy();
  assert.equal(await gone.promise, false);
});

test('what a client does not read is held back, and goes on when it does', async () => {
  const piece = Buffer.alloc(1_048_576, 0x62);
  let waits = 0;
  await using lane = await startLane(async (_request, response) => {
    response.writeHead(200, ['content-length', String(16 * piece.length)]);
    for (let i = 0; i < 16; i++) {
      if (response.write(piece)) continue;
      waits++;
      await once(response, 'drain');
    }
    response.end();
  });
  const socket = await open(lane.port);
  socket.pause();
  socket.write(get('/', last));
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.resume();
  const heard = await hear(socket);
  assert.equal(heard.length - heard.indexOf('\r\n\r\n') - 4, 16 * piece.length);
  assert.ok(waits > 0);
});

test('after as many requests as a connection may carry the client is told', async () => {
  await using lane = await startLane(undefined, { maxRequestsPerConnection: 2 });
  const socket = await open(lane.port);
  socket.write(get('/1'));
  assert.match(await hear(socket, (heard) => heard.endsWith('/1;')), /connection: keep-alive/);
  socket.write(get('/2'));
  assert.match(await hear(socket), /connection: close.*\/2;$/s);
});
