import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

const key = 'key of one';
const apiKeys = [{ name: 'one', sha256: createHash('sha256').update(key).digest('hex') }];

/** A gateway before one service that counts its requests. */
async function startCached(t: TestContext, answer: Answer, cache: object = {}, config: object = {}) {
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    policies: { retry: { attempts: 0 } },
    ...config,
  });
  const seen: IncomingMessage[] = [];
  const service = await startServer(t, (request, response) => {
    seen.push(request);
    answer(request, response, seen.length);
  });
  await registerRest(gateway, 'things', service.url, [{ match: { path: '/api/*' }, rewrite: '/*', cache }]);
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    // Said because `fetch` adds `no-cache` to what is conditional, and then the cache would have to ask the service.
    const asked = { 'cache-control': 'max-age=3600', ...headers };
    const response = await fetch(gateway.url + path, { headers: asked, method });
    return {
      status: response.status,
      headers: response.headers,
      cache: response.headers.get('cache-status'),
      text: await response.text(),
    };
  };
  return { gateway, service, seen, ask };
}

const fresh: Answer = (_, response, count) => {
  response.writeHead(200, { 'cache-control': 'max-age=60', etag: `"${count}"`, 'content-type': 'text/plain' });
  response.end(`answer ${count}`);
};

test('a fresh answer comes from the cache, with Age and Cache-Status, also for HEAD', async (t) => {
  const { seen, ask } = await startCached(t, fresh);
  const first = await ask('/api/a?x=1');
  assert.equal(first.cache, 'Selvage; fwd=uri-miss; stored');
  assert.equal(first.headers.get('age'), null);
  const second = await ask('/api/a?x=1');
  assert.equal(second.text, 'answer 1');
  assert.match(second.cache ?? '', /^Selvage; hit; ttl=\d+$/);
  assert.match(second.headers.get('age') ?? '', /^\d+$/);
  const head = await ask('/api/a?x=1', {}, 'HEAD');
  assert.equal(head.headers.get('content-length'), String('answer 1'.length));
  assert.equal(seen.length, 1);
  assert.equal((await ask('/api/a?x=2')).text, 'answer 2');
});

test('routes that do not opt in keep nothing and say nothing', async (t) => {
  const { gateway, service, seen } = await startCached(t, fresh);
  await registerRest(gateway, 'plain', service.url, [{ match: { path: '/plain' } }]);
  for (let i = 0; i < 2; i++) assert.equal((await fetch(`${gateway.url}/plain`)).headers.get('cache-status'), null);
  assert.equal(seen.length, 2);
});

test('a client that has the answer gets a 304, and one that has another gets the body', async (t) => {
  const { seen, ask } = await startCached(t, fresh);
  await ask('/api/a');
  const same = await ask('/api/a', { 'if-none-match': 'W/"1", "7"' });
  assert.deepEqual([same.status, same.text, same.headers.get('etag')], [304, '', '"1"']);
  assert.equal((await ask('/api/a', { 'if-none-match': '"7"' })).text, 'answer 1');
  assert.equal(seen.length, 1);
});

test('a stale answer is validated: a 304 of the service makes it fresh again', async (t) => {
  const { seen, ask } = await startCached(t, (request, response) => {
    const known = request.headers['if-none-match'] === '"v1"';
    response.writeHead(known ? 304 : 200, { 'cache-control': 'no-cache', etag: '"v1"', 'x-at': known ? 'new' : 'old' });
    response.end(known ? undefined : 'body');
  });
  await ask('/api/a');
  const second = await ask('/api/a', { 'if-none-match': '"other"' });
  assert.deepEqual([second.status, second.text, second.headers.get('x-at')], [200, 'body', 'new']);
  assert.equal(second.cache, 'Selvage; fwd=stale; fwd-status=304; stored');
  assert.equal((await ask('/api/a', { 'if-none-match': '"v1"' })).status, 304);
  assert.equal(seen.length, 3);
});

