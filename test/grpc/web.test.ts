import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { frameMessage } from '../../subgraphs/grpc-frames.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { startShop } from './orders.ts';

/** `GetOrder` or `NamedRequest`, whose first field is a text. */
function message(text: string): Buffer {
  return frameMessage(Buffer.concat([Buffer.from([0x0a, text.length]), Buffer.from(text)]));
}

/** Frames as flag and content. */
function split(body: Buffer): [number, Buffer][] {
  const frames: [number, Buffer][] = [];
  for (let at = 0; at < body.length; ) {
    const size = body.readUInt32BE(at + 1);
    frames.push([body[at] ?? 0, body.subarray(at + 5, at + 5 + size)]);
    at += 5 + size;
  }
  return frames;
}

async function call(url: string, path: string, body: Buffer | string, type = 'application/grpc-web+proto') {
  const headers = { 'content-type': type, 'x-grpc-web': '1' };
  const response = await fetch(url + path, { method: 'POST', headers, body: body as string });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
}

test('gRPC-Web over HTTP/1.1 is gRPC at the service; trailers come as the last frame', async (t) => {
  const { gateway, seen } = await startShop(t);
  const { response, bytes } = await call(gateway.url, '/shop.v1.Orders/Read', message('abc'));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/grpc-web+proto');
  const [answer, end, ...rest] = split(bytes);
  assert.deepEqual(answer, [0, Buffer.from('\n\x03abc')]);
  assert.equal(end?.[0], 0x80);
  assert.match(String(end?.[1]), /^grpc-status:0\r\n/);
  assert.equal(rest.length, 0);
  assert.deepEqual(seen[0]?.metadata.get('x-grpc-web'), []);
});

test('in base64, also in pieces with padding of their own', async (t) => {
  const { gateway } = await startShop(t);
  const whole = message('abcd');
  const text = whole.subarray(0, 4).toString('base64') + whole.subarray(4).toString('base64');
  const { response, bytes } = await call(gateway.url, '/shop.v1.Orders/Read', text, 'application/grpc-web-text');
  assert.equal(response.headers.get('content-type'), 'application/grpc-web-text+proto');
  const decoded = Buffer.concat((String(bytes).match(/[^=]+={0,2}/g) ?? []).map((part) => Buffer.from(part, 'base64')));
  assert.deepEqual(split(decoded)[0], [0, Buffer.from('\n\x04abcd')]);
  const wrong = await call(gateway.url, '/shop.v1.Orders/Read', 'AAAA?', 'application/grpc-web-text');
  assert.match(Buffer.from(String(wrong.bytes), 'base64').toString(), /grpc-status:3\r\n/);
});

test('failures are a frame of trailers and HTTP 200, whoever fails', async (t) => {
  const { gateway } = await startShop(t);
  const theirs = await call(gateway.url, '/shop.v1.Orders/Get', message('fail-5'));
  assert.match(String(theirs.bytes), /grpc-status:5\r\n/);
  assert.match(String(theirs.bytes), /grpc-message:n%C3%B6(?:%20| )fail-5\r\n/i);
  const ours = await call(gateway.url, '/none.Such/Get', message('x'));
  assert.equal(ours.response.status, 200);
  assert.equal(split(ours.bytes)[0]?.[0], 0x80);
  assert.match(String(ours.bytes), /grpc-status:12\r\n/);
});

test('a stream of the service passes message by message', async (t) => {
  const { gateway } = await startShop(t);
  const { bytes } = await call(gateway.url, '/shop.v1.Orders/Watch', frameMessage(Buffer.from([0x08, 3])));
  const frames = split(bytes);
  assert.deepEqual(
    frames.map(([flag]) => flag),
    [0, 0, 0, 0x80],
  );
  assert.equal(String(frames[2]?.[1].subarray(2)), 'note 3');
});

test('a service may keep gRPC-Web out', async (t) => {
  const { gateway } = await startShop(t, { grpc: { web: 'refuse' } });
  const { bytes } = await call(gateway.url, '/shop.v1.Orders/Read', message('abc'));
  assert.match(String(bytes), /grpc-status:3\r\n/);
});

test('gRPC-Web over HTTP/2 is the same, and its trailers are no trailers of HTTP', async (t) => {
  const { gateway, seen } = await startShop(t);
  const session = await connectHttp2(t, gateway.url);
  const send = (path: string, type: string, body: Buffer | string) =>
    askHttp2(session, path, { ':method': 'POST', 'content-type': type, 'x-grpc-web': '1' }, body);
  const good = await send('/shop.v1.Orders/Read', 'application/grpc-web+proto', message('abc'));
  assert.deepEqual([good.status, good.headers['content-type']], [200, 'application/grpc-web+proto']);
  assert.equal(good.headers['grpc-status'], undefined);
  const [answer, end] = split(Buffer.from(good.text, 'latin1'));
  assert.deepEqual(answer, [0, Buffer.from('\n\x03abc')]);
  assert.equal(end?.[0], 0x80);
  assert.match(String(end?.[1]), /^grpc-status:0\r\n/);
  assert.deepEqual(seen[0]?.metadata.get('x-grpc-web'), []);

  const failed = await send('/shop.v1.Orders/Get', 'application/grpc-web+proto', message('fail-5'));
  assert.equal(failed.status, 200);
  assert.match(failed.text, /grpc-status:5\r\n/);
  const text = await send('/shop.v1.Orders/Read', 'application/grpc-web-text', message('abc').toString('base64'));
  assert.equal(text.headers['content-type'], 'application/grpc-web-text+proto');
  assert.deepEqual(Buffer.from(text.text.slice(0, 16), 'base64').subarray(5, 8), Buffer.from('\n\x03a'));
  const none = await send('/none.Such/Get', 'application/grpc-web+proto', message('x'));
  assert.deepEqual([none.status, split(Buffer.from(none.text, 'latin1'))[0]?.[0]], [200, 0x80]);
});

test('over HTTP/2 each message goes out when it comes', async (t) => {
  let stream: ServerWritableStream<unknown, { text: string }> | undefined;
  const { gateway } = await startShop(t, {
    behaviour: {
      Watch(call: ServerWritableStream<unknown, { text: string }>) {
        stream = call;
        call.write({ text: 'first' });
      },
    },
  });
  const session = await connectHttp2(t, gateway.url);
  const headers = { ':method': 'POST', 'content-type': 'application/grpc-web+proto' };
  const asked = session.request({ ':path': '/shop.v1.Orders/Watch', ...headers });
  asked.end(frameMessage(Buffer.from([0x08, 2])));
  const [first] = await once(asked, 'data');
  assert.deepEqual(split(first)[0], [0, Buffer.from('\n\x05first')]);
  stream?.write({ text: 'then' });
  stream?.end();
  const rest: Buffer[] = [];
  for await (const chunk of asked) rest.push(chunk);
  assert.deepEqual(
    split(Buffer.concat(rest)).map(([flag]) => flag),
    [0, 0x80],
  );
});
