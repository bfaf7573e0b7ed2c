import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import zlib from 'node:zlib';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest, until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

const text = JSON.stringify({ words: 'all work and no play '.repeat(2_000) });
const decoders = {
  gzip: zlib.createGunzip,
  br: zlib.createBrotliDecompress,
  zstd: zlib.createZstdDecompress,
} as const;
const decode = { gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync, zstd: zlib.zstdDecompressSync } as const;
const codings = ['gzip', 'br', 'zstd'] as const;

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Without the unpacking that `fetch` does. */
async function ask(
  url: string,
  acceptEncoding: string,
  method = 'GET',
  more: object = {},
  body?: Buffer | string,
): Promise<Answer> {
  const headers = { 'accept-encoding': acceptEncoding, ...more };
  const client = httpRequest(url, { method, headers, agent: false }).end(body);
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

async function stage(
  t: TestContext,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  route = {},
) {
  const gateway = await startGateway(t, { policies: { compression: {} } });
  const service = await startServer(t, listener);
  await registerRest(gateway, 'texts', service.url, [{ match: { path: '/api/*' }, ...route }]);
  return `${gateway.url}/api/text`;
}

function sendText(_request: IncomingMessage, response: ServerResponse): void {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), etag: '"1"' };
  response.writeHead(200, headers).end(text);
}

for (const coding of codings) {
  test(`an answer arrives whole by ${coding}, and HEAD has its head`, async (t) => {
    const url = await stage(t, sendText);
    const { headers, body } = await ask(url, coding);
    assert.equal(decode[coding](body).toString(), text);
    assert.ok(body.length < text.length / 10);
    assert.equal(headers['content-encoding'], coding);
    assert.equal(headers['content-length'], undefined);
    assert.equal(headers.etag, 'W/"1"');
    const head = await ask(url, coding, 'HEAD');
    const names = (all: IncomingMessage['headers']) =>
      Object.keys(all)
        .filter((name) => !['date', 'x-request-id', 'transfer-encoding'].includes(name))
        .toSorted();
    assert.deepEqual(names(head.headers), names(headers));
    assert.equal(head.body.length, 0);
  });

  test(`events arrive one by one by ${coding}`, async (t) => {
    let events: ServerResponse | undefined;
    let left = false;
    const url = await stage(t, (_request, response) => {
      response.once('close', () => {
        left = true;
      });
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      events = response;
    });
    const client = httpRequest(url, { headers: { 'accept-encoding': coding }, agent: false }).end();
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    assert.equal(response.headers['content-encoding'], coding);
    let seen = '';
    const decoder = decoders[coding]();
    decoder.on('error', () => {});
    response.on('error', () => {});
    response.pipe(decoder).on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      events?.write(event);
      await until(() => seen.endsWith(event), event);
    }
    client.destroy();
    await until(() => left, 'the service learns that the client left');
  });
}

test('a route can switch off what the gateway says, and a part of a thing is never compressed', async (t) => {
  const off = await stage(t, sendText, { compression: { enabled: false } });
  assert.equal((await ask(off, 'gzip')).headers['content-encoding'], undefined);
  const part = await stage(t, (_request, response) => {
    response
      .writeHead(206, { 'content-type': 'text/plain', 'content-range': 'bytes 0-4999/9999' })
      .end('x'.repeat(5_000));
  });
  assert.equal((await ask(part, 'gzip', 'GET', { range: 'bytes=0-4999' })).headers['content-encoding'], undefined);
});

test('a client that does not read pauses the service behind the compression', async (t) => {
  let sent = 0;
  const noise = Buffer.from(Array.from({ length: 65_536 }, () => Math.random() * 256));
  const url = await stage(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    const pour = (): void => {
      while (sent < 134_217_728) {
        sent += noise.length;
        if (!response.write(noise)) return void response.once('drain', pour);
      }
      response.end();
    };
    pour();
  });
  const client = httpRequest(url, { headers: { 'accept-encoding': 'gzip' }, agent: false }).end();
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  response.pause();
  let before = -1;
  let since = performance.now();
  await until(() => {
    if (sent !== before) since = performance.now();
    before = sent;
    return sent > 0 && performance.now() - since > 600;
  }, 'the stream stands');
  assert.ok(sent < 67_108_864, `${sent} bytes left the service`);
  let received = 0;
  const decoder = zlib.createGunzip();
  response.pipe(decoder);
  for await (const chunk of decoder) received += (chunk as Buffer).length;
  assert.equal(received, 134_217_728);
});

test('an answer that breaks off does not look whole', async (t) => {
  const url = await stage(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).write('x'.repeat(50_000));
    setTimeout(() => response.destroy(), 100);
  });
  await assert.rejects(ask(url, 'gzip'));
});

