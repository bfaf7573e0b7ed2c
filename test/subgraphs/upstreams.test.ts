import assert from 'node:assert/strict';
import type http from 'node:http';
import type net from 'node:net';
import { test } from 'node:test';
import { emptySnapshot } from '../../subgraphs/snapshot.ts';
import { createUpstreams } from '../../subgraphs/upstreams.ts';
import { createRequestContext } from '../support/request-context.ts';
import {
  ask,
  balancing,
  closedPort,
  outcomes,
  postRequest,
  serviceOf,
  snapshotOf,
  stage,
  startService,
  until,
} from './stage.ts';

function answerWith(name: string): http.RequestListener {
  return (_request, response) => response.end(name);
}

test('connections, breaker and health of an instance outlive a snapshot that still names it', async () => {
  const sockets = new Set<net.Socket>();
  await using service = await startService((request, response) => {
    sockets.add(request.socket);
    response.writeHead(500).end();
  });
  const breaker = { circuitBreaker: { minimumCalls: 6, openFor: '1h' } };
  await using upstreams = stage([service.url], breaker);
  for (let i = 0; i < 3; i++) await ask(upstreams);
  const before = sockets.size;
  upstreams.apply(snapshotOf(serviceOf('shop', [service.url], { ...breaker, timeout: '3s' })));
  for (let i = 0; i < 3; i++) await ask(upstreams);
  assert.equal(sockets.size, before);
  upstreams.apply(snapshotOf(serviceOf('shop', [service.url], breaker), serviceOf('other', [])));
  await assert.rejects(ask(upstreams), { code: 'CIRCUIT_BREAKER_OPEN' });
});

test('an instance that moved to another URL begins anew', async () => {
  await using service = await startService(answerWith('here'));
  await using upstreams = stage([{ id: 'one', url: `http://127.0.0.1:${await closedPort()}` }]);
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
  upstreams.apply(snapshotOf(serviceOf('shop', [{ id: 'one', url: service.url }])));
  assert.equal((await ask(upstreams)).body.toString(), 'here');
});

test('a removed instance is not chosen any more, its call in flight ends well, and its connections close', async () => {
  const held: http.ServerResponse[] = [];
  const sockets: net.Socket[] = [];
  await using leaving = await startService((request, response) => {
    sockets.push(request.socket);
    response.write('be');
    held.push(response);
  });
  await using staying = await startService(answerWith('staying'));
  await using upstreams = stage([leaving.url]);
  const call = ask(upstreams);
  await until(() => held.length === 1, 'the call is in flight');
  upstreams.apply(snapshotOf(serviceOf('shop', [{ id: 'z', url: staying.url }])));
  for (let i = 0; i < 5; i++) assert.equal((await ask(upstreams)).body.toString(), 'staying');
  held[0]?.end('gun');
  assert.equal((await call).body.toString(), 'begun');
  await until(() => sockets.every((socket) => socket.destroyed), 'the connection closes');
  assert.deepEqual(
    upstreams.status('shop').map((instance) => instance.id),
    ['z'],
  );
});

test('a draining instance gets nothing new, not even as the last one', async () => {
  await using first = await startService(answerWith('first'));
  await using second = await startService(answerWith('second'));
  await using upstreams = stage([{ url: first.url, draining: true }, second.url]);
  for (let i = 0; i < 5; i++) assert.equal((await ask(upstreams)).body.toString(), 'second');
  assert.deepEqual(
    upstreams.status('shop').map((instance) => instance.state),
    ['draining', 'healthy'],
  );
  upstreams.apply(snapshotOf(serviceOf('shop', [{ url: first.url, draining: true }])));
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
  upstreams.apply(snapshotOf(serviceOf('shop', [first.url])));
  assert.equal((await ask(upstreams)).body.toString(), 'first');
});

test('weights, algorithm and settings change with the snapshot', async () => {
  const counts = new Map<string, number>();
  const count = (name: string): http.RequestListener => {
    return (_request, response) => {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      response.end();
    };
  };
  await using first = await startService(count('first'));
  await using second = await startService(count('second'));
  await using upstreams = stage([first.url, second.url], balancing('round-robin'));
  for (let i = 0; i < 10; i++) await ask(upstreams);
  assert.deepEqual([...counts.values()], [5, 5]);
  counts.clear();
  const heavy = [{ url: first.url, weight: 4 }, second.url];
  upstreams.apply(snapshotOf(serviceOf('shop', heavy, balancing('weighted'))));
  for (let i = 0; i < 10; i++) await ask(upstreams);
  assert.deepEqual([counts.get('first'), counts.get('second')], [8, 2]);
});

