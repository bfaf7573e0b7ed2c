import assert from 'node:assert/strict';
import type http from 'node:http';
import { test } from 'node:test';
import { createDeparture, createRequestContext } from '../support/request-context.ts';
import { ask, outcomes, postRequest, stage, startService, until } from './stage.ts';

// A second request to another instance when the first takes longer than usual; the loser is cancelled.

interface Shelf {
  /** Whether instance `a` answers. */
  silent: boolean;
  readonly asked: { a: number; b: number };
  readonly cancelled: http.IncomingMessage[];
}

async function startPair() {
  const shelf: Shelf = { silent: false, asked: { a: 0, b: 0 }, cancelled: [] };
  const a = await startService((request, response) => {
    shelf.asked.a++;
    if (!shelf.silent) response.end('a');
    else response.once('close', () => shelf.cancelled.push(request));
  });
  const b = await startService((_request, response) => {
    shelf.asked.b++;
    response.end('b');
  });
  return { shelf, a, b };
}

const roundRobin = { loadBalancing: { algorithm: 'round-robin' }, retry: { attempts: 0 }, timeout: '20s' } as const;
const hedged = { ...roundRobin, hedging: { budget: '50%' } };

test('a call that takes longer than usual is answered by another instance, and the first request is cancelled', async () => {
  const { shelf, a, b } = await startPair();
  await using _a = a;
  await using _b = b;
  await using upstreams = stage([a.url, b.url], hedged);
  for (let i = 0; i < 20; i++) await ask(upstreams);
  shelf.silent = true;
  const contexts = [createRequestContext(), createRequestContext()];
  for (const context of contexts) {
    const answer = await ask(upstreams, {}, context);
    assert.equal(answer.body.toString(), 'b');
  }
  await until(() => shelf.cancelled.length === 1, 'the loser is cancelled');
  const all = contexts.flatMap((context) => outcomes(context.attempts)).toSorted();
  assert.deepEqual(all, ['a HEDGED', 'b 200', 'b 200']);
  assert.equal(upstreams.status('shop').find(({ id }) => id === 'a')?.inFlight, 0);
});

test('what may not be sent twice is never hedged, however long it takes', async () => {
  const { shelf, a, b } = await startPair();
  await using _a = a;
  await using _b = b;
  await using upstreams = stage([a.url, b.url], { ...hedged, timeout: '400ms' });
  for (let i = 0; i < 20; i++) await ask(upstreams);
  shelf.silent = true;
  const before = shelf.asked.a + shelf.asked.b;
  const results = await Promise.allSettled([ask(upstreams, postRequest), ask(upstreams, postRequest)]);
  assert.equal(shelf.asked.a + shelf.asked.b, before + 2);
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
});

test('hedged requests are a bounded share of the calls', async () => {
  const { shelf, a, b } = await startPair();
  await using _a = a;
  await using _b = b;
  await using upstreams = stage([a.url, b.url], { ...roundRobin, timeout: '1s', hedging: { budget: '10%' } });
  for (let i = 0; i < 20; i++) await ask(upstreams);
  shelf.silent = true;
  const startedAtMs = performance.now();
  const contexts = Array.from({ length: 60 }, () => createRequestContext());
  await Promise.allSettled(contexts.map((context) => ask(upstreams, {}, context)));
  const twice = contexts.filter(({ attempts }) => attempts.length > 1).length;
  // Ten that a quiet service may always make, a tenth of 80 calls, and one for each second.
  assert.ok(twice > 0 && twice <= 10 + 8 + (performance.now() - startedAtMs) / 1_000 + 1, String(twice));
});

test('an answer that fails while another is under way leaves it to that one', async () => {
  let failing = false;
  await using a = await startService(async (_request, response) => {
    if (failing) await new Promise((resolve) => setTimeout(resolve, 500));
    response.writeHead(failing ? 503 : 200).end('a');
  });
  await using b = await startService(async (_request, response) => {
    if (failing) await new Promise((resolve) => setTimeout(resolve, 800));
    response.end('b');
  });
  await using upstreams = stage([a.url, b.url], hedged);
  for (let i = 0; i < 20; i++) await ask(upstreams);
  failing = true;
  const answers = [await ask(upstreams), await ask(upstreams)];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200],
  );
});

test('a client that leaves takes both requests along', async () => {
  let silent = false;
  const open = new Set<http.ServerResponse>();
  const listener = (_request: http.IncomingMessage, response: http.ServerResponse): void => {
    if (!silent) return void response.end();
    open.add(response);
    response.once('close', () => open.delete(response));
  };
  await using a = await startService(listener);
  await using b = await startService(listener);
  await using upstreams = stage([a.url, b.url], hedged);
  for (let i = 0; i < 20; i++) await ask(upstreams);
  silent = true;
  const departure = createDeparture();
  const call = ask(upstreams, {}, createRequestContext({ departure }));
  await until(() => open.size === 2, 'both are asked');
  departure.leave();
  await assert.rejects(call, { code: 'CLIENT_CLOSED_REQUEST' });
  await until(() => open.size === 0, 'both are cancelled');
});

test('Retry-After is waited for when no other instance is left, and handed on when it is too long', async () => {
  const after: (string | undefined)[] = [];
  const times: number[] = [];
  await using service = await startService((_request, response) => {
    times.push(performance.now());
    const wish = after.shift();
    if (wish === undefined) response.end('ok');
    else response.writeHead(503, { 'retry-after': wish }).end('busy');
  });
  await using upstreams = stage([service.url], { circuitBreaker: { minimumCalls: 1_000 } });
  after.push('1');
  assert.equal((await ask(upstreams)).status, 200);
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 990, 'not before the service said so');
  after.push('3');
  const refused = await ask(upstreams);
  assert.deepEqual([refused.status, refused.header('retry-after'), refused.body.toString()], [503, '3', 'busy']);
  after.push('1');
  const hurried = await ask(upstreams, {}, createRequestContext({ deadlineAtMs: performance.now() + 900 }));
  assert.equal(hurried.status, 503, 'there is no time for it');
  assert.equal(times.length, 4);
});
