import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** A service behind one route, and what it gets. */
async function startRoute(
  t: TestContext,
  options: object,
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void = (_, response) => response.end(),
) {
  const seen: Seen[] = [];
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    answer(request, response, body);
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/shop/:id' }, ...options }]);
  return { url: `${gateway.url}/shop/7`, gateway, seen };
}

function answerJson(value: unknown, headers: Record<string, string> = {}, status = 200) {
  return (_: IncomingMessage, response: ServerResponse) => {
    const body = typeof value === 'string' ? value : JSON.stringify(value);
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...headers,
    });
    response.end(body);
  };
}

const json = { 'content-type': 'application/json' };

async function post(url: string, body: string, headers: Record<string, string> = json, method = 'POST') {
  const answer = await fetch(url, { method, headers, body });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

test('query parameters are renamed, removed, set and added; what is left alone stays as it came', async (t) => {
  const query = {
    rename: { q: 'search' },
    remove: ['debug'],
    set: { id: 'params.id', tenant: 'request.headers["x-tenant"]', size: '10 + 5' },
    add: { tag: '["a b", "c&d"]' },
  };
  const { url, seen } = await startRoute(t, { transform: { request: { query } } });
  await ask(`${url}?q=a%2fb&debug=1&d%65bug=2&id=forged&tag=x&tenant=forged&flag`);
  await ask(url, { headers: { 'x-tenant': 't1' } });
  assert.deepEqual(
    seen.map((request) => request.url),
    [
      '/shop/7?search=a%2fb&tag=x&flag&id=7&size=15&tag=a%20b&tag=c%26d',
      '/shop/7?id=7&tenant=t1&size=15&tag=a%20b&tag=c%26d',
    ],
  );
});

test('the body of a request is changed by lists and an expression, and its length and digests follow', async (t) => {
  const transform = {
    request: {
      unwrap: 'data',
      pick: ['items.price', 'items.name', 'customer'],
      drop: ['customer.password'],
      rename: { 'items.price': 'cents' },
      body: '{"order": body, "count": body.items.size(), "shop": params.id, "by": viewer.kind}',
    },
  };
  const { url, seen } = await startRoute(t, { transform });
  const data = {
    items: [{ price: 1, name: 'a', secret: 1 }, { price: 12345678901234567890n }],
    customer: { id: 'c', password: 'p' },
    more: 1,
  };
  const text = JSON.stringify({ data }, (_, value) => (typeof value === 'bigint' ? 'BIG' : value)).replace(
    '"BIG"',
    '12345678901234567890',
  );
  const headers = { ...json, digest: 'sha-256=x', 'content-digest': 'sha-256=:x:', 'x-other': 'kept' };
  assert.equal((await post(url, text, headers)).status, 200);
  const [request] = seen;
  assert.equal(
    request?.body,
    '{"order":{"items":[{"cents":1,"name":"a"},{"cents":12345678901234567890}],"customer":{"id":"c"}},"count":2,"shop":"7","by":"anonymous"}',
  );
  assert.equal(request.headers['content-length'], String(request.body.length));
  assert.deepEqual(
    ['digest', 'content-digest', 'x-other', 'content-type'].map((name) => request.headers[name]),
    [undefined, undefined, 'kept', 'application/json'],
  );
});

test('a body can be made where there is none, and other types pass as they are', async (t) => {
  const transform = { request: { body: '{"id": params.id, "had": body}' } };
  const { url, seen } = await startRoute(t, { transform });
  await fetch(url, { method: 'POST' });
  await fetch(url);
  await post(url, 'a=b', { 'content-type': 'text/plain' });
  assert.deepEqual(
    seen.map(({ body, headers }) => [body, headers['content-type']]),
    [
      ['{"id":"7","had":null}', 'application/json'],
      ['', undefined],
      ['a=b', 'text/plain'],
    ],
  );
});

test('requests that cannot be changed are refused before the service hears of them', async (t) => {
  const transform = { maxBodySize: '1kb', request: { body: '{"id": body.id}' } };
  const { url, seen } = await startRoute(t, { transform });
  const cases: [string, Record<string, string>, number][] = [
    ['{', json, 400],
    ['{"other": 1}', json, 400],
    ['{"id": 1, "\\u0069d": 2}', json, 400],
    ['['.repeat(100) + ']'.repeat(100), json, 400],
    [JSON.stringify({ id: 'x'.repeat(2_000) }), json, 413],
    ['{"id":1}', { ...json, 'content-encoding': 'gzip' }, 415],
    ['{"id":1}', { 'content-type': 'application/json; charset=utf-16' }, 415],
  ];
  for (const [body, headers, status] of cases)
    assert.equal((await post(url, body, headers)).status, status, body.slice(0, 30));
  assert.equal(seen.length, 0);
});

test('an answer is changed whole: its validators go, and no part or coding is asked for', async (t) => {
  const transform = { response: { drop: ['secret'], wrap: 'data', status: 203 } };
  const headers = { etag: '"1"', 'content-md5': 'x', 'repr-digest': 'x', 'accept-ranges': 'bytes', 'x-other': 'kept' };
  const { url, seen } = await startRoute(t, { transform }, answerJson({ a: 1, secret: 2 }, headers));
  const asked = { range: 'bytes=0-1', 'if-none-match': '"1"', 'accept-encoding': 'gzip, br' };
  const answer = await ask(url, { headers: asked });
  assert.deepEqual([answer.status, answer.text], [203, '{"data":{"a":1}}']);
  assert.deepEqual(
    ['etag', 'content-md5', 'repr-digest', 'accept-ranges', 'x-other', 'content-length', 'content-type'].map(
      (name) => answer.headers[name],
    ),
    [undefined, undefined, undefined, undefined, 'kept', '16', 'application/json'],
  );
  assert.deepEqual(
    ['range', 'if-none-match', 'accept-encoding'].map((name) => seen[0]?.headers[name]),
    [undefined, undefined, 'identity'],
  );
  const head = await ask(url, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers['content-length'], head.headers['etag']], [203, undefined, undefined]);
});

