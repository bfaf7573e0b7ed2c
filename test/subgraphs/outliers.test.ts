/** Outliers, panic and told health in real calls to real services. */
import assert from 'node:assert/strict';
import type http from 'node:http';
import { test } from 'node:test';
import type { ServiceDefinition } from '../../subgraphs/service-definition.ts';
import { createFakeClock } from './fake-clock.ts';
import { ask, balancing, closedPort, postRequest, stage, startService, until } from './stage.ts';

const roundRobin: ServiceDefinition = { ...balancing('round-robin'), retry: { attempts: 0 } };

function answer(status: number): http.RequestListener {
  return (_request, response) => response.writeHead(status).end();
}

test('an instance that fails while the others do not is ejected, and is back in time', async () => {
  await using good = await startService(answer(200));
  await using bad = await startService(answer(500));
  const clock = createFakeClock();
  const events: string[] = [];
  await using upstreams = stage([bad.url, good.url, good.url], roundRobin, {
    clock,
    observer: {
      onAttempt() {},
      onBreakerChange() {},
      onHealthChange: (_service, instance, healthy, why) => events.push(`${instance} ${healthy} ${why}`),
      onEjection: (_service, instance, ejection, well) => events.push(`${instance} ${ejection?.detail} ${well}`),
      onPoolChange: (_service, pool) => events.push(`${pool?.healthy} of ${pool?.instances}`),
    },
  });
  for (let i = 0; i < 30; i++) await ask(upstreams);
  const [status] = upstreams.status('shop');
  assert.equal(status?.state, 'ejected');
  assert.equal(status?.reason, 'consecutive5xx: 5 failures in a row (ejection 1)');
  assert.deepEqual(status?.ejection, { reason: 'consecutive5xx', remainingSeconds: 10, count: 1 });
  for (let i = 0; i < 20; i++) assert.equal((await ask(upstreams)).status, 200);
  await clock.advance(10_000);
  assert.equal(upstreams.status('shop')[0]?.state, 'healthy');
  assert.deepEqual(events, ['3 of 3', '2 of 3', 'a 5 failures in a row true', '3 of 3', 'a undefined true']);
});

test('an instance that is ejected does not pay twice: its breaker is closed when it is back', async () => {
  await using good = await startService(answer(200));
  await using bad = await startService(answer(500));
  const clock = createFakeClock();
  const circuitBreaker = { failures: '50%', minimumCalls: 5, openFor: '1h' };
  await using upstreams = stage([bad.url, good.url], { ...roundRobin, circuitBreaker }, { clock });
  for (let i = 0; i < 20; i++) await ask(upstreams);
  assert.deepEqual([upstreams.status('shop')[0]?.state, upstreams.status('shop')[0]?.breaker], ['ejected', 'open']);
  await clock.advance(10_000);
  assert.deepEqual([upstreams.status('shop')[0]?.state, upstreams.status('shop')[0]?.breaker], ['healthy', 'closed']);
});

test('an instance that breaks connections or is late is an outlier too, and the last one is never ejected', async () => {
  await using good = await startService(answer(200));
  await using broken = await startService((request) => request.socket.destroy());
  const quiet = { ...roundRobin, circuitBreaker: { minimumCalls: 10_000 } };
  await using upstreams = stage([broken.url, good.url], quiet);
  for (let i = 0; i < 12; i++) await ask(upstreams, postRequest).catch(() => {});
  assert.equal(upstreams.status('shop')[0]?.ejection?.reason, 'consecutive5xx');
  await using alone = stage([broken.url], quiet);
  for (let i = 0; i < 20; i++) await assert.rejects(ask(alone), { code: 'DOWNSTREAM_SERVICE_ERROR' });
  assert.equal(alone.status('shop')[0]?.state, 'healthy');
});

