import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { StaticFolder } from '../../gateway/static-options.ts';
import { startGateway } from '../support/gateway.ts';
import { startServer } from '../support/subgraph.ts';

const page = '<!doctype html><title>Shop</title>';
const script = 'console.log("shop");\n'.repeat(50);
const past = new Date('2026-01-02T03:04:05Z');

async function makeFolder(t: TestContext): Promise<string> {
  const outside = await mkdtemp(join(tmpdir(), 'static-'));
  t.after(() => rm(outside, { recursive: true, force: true }));
  const folder = join(outside, 'dist');
  await mkdir(join(folder, 'assets'), { recursive: true });
  await mkdir(join(folder, 'help'));
  await mkdir(join(folder, 'empty'));
  await writeFile(join(outside, 'secret.txt'), 'secret');
  await writeFile(join(folder, 'index.html'), page);
  await writeFile(join(folder, 'help/index.html'), 'help');
  await writeFile(join(folder, '.env'), 'secret');
  await writeFile(join(folder, 'notes.txt'), '0123456789');
  await writeFile(join(folder, 'assets/app-1a2b.js'), script);
  await writeFile(join(folder, 'assets/app-1a2b.js.br'), brotliCompressSync(script));
  await writeFile(join(folder, 'assets/app-1a2b.js.gz'), gzipSync(script));
  await symlink(join(outside, 'secret.txt'), join(folder, 'link.txt'));
  await symlink(outside, join(folder, 'out'));
  await symlink('notes.txt', join(folder, 'alias.txt'));
  await utimes(join(folder, 'notes.txt'), past, past);
  return folder;
}

async function startStatic(t: TestContext, options: Partial<StaticFolder> = {}) {
  const folder = await makeFolder(t);
  const gateway = await startGateway(t, {
    static: [{ path: '/app/*', folder, fallback: 'index.html', immutable: ['assets/*'], ...options }],
  });
  return { ...gateway, folder, app: `${gateway.url}/app` };
}

/** The target as it is, which fetch would mend. */
function ask(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { path, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asking.on('error', reject).end();
  });
}

const html = { accept: 'text/html,application/xhtml+xml' };

