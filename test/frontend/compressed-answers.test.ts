import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { startJson } from './fixture.ts';

const small = 'a line of a page\n'.repeat(500);
/** More than is kept in memory, so that it streams, and that its pieces do not all fit a buffer. */
const large = randomBytes(1_500_000).toString('hex');

async function start(t: TestContext, policies: GatewayConfig['policies']) {
  const folder = await mkdtemp(join(tmpdir(), 'compressed-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'small.txt'), small);
  await writeFile(join(folder, 'large.txt'), large);
  const service = await startJson(t, () => ({ note: small }));
  const { url } = await startGateway(t, {
    policies: { compression: { encodings: ['gzip'] }, ...policies },
    static: [
      { path: '/app/*', folder },
      { path: '/plain/*', folder, compression: { enabled: false } },
    ],
    aggregate: { '/all': { parts: { one: { service: 'notes', path: '/one' } } } },
    services: { notes: { instances: [{ url: service.url }], routes: [{ match: { path: '/one' } }] } },
  });
  return (path: string, headers: Record<string, string> = { 'accept-encoding': 'gzip' }, method = 'GET') =>
    ask(url, path, headers, method);
}

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
}

/** The bytes as they come, which fetch would unpack. */
function ask(url: string, path: string, headers: Record<string, string>, method: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { path, headers, method }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asking.on('error', reject).end();
  });
}

describe('answers of the gateway itself', () => {
  it('are compressed where the policy says so: files that are kept, files that stream, and aggregates', async (t) => {
    const get = await start(t, {});
    for (const [path, expected] of [
      ['/app/small.txt', small],
      ['/app/large.txt', large],
      ['/all', JSON.stringify({ one: { note: small } })],
    ] as const) {
      const { status, headers, body } = await get(path);
      assert.equal(status, 200);
      assert.equal(headers['content-encoding'], 'gzip');
      assert.match(String(headers['vary']), /accept-encoding/i);
      assert.match(String(headers['etag']), /^W\//);
      assert.ok(body.length < expected.length);
      assert.ok(gunzipSync(body).toString() === expected, path);
    }
  });

  it('go out as they are to clients that do not ask, where a range is asked for, and where the route says so', async (t) => {
    const get = await start(t, {});
    assert.equal((await get('/app/small.txt', {})).body.toString(), small);
    const plain = await get('/plain/small.txt');
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(plain.body.toString(), small);
    const part = await get('/app/small.txt', { 'accept-encoding': 'gzip', range: 'bytes=0-5' });
    assert.equal(part.status, 206);
    assert.equal(part.body.toString(), small.slice(0, 6));
  });

  it('are found unchanged by the tag that came with the compressed ones', async (t) => {
    const get = await start(t, {});
    for (const path of ['/app/small.txt', '/all']) {
      const { headers } = await get(path);
      const again = await get(path, { 'accept-encoding': 'gzip', 'if-none-match': String(headers['etag']) });
      assert.equal(again.status, 304);
      assert.equal(again.headers['etag'], headers['etag']);
    }
  });

  it('have the same head for HEAD, but for a length that nobody knows', async (t) => {
    const get = await start(t, {});
    const { status, headers, body } = await get('/app/small.txt', { 'accept-encoding': 'gzip' }, 'HEAD');
    assert.deepEqual([status, headers['content-encoding'], body.length], [200, 'gzip', 0]);
    assert.equal((await get('/app/small.txt', {}, 'HEAD')).headers['content-length'], String(small.length));
  });

  it('count by the bytes that leave, in one budget with those of services', async (t) => {
    const rule = { name: 'traffic', limit: '6kb', window: '1h', key: 'ip', count: 'responseBytes' } as const;
    const get = await start(t, { rateLimit: [rule] });
    assert.equal((await get('/app/small.txt')).status, 200);
    assert.equal((await get('/app/small.txt')).status, 200);
    assert.equal((await get('/app/small.txt', {})).status, 200);
    assert.equal((await get('/one')).status, 429);
    assert.equal((await get('/app/small.txt')).status, 429);
  });
});