test('answers that vary are told apart by what the service sees, its viewer headers included', async (t) => {
  const { seen, ask } = await startCached(t, (request, response) => {
    response.writeHead(200, { 'cache-control': 'public, max-age=60', vary: 'Accept-Language, X-User-Id' });
    response.end(`${request.headers['accept-language']} ${request.headers['x-user-id'] ?? 'nobody'}`);
  });
  for (let round = 0; round < 2; round++) {
    assert.equal((await ask('/api/a', { 'accept-language': 'de' })).text, 'de nobody');
    assert.equal((await ask('/api/a', { 'accept-language': 'fr' })).text, 'fr nobody');
    assert.equal((await ask('/api/a', { 'accept-language': 'fr', 'x-api-key': key })).text, 'fr one');
    assert.equal((await ask('/api/a', { 'accept-language': 'fr', 'x-user-id': 'one' })).text, 'fr nobody');
  }
  assert.equal(seen.length, 3);
});

test('Set-Cookie, private, no-store in any case, Vary: * and events are never kept', async (t) => {
  const heads: Record<string, Record<string, string>> = {
    cookie: { 'cache-control': 'public, max-age=60', 'set-cookie': 'a=1' },
    private: { 'cache-control': 'Private, max-age=60' },
    store: { 'cache-control': 'max-age=60, No-Store' },
    vary: { 'cache-control': 'max-age=60', vary: 'accept, *' },
    events: { 'cache-control': 'max-age=60', 'content-type': 'text/event-stream' },
    nothing: { 'content-type': 'text/plain' },
  };
  const { seen, ask } = await startCached(t, (request, response) => {
    response.writeHead(200, heads[(request.url ?? '').slice(1)]).end('x');
  });
  for (const name of Object.keys(heads)) {
    await ask(`/api/${name}`);
    assert.equal((await ask(`/api/${name}`)).cache, 'Selvage; fwd=uri-miss', name);
  }
  assert.equal(seen.length, 2 * Object.keys(heads).length);
});

test('parts are cut out of a kept answer; a part that comes from the service is not kept', async (t) => {
  const { seen, ask } = await startCached(t, (request, response) => {
    const part = request.headers.range !== undefined;
    const head = { 'cache-control': 'max-age=60', etag: '"v1"', 'content-type': 'text/plain' };
    response.writeHead(part ? 206 : 200, { ...head, ...(part && { 'content-range': 'bytes 0-1/5' }) });
    response.end(part ? 'wh' : 'whole');
  });
  const range = (value: string, more: Record<string, string> = {}) => ask('/api/a', { range: value, ...more });
  const first = await range('bytes=0-1');
  assert.deepEqual([first.status, first.text, first.cache], [206, 'wh', 'Selvage; fwd=uri-miss']);
  assert.equal((await ask('/api/a')).text, 'whole');
  const cut = await range('bytes=1-2');
  assert.deepEqual(
    [cut.status, cut.text, cut.headers.get('content-range'), cut.headers.get('content-length')],
    [206, 'ho', 'bytes 1-2/5', '2'],
  );
  assert.match(cut.cache ?? '', /^Selvage; hit; ttl=\d+$/);
  assert.match(cut.headers.get('age') ?? '', /^\d+$/);
  const refused = await range('bytes=5-');
  assert.deepEqual([refused.status, refused.text, refused.headers.get('content-range')], [416, '', 'bytes */5']);
  assert.equal(refused.headers.get('cache-control'), 'no-store');
  assert.equal((await range('bytes=-2', { 'if-range': '"v1"' })).text, 'le');
  for (const condition of ['"v0"', 'W/"v1"', 'Mon, 01 Jan 2024 00:00:00 GMT'])
    assert.deepEqual([(await range('bytes=-2', { 'if-range': condition })).status, condition], [200, condition]);
  assert.deepEqual([(await range('bytes=0-0,2-2')).text, (await range('pages=1-2')).text], ['whole', 'whole']);
  assert.equal((await range('bytes=0-1', { 'if-none-match': '"v1"' })).status, 304);
  const head = await ask('/api/a', { range: 'bytes=0-1' }, 'HEAD');
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '5']);
  assert.equal(seen.length, 2);
});

test('what is refreshed behind the back of a client that asks for a part is the whole', async (t) => {
  const { seen, ask } = await startCached(t, (request, response, count) => {
    assert.equal(request.headers.range, undefined);
    response.writeHead(200, { 'cache-control': 'max-age=0, stale-while-revalidate=60', etag: `"${count}"` });
    response.end(`answer ${count}`);
  });
  await ask('/api/a');
  assert.equal((await ask('/api/a', { range: 'bytes=7-' })).text, '1');
  await until(() => seen.length === 2, 'the refresh in the background');
  await until(async () => (await ask('/api/a')).text === 'answer 2', 'the whole new answer');
});