test('when the last healthy instance dies, the ejected ones get the calls', async () => {
  await using bad = await startService(answer(500));
  await using good = await startService(answer(200));
  const outlierDetection = { healthyPanicThreshold: '0%' };
  await using upstreams = stage([bad.url, good.url], { ...roundRobin, outlierDetection });
  for (let i = 0; i < 20; i++) await ask(upstreams);
  assert.equal(upstreams.status('shop')[0]?.state, 'ejected');
  await good.kill();
  upstreams.eject('shop', 'b', 'ECONNREFUSED');
  assert.deepEqual(upstreams.poolHealth('shop'), { instances: 2, healthy: 0, panic: true });
  assert.equal((await ask(upstreams)).status, 500);
});

test('when most instances fail their checks all get calls again, but for those that cannot be connected to', async () => {
  let ready = false;
  const served = new Set<string>();
  const serve = (name: string): http.RequestListener => {
    return (request, response) => {
      if (request.url === '/health') response.writeHead(name === 'a' || ready ? 200 : 503);
      else served.add(name);
      response.end();
    };
  };
  await using a = await startService(serve('a'));
  await using b = await startService(serve('b'));
  await using c = await startService(serve('c'));
  const gone = `http://127.0.0.1:${await closedPort()}`;
  await using upstreams = stage([a.url, b.url, c.url, gone], {
    ...roundRobin,
    health: { interval: '1h', unhealthyAfter: 1 },
  });
  const probed = await upstreams.probe('shop');
  assert.deepEqual(
    probed.map(({ state, reason }) => `${state} ${reason}`),
    ['healthy undefined', 'unhealthy status 503', 'unhealthy status 503', 'unhealthy ECONNREFUSED'],
  );
  assert.deepEqual(upstreams.poolHealth('shop'), { instances: 4, healthy: 1, panic: true });
  for (let i = 0; i < 12; i++) assert.equal((await ask(upstreams)).status, 200);
  assert.deepEqual([...served].toSorted(), ['a', 'b', 'c']);
  ready = true;
  await upstreams.probe('shop');
  assert.deepEqual(upstreams.poolHealth('shop'), { instances: 4, healthy: 3, panic: false });
});

test('an instance that was gone and is back is not held for an outlier any more', async () => {
  await using good = await startService(answer(200));
  const bad = await startService(answer(500));
  await using upstreams = stage([bad.url, good.url], roundRobin);
  for (let i = 0; i < 20; i++) await ask(upstreams);
  assert.equal(upstreams.status('shop')[0]?.state, 'ejected');
  await bad.kill();
  upstreams.eject('shop', 'a', 'ECONNREFUSED');
  assert.equal(upstreams.status('shop')[0]?.reason, 'ECONNREFUSED');
  await using _back = await startService(answer(200), bad.port);
  await until(() => upstreams.status('shop')[0]?.state === 'healthy', 'it is back');
  assert.equal(upstreams.status('shop')[0]?.ejection, undefined);
});

test('a worker is told the health, ejects by itself what it cannot connect to, and says so', async () => {
  let probes = 0;
  await using service = await startService((request, response) => {
    if (request.url === '/health') probes++;
    response.end();
  });
  const gone = `http://127.0.0.1:${await closedPort()}`;
  const said: string[] = [];
  const clock = createFakeClock();
  const definition = { ...roundRobin, health: { interval: '1ms' }, outlierDetection: { healthyPanicThreshold: '0%' } };
  await using upstreams = stage([service.url, gone], definition, {
    clock,
    onEject: (name, instance, why) => said.push(`${name} ${instance} ${why}`),
  });
  for (let i = 0; i < 4; i++) assert.equal((await ask(upstreams)).status, 200);
  assert.deepEqual(said, ['shop b ECONNREFUSED']);
  assert.equal(upstreams.status('shop')[1]?.state, 'ejected');
  upstreams.tellHealth('shop', 'b', false, 'ECONNREFUSED', false);
  upstreams.tellHealth('shop', 'a', false, 'status 503');
  await assert.rejects(ask(upstreams), { code: 'SERVICE_UNAVAILABLE' });
  upstreams.tellHealth('shop', 'a', true, 'probe succeeded');
  upstreams.tellHealth('unknown', 'a', false, 'whatever');
  assert.equal((await ask(upstreams)).status, 200);
  await upstreams.probe('shop');
  assert.equal(probes, 0);
});
