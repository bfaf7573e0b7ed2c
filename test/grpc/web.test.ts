import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameMessage } from '../../subgraphs/grpc-frames.ts';
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