test('while a stale answer may be given out, nobody waits for the new one', async (t) => {
  const { seen, ask } = await startCached(t, (_, response, count) => {
    response.writeHead(200, { 'cache-control': 'max-age=0, stale-while-revalidate=60' }).end(`answer ${count}`);
  });
  await ask('/api/a');
  const stale = await ask('/api/a');
  assert.equal(stale.text, 'answer 1');
  assert.match(stale.cache ?? '', /hit; ttl=-?\d+; detail=stale-while-revalidate/);
  await until(() => seen.length === 2, 'the refresh in the background');
  await until(async () => (await ask('/api/a')).text !== 'answer 1', 'the new answer is given out');
});

test('a stale answer stands in for a failure, unless the service forbids it', async (t) => {
  let failing = false;
  const { service, ask } = await startCached(t, (request, response) => {
    const forbids = request.url === '/strict' ? ', must-revalidate' : '';
    if (failing) response.writeHead(503).end('down');
    else
      response.writeHead(200, { 'cache-control': `max-age=0, stale-if-error=60${forbids}`, etag: '"1"' }).end('good');
  });
  await ask('/api/a');
  await ask('/api/strict');
  failing = true;
  const hidden = await ask('/api/a');
  assert.deepEqual([hidden.status, hidden.text], [200, 'good']);
  assert.match(hidden.cache ?? '', /fwd=stale; fwd-status=503; detail=stale-if-error/);
  assert.equal((await ask('/api/strict')).status, 503);
  await service.kill();
  assert.equal((await ask('/api/a')).text, 'good');
  assert.ok((await ask('/api/strict')).status >= 502);
});

test('those who miss at once share one request, and do not wait for one another where nothing is kept', async (t) => {
  let waiting: (() => void)[] = [];
  const { seen, ask } = await startCached(t, (request, response, count) => {
    const kept = request.url === '/kept';
    const answer = () => response.writeHead(200, { 'cache-control': kept ? 'max-age=60' : 'no-store' }).end(`${count}`);
    if (kept) waiting.push(answer);
    else answer();
  });
  const asked = Array.from({ length: 20 }, () => ask('/api/kept'));
  await until(() => waiting.length > 0, 'the request of the first');
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const answer of waiting) answer();
  waiting = [];
  const answers = await Promise.all(asked);
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(['1']));
  assert.equal(seen.length, 1);
  assert.ok(answers.some(({ cache }) => cache === 'Selvage; fwd=uri-miss; collapsed'));
  const others = await Promise.all(Array.from({ length: 10 }, () => ask('/api/passing')));
  assert.equal(new Set(others.map(({ text }) => text)).size, 10);
});

test('what changes a resource drops what is kept of it', async (t) => {
  const { ask } = await startCached(t, fresh);
  await ask('/api/a?x=1');
  await ask('/api/b');
  await ask('/api/a', {}, 'POST');
  assert.equal((await ask('/api/a?x=1')).text, 'answer 4');
  assert.equal((await ask('/api/b')).text, 'answer 2');
});

test('bodies that are too large pass as they are', async (t) => {
  const { seen, ask } = await startCached(
    t,
    (request, response) => {
      const length: Record<string, string> = request.url === '/known' ? { 'content-length': '3000' } : {};
      response.writeHead(200, { 'cache-control': 'max-age=60', ...length });
      response.end('x'.repeat(3_000));
    },
    { maxBodySize: '2kb' },
  );
  for (const path of ['/api/known', '/api/known', '/api/chunked', '/api/chunked'])
    assert.equal((await ask(path)).text.length, 3_000);
  assert.equal(seen.length, 4);
});

