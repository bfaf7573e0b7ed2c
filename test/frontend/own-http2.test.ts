import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ClientHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { certificatesSkipReason, createAuthority } from '../support/certificates.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { until } from '../support/registration.ts';
import { startJson, startShop } from './fixture.ts';

const page = '<!doctype html><title>Shop</title>';
const script = 'console.log("shop");\n'.repeat(200);
/** More than is kept in memory, and than flow control lets go at once. */
const large = randomBytes(3_000_000);

interface World {
  readonly session: ClientHttp2Session;
  readonly parts: Awaited<ReturnType<typeof startJson>>;
  readonly lines: Record<string, unknown>[];
}

type Listen = NonNullable<GatewayConfig['listen']>;

async function start(t: TestContext, listen: Listen, connect: object): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'own-h2-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'assets'));
  await writeFile(join(folder, 'index.html'), page);
  await writeFile(join(folder, 'notes.txt'), '0123456789');
  await writeFile(join(folder, 'large.bin'), large);
  await writeFile(join(folder, 'assets/app.js'), script);
  await writeFile(join(folder, 'assets/app.js.br'), brotliCompressSync(script));
  const parts = await startJson(t, ({ url, headers }, response) =>
    url === '/sick' ? void response.writeHead(500).end('{}') : { url, tenant: headers['x-tenant'] ?? null },
  );
  const gateway = await startShop(t, {
    listen,
    openapi: {},
    static: [
      { path: '/app/*', folder, fallback: 'index.html', immutable: ['assets/*'], precompressed: ['br', 'gzip'] },
    ],
    aggregate: {
      '/both/:id': {
        compression: { minimumSize: '1b' },
        parts: {
          good: { service: 'parts', path: '/good/:id?q={query.q}' },
          sick: { service: 'parts', path: '/sick', optional: true },
        },
      },
    },
    rest: {
      'GET /rest/orders/:id': { document: 'query ($id: ID!) { order(id: $id) { id total } }', select: '/order' },
      'POST /rest/orders': {
        document: 'mutation ($input: NewOrder!) { placeOrder(input: $input) { id } }',
        variables: { input: 'body' },
        select: '/placeOrder',
        status: 201,
      },
    },
    services: {
      parts: {
        instances: [{ url: parts.url }],
        retry: { attempts: 1 },
        routes: [{ match: { path: '/parts/*' } }],
      },
    },
  });
  return { session: await connectHttp2(t, gateway.url, connect), parts, lines: gateway.lines };
}

async function read(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}) {
  const { status, headers: fields, text } = await askHttp2(session, path, headers);
  return { status, fields, text, bytes: Buffer.from(text, 'latin1') };
}