test('`when` chooses the answers, by their head or their body; others pass untouched', async (t) => {
  const transform = { response: { when: 'has(body.fault)', body: '{"title": body.fault}', status: 502 } };
  let value: unknown = { fault: 'broken' };
  const { url } = await startRoute(t, { transform }, (request, response) =>
    answerJson(value, { etag: '"1"' })(request, response),
  );
  const bad = await ask(url);
  assert.deepEqual([bad.status, bad.text], [502, '{"title":"broken"}']);
  value = { fine: 1.5 };
  const good = await ask(url);
  assert.deepEqual([good.status, good.text, good.headers['etag']], [200, '{"fine":1.5}', '"1"']);
});

test('errors, other types, 204 and 304 of a service pass as they are', async (t) => {
  const transform = { response: { body: '{"changed": true}' } };
  let answer = answerJson({ error: 1 }, {}, 404);
  const { url } = await startRoute(t, { transform }, (request, response) => answer(request, response));
  assert.deepEqual(await ask(url).then(({ status, text }) => [status, text]), [404, '{"error":1}']);
  answer = answerJson('plain', { 'content-type': 'text/plain' });
  assert.deepEqual(await ask(url).then(({ status, text }) => [status, text]), [200, 'plain']);
  for (const status of [204, 304]) {
    answer = (_, response) => {
      response.writeHead(status, json);
      response.end();
    };
    assert.deepEqual(await ask(url).then((got) => [got.status, got.text]), [status, '']);
  }
});