test('what is kept is kept plain, and compressed for whom it is given to', async (t) => {
  let asked = 0;
  const listener = (_request: IncomingMessage, response: ServerResponse) => {
    asked++;
    response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'max-age=60' }).end(text);
  };
  const url = await stage(t, listener, { cache: {} });
  const first = await ask(url, 'gzip');
  assert.equal(zlib.gunzipSync(first.body).toString(), text);
  assert.equal((await ask(url, 'identity')).body.toString(), text);
  assert.equal(zlib.brotliDecompressSync((await ask(url, 'br')).body).toString(), text);
  assert.equal(asked, 1);
});

test('GraphQL answers are compressed too, and requests may be, up to the size that they may have', async (t) => {
  const gateway = await startGateway(t, {
    policies: { compression: { minimumSize: '100b' } },
    limits: { maxGraphqlBodySize: '64kb' },
  });
  const subgraph = await startSubgraph(t, 'type Query { words: String }', { Query: { words: () => text } });
  await registerGraphql(gateway, 'words', subgraph.url);
  const url = `${gateway.url}/graphql`;
  const json = { 'content-type': 'application/json' };
  const query = JSON.stringify({ query: '{ words }' });
  for (const coding of codings) {
    const { status, headers, body } = await ask(url, coding, 'POST', json, query);
    assert.equal(status, 200);
    assert.equal(headers['content-encoding'], coding);
    assert.equal(headers['content-length'], String(body.length));
    assert.equal(JSON.parse(decode[coding](body).toString()).data.words, text);
  }
  const packed = { ...json, 'content-encoding': 'gzip' };
  assert.match((await ask(url, '', 'POST', packed, zlib.gzipSync(query))).body.toString(), /all work/);
  assert.equal((await ask(url, '', 'POST', packed, zlib.gzipSync(Buffer.alloc(10_000_000)))).status, 413);
  assert.equal((await ask(url, '', 'POST', packed, query)).status, 400);
  assert.equal((await ask(url, '', 'POST', { ...json, 'content-encoding': 'deflate' }, query)).status, 415);
});

test('a request to a service passes with its coding', async (t) => {
  const url = await stage(
    t,
    (request, response) =>
      void request.pipe(response.writeHead(200, { 'x-coding': request.headers['content-encoding'] })),
  );
  const packed = zlib.gzipSync(text);
  const { headers, body } = await ask(url, '', 'POST', { 'content-encoding': 'gzip' }, packed);
  assert.equal(headers['x-coding'], 'gzip');
  assert.deepEqual(body, packed);
});

test('trailers follow a compressed answer, but for digests, and an announced digest keeps it plain', async (t) => {
  const url = await stage(t, (request, response) => {
    const announced = request.url?.includes('announced') ? { trailer: 'repr-digest' } : {};
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked', ...announced });
    response.write(text);
    response.addTrailers({ 'repr-digest': 'sha-256=:x:', 'x-rows': '7' });
    response.end();
  });
  const read = async (query: string) => {
    const headers = { 'accept-encoding': 'gzip', te: 'trailers', connection: 'te' };
    const client = httpRequest(url + query, { headers, agent: false }).end();
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { coding: response.headers['content-encoding'], body: Buffer.concat(chunks), trailers: response.trailers };
  };
  const compressed = await read('');
  assert.equal(compressed.coding, 'gzip');
  assert.equal(zlib.gunzipSync(compressed.body).toString(), text);
  assert.deepEqual({ ...compressed.trailers }, { 'x-rows': '7' });
  const plain = await read('?announced');
  assert.equal(plain.coding, undefined);
  assert.equal(plain.body.toString(), text);
  assert.deepEqual({ ...plain.trailers }, { 'repr-digest': 'sha-256=:x:', 'x-rows': '7' });
});

test('limits of bytes count a compressed answer as it is sent, and HTTP/1.0 gets it until the end of the connection', async (t) => {
  const limit = { name: 'out', count: 'responseBytes', limit: '1mb', window: '1h', key: 'ip' };
  const url = await stage(t, sendText, { rateLimit: [limit] });
  const first = await ask(url, 'gzip');
  assert.equal(first.headers['content-encoding'], 'gzip');
  const remaining = (answer: Answer): number => Number(/r=(\d+)/.exec(String(answer.headers['ratelimit']))?.[1]);
  const spent = remaining(first) - remaining(await ask(url, 'gzip'));
  assert.ok(spent < 2_000, `${spent} of ${text.length}`);
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET ${pathname} HTTP/1.0\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const all = Buffer.concat(chunks);
  const end = all.indexOf('\r\n\r\n');
  assert.doesNotMatch(all.subarray(0, end).toString(), /transfer-encoding/i);
  assert.equal(zlib.gunzipSync(all.subarray(end + 4)).toString(), text);
});
