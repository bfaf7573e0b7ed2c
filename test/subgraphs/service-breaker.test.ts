import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { test } from 'node:test';
import { createRequestContext } from '../support/request-context.ts';
import { ask, postRequest, stage, startService, until } from './stage.ts';

// The breaker of a service as a whole: it counts calls, whichever instances they went to.

const instanceBreaker = { minimumCalls: 1_000 };
const options = (serviceBreaker: object) => ({
  circuitBreaker: instanceBreaker,
  retry: { attempts: 0 },
  serviceBreaker,
});
const status =
  (code: number): RequestListener =>
  (_request, response) =>
    void response.writeHead(code).end('{}');

test('failures at all instances together open it; then nobody is asked', async () => {
  let asked = 0;
  const failing: RequestListener = (_request, response) => {
    asked++;
    response.writeHead(500).end();
  };
  await using a = await startService(failing);
  await using b = await startService(failing);
  const states: string[] = [];
  await using upstreams = stage([a.url, b.url], options({ minimumCalls: 4, openFor: '1h' }), {
    observer: {
      onAttempt() {},
      onBreakerChange() {},
      onHealthChange() {},
      onServiceBreakerChange: (service, state) => void states.push(`${service} ${state}`),
    },
  });
  assert.equal(upstreams.serviceBreaker('shop'), 'closed');
  for (let i = 0; i < 4; i++) await ask(upstreams, postRequest);
  await assert.rejects(ask(upstreams), { code: 'CIRCUIT_BREAKER_OPEN' });
  assert.equal(asked, 4);
  assert.equal(upstreams.serviceBreaker('shop'), 'open');
  assert.deepEqual(states, ['shop open']);
  assert.equal(upstreams.status('shop')[0]?.breaker, 'closed');
});

test('half open, it lets one call through, and refuses the others instead of queueing them', async () => {
  let nowMs = 0;
  const waiting: (() => void)[] = [];
  let code = 500;
  await using service = await startService((_request, response) => {
    const answer = () => response.writeHead(code).end('{}');
    if (code === 500) answer();
    else waiting.push(answer);
  });
  await using upstreams = stage([service.url], options({ minimumCalls: 1, openFor: '10s' }), { now: () => nowMs });
  const context = () => createRequestContext({ deadlineAtMs: 1_000_000 });
  await ask(upstreams, {}, context());
  await assert.rejects(ask(upstreams, {}, context()), { code: 'CIRCUIT_BREAKER_OPEN', retryAfterSeconds: 10 });
  nowMs = 10_000;
  code = 200;
  const probe = ask(upstreams, {}, context());
  await until(() => waiting.length === 1, 'the probe is there');
  assert.equal(upstreams.serviceBreaker('shop'), 'half-open');
  for (let i = 0; i < 3; i++) await assert.rejects(ask(upstreams, {}, context()), { code: 'CIRCUIT_BREAKER_OPEN' });
  waiting[0]?.();
  await probe;
  assert.equal(upstreams.serviceBreaker('shop'), 'closed');
  assert.equal(waiting.length, 1);
});

test('a call that succeeds at a second instance is a good one', async () => {
  await using bad = await startService(status(503));
  await using good = await startService(status(200));
  const definition = { ...options({ minimumCalls: 2 }), retry: { attempts: 1, budget: '100%' } };
  await using upstreams = stage([bad.url, good.url], definition);
  for (let i = 0; i < 8; i++) assert.equal((await ask(upstreams)).status, 200);
  assert.equal(upstreams.serviceBreaker('shop'), 'closed');
});

test('refusals of our own, clients that leave and hurried deadlines do not count', async () => {
  await using silent = await startService(() => {});
  const definition = { ...options({ minimumCalls: 1 }), bulkhead: { calls: 1 } };
  await using upstreams = stage([silent.url], definition);
  const context = createRequestContext({ deadlineAtMs: performance.now() + 150, isHurried: true });
  const first = ask(upstreams, {}, context);
  await assert.rejects(ask(upstreams), { code: 'OVERLOADED' });
  await assert.rejects(first, { code: 'GATEWAY_TIMEOUT' });
  assert.equal(upstreams.serviceBreaker('shop'), 'closed');
  const late = { timeoutMs: 50 };
  await assert.rejects(ask(upstreams, late), { code: 'GATEWAY_TIMEOUT' });
  assert.equal(upstreams.serviceBreaker('shop'), 'open', 'a timeout of the service counts');
});

test('instances that refuse connections count', async () => {
  const gone = await startService(status(200));
  await gone.kill();
  await using upstreams = stage([gone.url], options({ minimumCalls: 1, openFor: '1h' }));
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
  assert.equal(upstreams.serviceBreaker('shop'), 'open');
});

test('GraphQL errors with chosen codes count, for the service and for an instance', async () => {
  const body = { data: null, errors: [{ message: 'no', extensions: { code: 'DATABASE_DOWN' } }] };
  await using service = await startService((_request, response) => void response.end(JSON.stringify(body)));
  for (const level of ['serviceBreaker', 'circuitBreaker'] as const) {
    const run = async (errorCodes: string[]) => {
      const definition = { retry: { attempts: 0 }, [level]: { minimumCalls: 2, openFor: '1h', errorCodes } };
      await using upstreams = stage([service.url], definition);
      for (let i = 0; i < 2; i++) await ask(upstreams);
      return level === 'serviceBreaker' ? upstreams.serviceBreaker('shop') : upstreams.status('shop')[0]?.breaker;
    };
    assert.equal(await run(['DATABASE_DOWN']), 'open', level);
    assert.equal(await run(['OTHER']), 'closed', level);
  }
});

test('without the option there is none, and it can be set and taken away while it runs', async () => {
  await using service = await startService(status(500));
  const definition = { circuitBreaker: instanceBreaker, retry: { attempts: 0 } };
  await using upstreams = stage([service.url], definition);
  for (let i = 0; i < 20; i++) await ask(upstreams);
  assert.equal(upstreams.serviceBreaker('shop'), null);
  upstreams.configure({ defaults: { serviceBreaker: { minimumCalls: 1 } } });
  await ask(upstreams);
  assert.equal(upstreams.serviceBreaker('shop'), 'open');
  upstreams.configure({ defaults: {} });
  assert.equal((await ask(upstreams)).status, 500);
});