test('an answer that cannot be changed is a 502 that says so, and nothing of it leaves', async (t) => {
  const transform = { maxBodySize: '1kb', response: { body: '{"id": body.id}' } };
  let answer = answerJson('{"secret": ');
  const { url } = await startRoute(t, { transform }, (request, response) => answer(request, response));
  const gzipped = gzipSync(Buffer.alloc(100_000));
  const answers = [
    answerJson('{"secret": '),
    answerJson({ secret: 1 }),
    answerJson({ id: 'secret'.repeat(1_000) }),
    answerJson('secret', { 'content-encoding': 'unheard-of' }),
    answerJson({ secret: 1 }, { 'content-range': 'bytes 0-1/9' }, 206),
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { ...json, 'content-encoding': 'gzip' });
      response.end(gzipped);
    },
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, json);
      response.end(JSON.stringify({ id: 'secret'.repeat(1_000) }));
    },
  ];
  for (const next of answers) {
    answer = next;
    const { status, text: body } = await ask(url);
    assert.equal(status, 502, body);
    assert.equal((JSON.parse(body) as { code: string }).code, 'DOWNSTREAM_SERVICE_ERROR');
    assert.doesNotMatch(body, /secret/);
  }
  answer = (_, response) => {
    response.writeHead(200, { ...json, 'content-encoding': 'gzip' });
    response.end(gzipSync('{"id":1}'));
  };
  assert.equal((await ask(url)).text, '{"id":1}');
});

test('what an expression makes is bounded like what it gets', async (t) => {
  const transform = { maxBodySize: '100kb', response: { body: 'body.map(i, body)' } };
  const { url } = await startRoute(t, { transform }, answerJson(Array.from({ length: 20_000 }, () => 1)));
  assert.equal((await ask(url)).status, 502);
});

test('a kept answer is kept as it is after its change, for those that it would be changed alike for', async (t) => {
  let calls = 0;
  const { url, gateway } = await startRoute(
    t,
    {
      cache: {},
      transform: {
        response: { body: '{"n": body.n, "lang": "x-lang" in request.headers ? request.headers["x-lang"] : ""}' },
      },
    },
    (request, response) => answerJson({ n: ++calls }, { 'cache-control': 'public, max-age=60' })(request, response),
  );
  const first = await ask(url, { headers: { 'x-lang': 'de' } });
  const again = await ask(url, { headers: { 'x-lang': 'de' } });
  const other = await ask(url, { headers: { 'x-lang': 'fr' } });
  assert.deepEqual([first.text, again.text], ['{"n":1,"lang":"de"}', '{"n":1,"lang":"de"}']);
  assert.match(String(again.headers['cache-status']), /hit/);
  assert.equal(other.text, '{"n":2,"lang":"fr"}');
  await gateway.gateway.stop();
});

test('routes without a transformation pass the first byte before the last has come', async (t) => {
  const gateway = await startGateway(t);
  const service = await startServer(t, async (request, response) => {
    response.writeHead(200, json);
    for await (const chunk of request) response.write(chunk);
    response.end();
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/echo' } }]);
  const { writable, readable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const init = { method: 'POST', headers: json, body: readable, duplex: 'half' };
  const asked = fetch(`${gateway.url}/echo`, init);
  await writer.write(Buffer.from('['));
  const answer = await asked;
  const reader = answer.body?.getReader();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), '[');
  await writer.write(Buffer.from('1]'));
  await writer.close();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), '1]');
});

test('mistakes are told at registration, with what was expected', async (t) => {
  const gateway = await startGateway(t);
  const refuse = async (transform: object) => {
    const route = { match: { path: '/x' }, transform };
    const answer = await gateway.admin('PUT', '/services/x', {
      routes: [route],
      instances: [{ url: 'http://127.0.0.1:1' }],
    });
    assert.equal(answer.status, 400);
    return (answer.body.reasons as { path: string; message: string }[])
      .map(({ path, message }) => `${path} ${message}`)
      .join('\n');
  };
  assert.match(
    await refuse({ request: { body: 'boddy.a' } }),
    /\/routes\/0\/transform\/request\/body expected a CEL expression over .*Unknown variable/,
  );
  assert.match(await refuse({ request: { query: { set: { a: 'body.a' } } } }), /request\/query\/set\/a expected a CEL/);
  assert.match(await refuse({ response: { when: '"a"' } }), /response\/when expected an expression that gives a bool/);
  assert.match(await refuse({ response: { when: 'status == 200' } }), /response expected something to change/);
  assert.match(await refuse({ response: { drop: ['__proto__.a'] } }), /response\/drop\/0/);
});
