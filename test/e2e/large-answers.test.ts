import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// Pieces of large answers give their memory back as soon as they have left. Whoever still needs a piece must have it.

const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const kinds: Record<string, object> = {
  plain: {},
  cached: { cache: { ttl: '1m' } },
  compressed: { compression: {} },
  mirrored: { mirror: { service: 'shadow', compare: true } },
  repeated: { fallback: { body: { none: true } } },
};

for (const [kind, options] of Object.entries(kinds)) {
  test(`${kind}: every byte of a large answer arrives, for clients that read fast, slowly, and together`, async (t) => {
    const gateway = await startGateway(t);
    const blocks = randomBytes(64 * 1_024);
    const body = Buffer.concat(Array.from({ length: 48 }, (_, i) => Buffer.concat([Buffer.from(`${i};`), blocks])));
    const service = await startServer(t, (request, response) => {
      response.setHeader('content-type', 'text/plain');
      response.setHeader('cache-control', 'max-age=60');
      if (request.url?.endsWith('chunked') !== true) response.setHeader('content-length', body.length);
      for (let at = 0; at < body.length; at += 50_000) response.write(body.subarray(at, at + 50_000));
      response.end();
    });
    await registerRest(gateway, 'shadow', service.url, [{ match: { path: '/shadow' } }], { trafficFrom: ['large'] });
    await registerRest(gateway, 'large', service.url, [{ match: { path: '/large/*' }, ...options }]);

    const fetched = async (path: string) => {
      const answer = await fetch(`${gateway.url}${path}`);
      return sum(Buffer.from(await answer.arrayBuffer()));
    };
    const expected = sum(body);
    for (const path of ['/large/sized', '/large/chunked']) {
      assert.equal(await fetched(path), expected);
      assert.equal(await fetched(path), expected);
    }
    assert.deepEqual(
      new Set(await Promise.all(Array.from({ length: 8 }, () => fetched('/large/together')))),
      new Set([expected]),
    );
    assert.equal(sum(await readSlowly(gateway.url, '/large/slow')), expected);
  });
}

/** Of a connection that stops reading again and again, so that what is sent waits in the gateway. */
async function readSlowly(url: string, path: string): Promise<Buffer> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n`);
  const pieces: Buffer[] = [];
  let pauses = 0;
  socket.on('data', (piece) => {
    pieces.push(piece);
    if (pieces.length % 4 !== 0) return;
    pauses++;
    socket.pause();
    setTimeout(() => socket.resume(), 3);
  });
  await once(socket, 'end');
  await until(() => pauses > 2, 'reading was slow');
  const all = Buffer.concat(pieces);
  const end = all.indexOf('\r\n\r\n');
  const head = all.toString('latin1', 0, end).toLowerCase();
  let body: Buffer = all.subarray(end + 4);
  if (head.includes('transfer-encoding: chunked')) body = joinChunks(body);
  return head.includes('content-encoding: gzip') ? gunzipSync(body) : body;
}

function joinChunks(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 4 + size;
  }
}