test('a ttl of the route holds for answers that say nothing; an administrator drops them', async (t) => {
  const { gateway, seen, ask } = await startCached(t, (_, response, count) => response.end(`answer ${count}`), {
    ttl: '1m',
  });
  await ask('/api/a');
  assert.equal((await ask('/api/a')).text, 'answer 1');
  const one = await gateway.admin('POST', '/cache/invalidate', { paths: [{ service: 'things', path: '/a' }] });
  assert.deepEqual([one.status, one.body], [200, { invalidated: 1 }]);
  assert.equal((await ask('/api/a')).text, 'answer 2');
  await gateway.admin('POST', '/cache/invalidate', { services: ['things'] });
  assert.equal((await ask('/api/a')).text, 'answer 3');
  await gateway.admin('POST', '/cache/invalidate', { all: true });
  assert.equal((await ask('/api/a')).text, 'answer 4');
  assert.equal((await gateway.admin('POST', '/cache/invalidate', { everything: true })).status, 400);
  assert.equal(seen.length, 4);
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /selvage_cache_requests_total\{door="rest",service="things",outcome="hit"\} 1/);
  assert.match(body, /selvage_cache_stored_bytes_total\{door="rest",service="things"\} 32/);
  assert.match(body, /selvage_cache_bytes [1-9]/);
});

test('answers are dropped by the beginning of their path, and by the tags that the service gave them', async (t) => {
  const { gateway, seen, ask } = await startCached(
    t,
    (request, response) => {
      const color = request.url?.includes('red') === true ? 'red' : 'blue';
      const tags = { 'cache-tag': `things, ${color}`, 'surrogate-key': 'all every' };
      response.writeHead(200, { 'cache-control': 'max-age=60', ...tags }).end('x');
    },
    { hideTags: true },
  );
  const paths = ['/api/shoes/red', '/api/shoes/blue', '/api/hats/red'];
  const fill = async () => {
    for (const path of [...paths, ...paths]) {
      const { headers } = await ask(path);
      assert.deepEqual([headers.get('cache-tag'), headers.get('surrogate-key')], [null, null]);
    }
  };
  const expected: [object, number][] = [
    [{ paths: ['/api/shoes/*'] }, 2],
    [{ paths: ['/api/*'] }, 3],
    [{ paths: ['/api/shoes/red'] }, 1],
    [{ paths: [{ service: 'things', path: '/hats/*' }] }, 1],
    [{ paths: ['/elsewhere/*'] }, 0],
    [{ tags: [{ service: 'things', tag: 'red' }] }, 2],
    [{ tags: ['blue', 'unknown'] }, 1],
    [{ tags: ['every'] }, 3],
    [{ tags: [{ service: 'others', tag: 'every' }] }, 0],
  ];
  for (const [body, invalidated] of expected) {
    await fill();
    const before = seen.length;
    assert.deepEqual(
      (await gateway.admin('POST', '/cache/invalidate', body)).body,
      { invalidated },
      JSON.stringify(body),
    );
    await fill();
    assert.equal(seen.length, before + invalidated);
  }
  assert.equal((await gateway.admin('POST', '/cache/invalidate', { paths: ['api'] })).status, 400);
});

test('gateways of one Redis share what is kept, and what is dropped', { skip: redisSkipReason }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  // The host that was asked for is part of the key: both are asked as the same one.
  const shared = { cache: { store: 'redis' as const }, redis: redis.url, trustedProxies: ['127.0.0.0/8'] };
  const host = { 'x-forwarded-host': 'shop.example' };
  const { service, seen, ask } = await startCached(t, fresh, {}, shared);
  const other = await startGateway(t, shared);
  await registerRest(other, 'things', service.url, [{ match: { path: '/api/*' }, rewrite: '/*', cache: {} }]);
  const askOther = async (path: string) => {
    const response = await fetch(other.url + path, { headers: host });
    return { cache: response.headers.get('cache-status') ?? '', text: await response.text() };
  };
  let kept = '';
  // A connection to Redis may not be there yet when the first answer comes.
  await until(async () => {
    kept = (await ask('/api/a', host)).text;
    return (await askOther('/api/a')).text === kept;
  }, 'the other gateway has the answer of the first');
  assert.match((await askOther('/api/a')).cache, /^Selvage; hit/);
  const before = seen.length;
  assert.deepEqual((await other.admin('POST', '/cache/invalidate', { services: ['things'] })).body, { invalidated: 1 });
  assert.notEqual((await ask('/api/a', host)).text, kept);
  assert.equal(seen.length, before + 1);
});