test('a new concurrency holds for the calls after it', async () => {
  const held: http.ServerResponse[] = [];
  await using service = await startService((_request, response) => held.push(response));
  await using upstreams = stage([service.url], { concurrency: 1 });
  const calls = [ask(upstreams)];
  await until(() => held.length === 1, 'the first is in flight');
  await assert.rejects(ask(upstreams), { code: 'OVERLOADED' });
  upstreams.apply(snapshotOf(serviceOf('shop', [service.url], { concurrency: 2 })));
  calls.push(ask(upstreams));
  await until(() => held.length === 2, 'the second is in flight');
  await assert.rejects(ask(upstreams), { code: 'OVERLOADED' });
  for (const response of held) response.end();
  await Promise.all(calls);
});

test('defaults hold where the service says nothing', async () => {
  await using service = await startService(() => {});
  await using upstreams = createUpstreams({
    defaults: { timeout: '50ms', retry: { attempts: 0 } },
    bodyIdleTimeoutMs: 1_000,
  });
  upstreams.apply(snapshotOf(serviceOf('shop', [service.url])));
  await assert.rejects(ask(upstreams), { code: 'GATEWAY_TIMEOUT' });
});

test('a call goes on to an instance that a snapshot brought while it was under way', async () => {
  await using second = await startService(answerWith('second'));
  let apply = (): void => {};
  await using first = await startService((request) => {
    apply();
    request.socket.destroy();
  });
  await using upstreams = stage([first.url]);
  apply = () => upstreams.apply(snapshotOf(serviceOf('shop', [{ id: 'second', url: second.url }])));
  const context = createRequestContext();
  assert.equal((await ask(upstreams, {}, context)).body.toString(), 'second');
  assert.deepEqual(outcomes(context.attempts), ['a DOWNSTREAM_SERVICE_ERROR', 'second 200']);
});

test('a service that leaves the registry answers requests that began before, and is unavailable afterwards', async (t) => {
  await using service = await startService(answerWith('ok'));
  await using upstreams = stage([service.url], {}, { lingerMs: 60_000 });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  upstreams.apply(emptySnapshot);
  assert.deepEqual(upstreams.status('shop'), []);
  assert.equal((await ask(upstreams)).status, 200);
  t.mock.timers.tick(60_000);
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
});

test('the status shows what the admin API needs', async () => {
  await using service = await startService(answerWith('ok'));
  const given = { id: 'one', url: service.url, weight: 3, zone: 'eu', version: '1.2' };
  await using upstreams = stage([given]);
  assert.deepEqual(upstreams.status('shop'), [
    { ...given, state: 'healthy', reachable: true, breaker: 'closed', inFlight: 0, latencyMs: null, weightInEffect: 3 },
  ]);
  await ask(upstreams);
  const [after] = upstreams.status('shop');
  assert.ok(typeof after?.latencyMs === 'number' && after.latencyMs >= 0);
});

test('every attempt is recorded and observed', async () => {
  await using service = await startService((_request, response) => response.writeHead(204).end());
  const seen: string[] = [];
  await using upstreams = stage([`http://127.0.0.1:${await closedPort()}`, service.url], balancing('weighted'), {
    observer: {
      onAttempt: (attempt, { id }) => seen.push(`${id} ${attempt.service} ${attempt.instance} ${attempt.outcome}`),
      onBreakerChange() {},
      onHealthChange() {},
    },
  });
  const context = createRequestContext();
  await ask(upstreams, postRequest, context);
  assert.deepEqual(seen, ['request-1 shop a SERVICE_UNAVAILABLE', 'request-1 shop b 204']);
  assert.deepEqual(outcomes(context.attempts), ['a SERVICE_UNAVAILABLE', 'b 204']);
  for (const attempt of context.attempts) assert.ok(attempt.durationMs >= 0);
});

test('names are resolved by the given look-up, which may refuse', async () => {
  await using service = await startService(answerWith('ok'));
  const url = `http://shop.example:${service.port}`;
  const asked: string[] = [];
  await using upstreams = stage(
    [url],
    {},
    {
      lookup: (name, _options, callback) => {
        asked.push(name);
        callback(null, [{ address: '127.0.0.1', family: 4 }]);
      },
    },
  );
  assert.equal((await ask(upstreams)).body.toString(), 'ok');
  assert.deepEqual(asked, ['shop.example']);
  await using guarded = stage(
    [url],
    {},
    {
      lookup: (_name, _options, callback) => callback(new Error('address not allowed'), []),
    },
  );
  await assert.rejects(ask(guarded), { code: 'SERVICE_UNAVAILABLE' });
});

test('disposal cuts what is in flight, and what is retired but not done', async () => {
  const held: http.ServerResponse[] = [];
  await using service = await startService((_request, response) => held.push(response));
  const upstreams = stage([service.url], { retry: { attempts: 0 } });
  const retired = ask(upstreams);
  await until(() => held.length === 1, 'one call is in flight');
  upstreams.apply(snapshotOf(serviceOf('shop', [{ id: 'new', url: service.url }], { retry: { attempts: 0 } })));
  const current = ask(upstreams);
  await until(() => held.length === 2, 'two calls are in flight');
  const results = Promise.allSettled([retired, current]);
  await upstreams[Symbol.asyncDispose]();
  assert.deepEqual(
    (await results).map((result) => result.status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
});