describe('files of a folder', () => {
  it('have a type, a strong tag, a date, and a lifetime by their name', async (t) => {
    const { app } = await startStatic(t, { maxAge: '1h' });
    const index = await fetch(`${app}/`);
    assert.equal(await index.text(), page);
    assert.equal(index.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal(index.headers.get('cache-control'), 'public, no-cache');
    assert.match(index.headers.get('etag') ?? '', /^"[\w-]{27}"$/);
    const asset = await fetch(`${app}/assets/app-1a2b.js`);
    assert.equal(asset.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    assert.equal(asset.headers.get('content-type'), 'text/javascript; charset=utf-8');
    assert.equal(asset.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(await asset.text(), script);
    const notes = await fetch(`${app}/notes.txt`);
    assert.equal(notes.headers.get('cache-control'), 'public, max-age=3600');
    assert.equal(notes.headers.get('last-modified'), past.toUTCString());
    assert.equal(await (await fetch(`${app}/alias.txt`)).text(), '0123456789');
  });

  it('are not sent again to who has them (RFC 9110 section 13)', async (t) => {
    const { app } = await startStatic(t);
    const etag = (await fetch(`${app}/notes.txt`)).headers.get('etag') ?? '';
    const statusOf = async (headers: Record<string, string>) => (await ask(app, '/app/notes.txt', headers)).status;
    assert.equal(await statusOf({ 'if-none-match': etag }), 304);
    assert.equal(await statusOf({ 'if-none-match': `"x", W/${etag}` }), 304);
    assert.equal(await statusOf({ 'if-none-match': '"x"', 'if-modified-since': past.toUTCString() }), 200);
    assert.equal(await statusOf({ 'if-modified-since': past.toUTCString() }), 304);
    assert.equal(await statusOf({ 'if-match': '"x"' }), 412);
    assert.equal(await statusOf({ 'if-match': etag }), 200);
    assert.equal(await statusOf({ 'if-unmodified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' }), 412);
  });

  it('are sent in parts (RFC 9110 section 14)', async (t) => {
    const { app } = await startStatic(t);
    const etag = (await fetch(`${app}/notes.txt`)).headers.get('etag') ?? '';
    const part = async (headers: Record<string, string>) => {
      const answer = await fetch(`${app}/notes.txt`, { headers });
      return [answer.status, answer.headers.get('content-range'), await answer.text()];
    };
    assert.deepEqual(await part({ range: 'bytes=2-4' }), [206, 'bytes 2-4/10', '234']);
    assert.deepEqual(await part({ range: 'bytes=-3' }), [206, 'bytes 7-9/10', '789']);
    assert.deepEqual(await part({ range: 'bytes=10-' }), [416, 'bytes */10', '']);
    assert.deepEqual(await part({ range: 'bytes=2-4', 'if-range': etag }), [206, 'bytes 2-4/10', '234']);
    assert.deepEqual(await part({ range: 'bytes=2-4', 'if-range': '"x"' }), [200, null, '0123456789']);
    assert.deepEqual(await part({ range: 'bytes=2-4', 'if-range': past.toUTCString() }), [206, 'bytes 2-4/10', '234']);
    const head = await fetch(`${app}/notes.txt`, { method: 'HEAD', headers: { range: 'bytes=2-4' } });
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, '10']);
  });

  it('are sent compressed where a sibling is, each with a tag of its own', async (t) => {
    const { app } = await startStatic(t, { precompressed: ['br', 'gzip', 'zstd'] });
    const get = async (accept: string) => {
      const answer = await fetch(`${app}/assets/app-1a2b.js`, { headers: { 'accept-encoding': accept } });
      assert.equal(await answer.text(), script);
      assert.equal(answer.headers.get('vary'), 'accept-encoding');
      return answer.headers;
    };
    const [br, gzip, plain] = [await get('gzip, br'), await get('br;q=0.2, gzip'), await get('br;q=0, zstd')];
    assert.deepEqual(
      [br, gzip, plain].map((headers) => headers.get('content-encoding')),
      ['br', 'gzip', null],
    );
    assert.equal(new Set([br, gzip, plain].map((headers) => headers.get('etag'))).size, 3);
    assert.equal(br.get('content-type'), 'text/javascript; charset=utf-8');
  });

  it('give the page to navigations only', async (t) => {
    const { app } = await startStatic(t);
    const deep = await fetch(`${app}/orders/42`, { headers: html });
    assert.deepEqual([deep.status, await deep.text(), deep.headers.get('vary')], [200, page, 'accept']);
    assert.equal((await fetch(`${app}/orders/42`, { headers: { accept: 'application/json' } })).status, 404);
    const missing = await fetch(`${app}/assets/old.js`, { headers: html });
    assert.equal(missing.status, 404);
    assert.equal(((await missing.json()) as { code: string }).code, 'NOT_FOUND');
    const posted = await fetch(`${app}/`, { method: 'POST', body: 'x' });
    assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD']);
  });

  it('lead from a folder to its index, and list nothing', async (t) => {
    const { app } = await startStatic(t);
    const [bare, help] = await Promise.all([
      fetch(`${app}?a=1`, { redirect: 'manual' }),
      fetch(`${app}/help`, { redirect: 'manual' }),
    ]);
    assert.deepEqual([bare.status, bare.headers.get('location')], [308, '/app/?a=1']);
    assert.deepEqual([help.status, help.headers.get('location')], [308, '/app/help/']);
    assert.equal(await (await fetch(`${app}/help/`)).text(), 'help');
    for (const path of ['/empty', '/empty/', '/assets/']) assert.equal((await fetch(app + path)).status, 404);
  });

  it('are never files outside of the folder, dot files, or what a system reads otherwise', async (t) => {
    const { url } = await startStatic(t);
    const paths = [
      '../secret.txt',
      '..%2fsecret.txt',
      '%2e%2e/secret.txt',
      '.%2e/secret.txt',
      '..%5csecret.txt',
      '..\\secret.txt',
      '%252e%252e/secret.txt',
      'assets/../../secret.txt',
      '.env',
      '%2eenv',
      'help/../.env',
      'link.txt',
      'out/secret.txt',
      'notes.txt%00',
      'notes.txt%00.html',
      'notes.txt.',
      'notes.txt%20',
      'notes.txt::$DATA',
      'CON',
      'nul.txt',
      'COM1',
      'NOTES~1.TXT',
      '%c0%ae%c0%ae/secret.txt',
      'notes.txt/',
      '/secret.txt',
      'a/'.repeat(100),
      'x'.repeat(3_000),
    ]; // prettier-ignore
    for (const path of paths) {
      const { status, body } = await ask(url, `/app/${path}`);
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
      assert.notEqual(body, 'secret', path);
    }
  });

  it('come after all routes of services, and before nothing else', async (t) => {
    const folder = await makeFolder(t);
    const service = await startServer(t, (_request, response) => response.end('service'));
    const gateway = await startGateway(t, {
      static: [
        { path: '/*', folder, fallback: 'index.html' },
        { path: '/help/*', folder: join(folder, 'help') },
      ],
      services: {
        api: {
          instances: [{ url: service.url }],
          routes: [{ match: { path: '/notes.txt', methods: ['POST'] } }, { match: { path: '/api/*' } }],
        },
      },
    });
    const get = async (path: string) => {
      const answer = await fetch(gateway.url + path, { headers: html });
      return [answer.status, answer.status === 200 ? await answer.text() : ''];
    };
    assert.deepEqual(await get('/api/x'), [200, 'service']);
    assert.deepEqual(await get('/notes.txt'), [405, '']);
    assert.deepEqual(await get('/anything'), [200, page]);
    assert.deepEqual(await get('/help/'), [200, 'help']);
    assert.deepEqual(await get('/help/x'), [404, '']);
    assert.equal((await get('/health'))[0], 200);
  });

  it('obey the policies of the gateway and their own', async (t) => {
    const folder = await makeFolder(t);
    const key = { name: 'ada', sha256: '2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b' };
    const gateway = await startGateway(t, {
      authentication: { apiKeys: [key] },
      policies: { authorize: { authenticated: true }, securityHeaders: { preset: 'recommended' } },
      static: [
        { path: '/inner/*', folder },
        {
          path: '/app/*',
          folder,
          public: true,
          cors: { origins: ['https://shop.example'] },
          rateLimit: [{ name: 'files', limit: 2, window: '1h', key: 'ip' }],
        },
      ],
    });
    assert.equal((await fetch(`${gateway.url}/inner/`)).status, 401);
    const inner = await fetch(`${gateway.url}/inner/`, { headers: { 'x-api-key': 'secret' } });
    assert.deepEqual([inner.status, inner.headers.get('cache-control')], [200, 'private, no-cache']);
    const first = await fetch(`${gateway.url}/app/`, { headers: { origin: 'https://shop.example' } });
    assert.equal(first.headers.get('x-frame-options'), 'SAMEORIGIN');
    assert.equal(first.headers.get('access-control-allow-origin'), 'https://shop.example');
    assert.equal((await fetch(`${gateway.url}/app/`)).status, 200);
    assert.equal((await fetch(`${gateway.url}/app/`)).status, 429);
  });
});

describe('a large file', () => {
  const large = randomBytes(3_000_000);

  it('is streamed, in parts too, and stays what it was when it is replaced meanwhile', async (t) => {
    const { app, folder } = await startStatic(t);
    await writeFile(join(folder, 'large.bin'), large);
    const part = await fetch(`${app}/large.bin`, { headers: { range: 'bytes=1000000-1999999' } });
    assert.match(part.headers.get('etag') ?? '', /^W\//);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), large.subarray(1_000_000, 2_000_000));
    const whole = await fetch(`${app}/large.bin`);
    const reader = whole.body?.getReader();
    const chunks = [(await reader?.read())?.value ?? new Uint8Array()];
    await writeFile(join(folder, 'next.bin'), 'other');
    await rename(join(folder, 'next.bin'), join(folder, 'large.bin'));
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) chunks.push(read.value);
    assert.deepEqual(Buffer.concat(chunks), large);
    assert.equal(await (await fetch(`${app}/large.bin`)).text(), 'other');
  });

  it('ends with its connection when it is written to while it is sent', async (t) => {
    const { app, folder } = await startStatic(t);
    const path = join(folder, 'large.bin');
    await writeFile(path, Buffer.concat(new Array(10).fill(large)));
    const whole = await fetch(`${app}/large.bin`);
    const reader = whole.body?.getReader();
    await reader?.read();
    const file = await open(path, 'r+');
    await file.truncate(1_000);
    await file.close();
    await assert.rejects(async () => {
      for (let read = await reader?.read(); read?.done === false; read = await reader?.read());
    });
  });
});