async function checkFiles({ session }: World): Promise<void> {
  const index = await read(session, '/app/');
  assert.deepEqual([index.status, index.text], [200, page]);
  assert.equal(index.fields['content-type'], 'text/html; charset=utf-8');
  for (const name of ['connection', 'keep-alive', 'transfer-encoding']) assert.equal(index.fields[name], undefined);
  const deep = await read(session, '/app/orders/7', { accept: 'text/html' });
  assert.deepEqual([deep.status, deep.text, deep.fields['vary']], [200, page, 'accept-encoding, accept']);
  assert.equal((await read(session, '/app/orders/7', { accept: 'application/json' })).status, 404);
  const moved = await read(session, '/app?a=1');
  assert.deepEqual([moved.status, moved.fields['location']], [308, '/app/?a=1']);

  const etag = String((await read(session, '/app/notes.txt')).fields['etag']);
  const same = await read(session, '/app/notes.txt', { 'if-none-match': etag });
  assert.deepEqual([same.status, same.text, same.fields['etag']], [304, '', etag]);
  const part = await read(session, '/app/notes.txt', { range: 'bytes=2-4' });
  assert.deepEqual([part.status, part.fields['content-range'], part.text], [206, 'bytes 2-4/10', '234']);
  const beyond = await read(session, '/app/notes.txt', { range: 'bytes=20-' });
  assert.deepEqual([beyond.status, beyond.fields['content-range'], beyond.text], [416, 'bytes */10', '']);

  const packed = await read(session, '/app/assets/app.js', { 'accept-encoding': 'gzip, br' });
  assert.equal(packed.fields['content-encoding'], 'br');
  assert.equal(packed.fields['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(brotliDecompressSync(packed.bytes).toString(), script);
}

async function checkHeads({ session }: World): Promise<void> {
  const head = (path: string, headers: Record<string, string> = {}) =>
    read(session, path, { ':method': 'HEAD', ...headers });
  for (const [path, length] of [
    ['/app/notes.txt', '10'],
    ['/app/large.bin', String(large.length)],
  ] as const) {
    const { status, fields, text } = await head(path, { range: 'bytes=2-4' });
    assert.deepEqual([status, fields['content-length'], text], [200, length, '']);
  }
  const packed = await head('/app/assets/app.js', { 'accept-encoding': 'br' });
  assert.deepEqual([packed.status, packed.fields['content-encoding'], packed.text], [200, 'br', '']);
  for (const path of ['/both/1', '/rest/orders/7', '/openapi.json']) {
    const { status, fields, text } = await head(path);
    assert.deepEqual([status, fields['content-type'], text], [200, 'application/json', ''], path);
  }
}

async function checkLargeFiles({ session, lines }: World): Promise<void> {
  const whole = await read(session, '/app/large.bin');
  assert.ok(whole.bytes.equals(large));
  const last = await read(session, '/app/large.bin', { range: 'bytes=-1000000' });
  assert.equal(last.status, 206);
  assert.ok(last.bytes.equals(large.subarray(-1_000_000)));
  // Who resets a stream ends that one alone.
  const [given, other] = [session.request({ ':path': '/app/large.bin' }), read(session, '/app/large.bin')];
  await once(given, 'response');
  given.close(8);
  assert.ok((await other).bytes.equals(large));
  await until(() => lines.some(({ path, status }) => path === '/app/large.bin' && status === 499), 'its line');
  const ten = await Promise.all(Array.from({ length: 10 }, () => read(session, '/app/notes.txt')));
  assert.deepEqual(new Set(ten.map(({ text }) => text)), new Set(['0123456789']));
}

async function checkJson({ session, parts }: World): Promise<void> {
  const both = await read(session, '/both/a%20b?q=x', { 'x-tenant': 'acme', te: 'trailers' });
  assert.equal(both.status, 200);
  assert.deepEqual(JSON.parse(both.text).good, { url: '/good/a%20b?q=x', tenant: 'acme' });
  assert.equal(both.fields['x-partial'], 'sick;code=DOWNSTREAM_SERVICE_ERROR');
  assert.ok(parts.asked.every(({ headers }) => headers.host !== undefined && headers['te'] === undefined));
  const packed = await read(session, '/both/1', { 'accept-encoding': 'gzip' });
  assert.equal(packed.fields['content-encoding'], 'gzip');
  assert.equal(JSON.parse(gunzipSync(packed.bytes).toString()).good.url, '/good/1?q=');
  const refused = await askHttp2(session, '/both/1', { ':method': 'POST' }, 'x');
  assert.deepEqual([refused.status, refused.headers['allow']], [405, 'GET, HEAD']);

  const order = await read(session, '/rest/orders/7');
  assert.deepEqual([order.status, JSON.parse(order.text)], [200, { id: '7', total: 12 }]);
  const placed = await askHttp2(
    session,
    '/rest/orders',
    { ':method': 'POST', 'content-type': 'application/json' },
    '{"product":"tea"}',
  );
  assert.deepEqual([placed.status, JSON.parse(placed.text)], [201, { id: 'tea' }]);
  const unread = await askHttp2(session, '/app/notes.txt', { ':method': 'PUT' }, 'x'.repeat(100_000));
  assert.equal(unread.status, 405);
  assert.equal((await read(session, '/app/notes.txt')).status, 200, 'the connection goes on');
}

const checks = {
  'files, ranges and conditions': checkFiles,
  HEAD: checkHeads,
  'large files, and streams that are reset': checkLargeFiles,
  'aggregates and the graph': checkJson,
};

for (const [name, check] of Object.entries(checks)) {
  test(`routes of the gateway's own are the same over HTTP/2 by prior knowledge: ${name}`, async (t) => {
    await check(await start(t, { http2: { clear: true } }, {}));
  });
}

test("routes of the gateway's own are the same over HTTP/2 chosen by ALPN", {
  skip: certificatesSkipReason,
}, async (t) => {
  const authority = await createAuthority(t);
  const { certificateFile, keyFile } = await authority.issue('shop', {
    usage: 'serverAuth',
    san: 'DNS:shop.example',
  });
  const tls = { certificate: certificateFile, key: keyFile };
  const trusting = { ca: authority.certificate, servername: 'shop.example' };
  const world = await start(t, { tls }, trusting);
  assert.equal(world.session.alpnProtocol, 'h2');
  for (const check of Object.values(checks)) await check(world);
});
