import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

// Invariant 8: whatever a client sends, the process lives and its memory stays bounded.

const deep = (depth: number) => `${'{a'.repeat(depth)}${'}'.repeat(depth)}`;

const hostileBodies: Record<string, string | Buffer> = {
  'no JSON': 'x',
  'a JSON string': '"x"',
  'a JSON number': '1',
  null: 'null',
  'an empty object': '{}',
  'an empty array': '[]',
  'an array in an array': '[[]]',
  'a query that is a number': '{"query":1}',
  'variables that are a string': '{"query":"{ a }","variables":"x"}',
  'variables that are an array': '{"query":"{ a }","variables":[1]}',
  'an operation name that is an object': '{"query":"{ a }","operationName":{}}',
  'a prototype in the variables': '{"query":"{ a }","variables":{"__proto__":{"x":1},"constructor":{"prototype":1}}}',
  'an alias named then': JSON.stringify({ query: '{ then: a }' }),
  'an alias named __proto__': JSON.stringify({ query: '{ __proto__: a }' }),
  'an alias named constructor': JSON.stringify({ query: '{ constructor: a toString: a valueOf: a }' }),
  'a deep document': JSON.stringify({ query: deep(20_000) }),
  'deep JSON': `{"query":"{ a }","variables":{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
  'a deep list literal': JSON.stringify({ query: `{ a(x: ${'['.repeat(20_000)}${']'.repeat(20_000)}) }` }),
  'fragments in a circle': JSON.stringify({
    query: '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
  }),
  'many aliases': JSON.stringify({ query: `{ ${Array.from({ length: 5_000 }, (_, i) => `a${i}: a`).join(' ')} }` }),
  'many directives': JSON.stringify({ query: `{ a ${'@x '.repeat(10_000)} }` }),
  'many errors': JSON.stringify({ query: `{ ${Array.from({ length: 5_000 }, (_, i) => `b${i}`).join(' ')} }` }),
  'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
  'NUL in the document': JSON.stringify({ query: '{ a\u0000 }' }),
  'no operation': JSON.stringify({ query: 'fragment F on Query { a }' }),
  'two operations without a name': JSON.stringify({ query: 'query A { a } query B { a }' }),
  'a subscription': JSON.stringify({ query: 'subscription { a }' }),
};

test('hostile GraphQL bodies get a coded client error or an answer, never a 500, and the gateway goes on', async (t) => {
  const gateway = await startGateway(t);
  const service = await startPlainGraphql(t, 'type Query { a: Int }', { Query: { a: () => 1 } });
  await registerGraphql(gateway, 'plain', service.url);
  for (const [what, body] of Object.entries(hostileBodies)) {
    for (const accept of ['application/json', 'application/graphql-response+json']) {
      const response = await fetch(`${gateway.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: new Uint8Array(Buffer.from(body)),
      });
      const text = await response.text();
      assert.ok(response.status < 500, `${what} (${accept}): ${response.status} ${text.slice(0, 200)}`);
      const answer = JSON.parse(text);
      for (const error of answer.errors ?? []) {
        assert.ok(
          error.extensions?.code && error.extensions.code !== 'INTERNAL_SERVER_ERROR',
          `${what}: ${text.slice(0, 300)}`,
        );
        assert.ok(error.extensions?.requestId, `${what}: ${text.slice(0, 300)}`);
      }
    }
  }
  assert.deepEqual((await gateway.graphql('{ a }')).data, { a: 1 });
});

test('hostile GET parameters are no 500 either', async (t) => {
  const gateway = await startGateway(t);
  for (const query of [
    '',
    '?query=',
    '?query=%',
    '?query={a}&variables=x',
    '?query={a}&variables=[',
    '?variables={}',
    '?query=%00',
    '?query={__typename}&extensions=x',
  ]) {
    const response = await fetch(`${gateway.url}/graphql${query}`, { headers: { accept: 'application/json' } });
    await response.text();
    assert.ok(response.status < 500, `${query}: ${response.status}`);
  }
});

