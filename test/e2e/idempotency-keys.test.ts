import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startServer } from '../support/subgraph.ts';

// A route may say that its service does what it gets twice under one Idempotency-Key once (invariant 4 holds elsewhere).

test('a POST with an Idempotency-Key is retried where the route says so, with its body, and nowhere else', async (t) => {
  const seen: { key: string | undefined; body: string; path: string | undefined }[] = [];
  let failures = 0;
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ key: request.headers['idempotency-key'] as string | undefined, body, path: request.url });
    if (failures-- > 0) response.destroy();
    else response.end('done');
  });
  const gateway = await startGateway(t, {
    services: {
      orders: {
        instances: [{ url: service.url }],
        routes: [
          { match: { path: '/keyed', methods: ['POST'] }, idempotencyKeys: true },
          { match: { path: '/plain', methods: ['POST'] } },
        ],
      },
    },
  });
  const post = async (path: string, headers: Record<string, string>, body: string | ReadableStream = 'one order') => {
    seen.length = 0;
    failures = 1;
    const init = { method: 'POST', headers, body, ...(typeof body === 'string' ? {} : { duplex: 'half' }) };
    const response = await fetch(`${gateway.url}${path}`, init as RequestInit);
    await response.text();
    return [response.status, seen.length];
  };
  const key = { 'idempotency-key': '"8e03978e"' };
  assert.deepEqual(await post('/keyed', key), [200, 2]);
  assert.deepEqual(seen, Array(2).fill({ key: '"8e03978e"', body: 'one order', path: '/keyed' }));
  assert.deepEqual(await post('/keyed', key, ''), [200, 2], 'a request without a body');
  assert.deepEqual(await post('/keyed', {}), [502, 1], 'no key');
  assert.deepEqual(await post('/plain', key), [502, 1], 'a route that does not say so');
  assert.deepEqual(await post('/keyed', key, 'x'.repeat(65_537)), [502, 1], 'too large to be held');
  assert.deepEqual(await post('/keyed', key, new Blob(['streamed']).stream()), [502, 1], 'a body of unknown length');
});