const rawRequests: Record<string, string> = {
  'no HTTP': 'hello\r\n\r\n',
  'an invalid method': 'G@T / HTTP/1.1\r\nhost: x\r\n\r\n',
  'no host': 'GET /rest/a HTTP/1.1\r\n\r\n',
  'both length and chunked':
    'POST /rest/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'two lengths': 'POST /rest/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd',
  'a huge header': `GET /rest/a HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
  'a space before the colon': 'GET /rest/a HTTP/1.1\r\nhost : x\r\n\r\n',
  'dot segments': 'GET /rest/../admin HTTP/1.1\r\nhost: x\r\n\r\n',
  'encoded dot segments': 'GET /rest/%2e%2e/admin HTTP/1.1\r\nhost: x\r\n\r\n',
  'an encoded slash': 'GET /rest/..%2fadmin HTTP/1.1\r\nhost: x\r\n\r\n',
  'a backslash': 'GET /rest/..\\admin HTTP/1.1\r\nhost: x\r\n\r\n',
  'an empty segment': 'GET /rest//admin HTTP/1.1\r\nhost: x\r\n\r\n',
};

test('malformed requests are refused with 4xx, and none of them reaches a service', async (t) => {
  const gateway = await startGateway(t);
  const reached: string[] = [];
  const service = await startServer(t, (request, response) => {
    reached.push(`${request.method} ${request.url}`);
    response.end('ok');
  });
  await registerRest(gateway, 'rest', service.url, [{ match: { path: '/rest/*' }, rewrite: '/*' }]);
  for (const [what, text] of Object.entries(rawRequests)) {
    const answer = await sendRaw(Number(new URL(gateway.url).port), text);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, `${what}: ${answer.slice(0, 100)}`);
    assert.match(answer, /"code":"[A-Z_]+"/, `${what}: ${answer}`);
  }
  assert.deepEqual(reached, []);
  assert.equal((await fetch(`${gateway.url}/rest/fine`)).status, 200);
});

function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
      if (answer.includes('\r\n\r\n') && answer.endsWith('}')) socket.end();
    });
    socket.on('error', () => resolve(answer));
    socket.on('close', () => resolve(answer));
  });
}

test('a body over the limit is refused while it is still coming, with or without a declared length', async (t) => {
  const gateway = await startGateway(t, { limits: { maxGraphqlBodySize: '10kb', maxBodySize: '10kb' } });
  const service = await startServer(t, (request, response) => request.resume().on('end', () => response.end('ok')));
  await registerRest(gateway, 'rest', service.url, [{ match: { path: '/rest/*' } }]);
  const large = 'x'.repeat(50_000);
  for (const path of ['/graphql', '/rest/a']) {
    const headers = { 'content-type': 'application/json' };
    const declared = await fetch(gateway.url + path, { method: 'POST', headers, body: large });
    assert.equal(declared.status, 413, path);
    assert.match(await declared.text(), /PAYLOAD_TOO_LARGE/);
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.from(large)),
    });
    const chunked = await fetch(gateway.url + path, {
      method: 'POST',
      headers,
      body: endless,
      duplex: 'half',
    } as RequestInit).then(
      async (response) => [response.status, (await response.text()).includes('PAYLOAD_TOO_LARGE')],
      () => 'cut',
    );
    assert.ok(chunked === 'cut' || (chunked[0] === 413 && chunked[1]), `${path}: ${chunked}`);
  }
});

test('memory does not grow with the number of distinct documents, ids, paths and operation names', {
  timeout: 120_000,
}, async (t) => {
  const gateway = await startGateway(t, { logging: { level: 'silent' } });
  const service = await startPlainGraphql(t, 'type Query { a: Int }', { Query: { a: () => 1 } });
  await registerGraphql(gateway, 'plain', service.url);
  let n = 0;
  const burst = async (count: number) => {
    const one = async () => {
      const i = n++;
      await gateway.graphql(`query Op${i} { a${i}: a }`, { headers: { 'x-request-id': `id-${i}` } });
      await (await fetch(`${gateway.url}/nowhere/${i}`)).text();
    };
    for (let i = 0; i < count; i += 10) await Promise.all(Array.from({ length: 10 }, one));
  };
  await burst(500);
  const { body } = await gateway.admin('GET', '/metrics');
  const before = body.split('\n').length;
  await burst(1_500);
  const after = (await gateway.admin('GET', '/metrics')).body.split('\n').length;
  assert.ok(after < before * 3, `metrics lines: ${before} -> ${after}`);
});

test('a body that trickles in is given up at the deadline', async (t) => {
  const gateway = await startGateway(t, { policies: { deadline: '300ms' } });
  const head = 'POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{';
  const answer = await sendRaw(Number(new URL(gateway.url).port), head);
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.match(answer, /did not arrive in time/);
});
