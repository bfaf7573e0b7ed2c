import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAddressPolicy } from '../../../subgraphs/address-policy.ts';
import { type DiscoveredInstance, DiscoveryError, type Watch } from '../../../subgraphs/discovery/provider.ts';
import { watchService } from '../../../subgraphs/discovery/watched-service.ts';
import { createFakeClock } from '../fake-clock.ts';

/** A provider that a test answers and breaks by hand. */
function start(allow?: readonly string[]) {
  const clock = createFakeClock();
  const logged: string[] = [];
  const changes: (readonly DiscoveredInstance[])[] = [];
  const observed: string[] = [];
  let begun = 0;
  let session: Parameters<Watch>[0] | undefined;
  let fail: (error: unknown) => void = () => {};
  const note = (message: string) => void logged.push(message);
  const watched = watchService({
    service: 'orders',
    provider: 'consul',
    watch(given) {
      begun++;
      session = given;
      return new Promise((resolve, reject) => {
        fail = reject;
        given.signal.addEventListener('abort', () => resolve());
      });
    },
    checkUrl: createAddressPolicy(allow).assertAllowed,
    onChange: (instances) => changes.push(instances),
    clock,
    random: () => 1,
    log: { info: note, warn: note, error: note },
    observer: {
      onAnswer: (_service, _provider, instances) => observed.push(`answer ${instances}`),
      onFailure: () => observed.push('failure'),
      onEnd: () => observed.push('end'),
    },
  });
  return {
    watched,
    clock,
    logged,
    changes,
    observed,
    begun: () => begun,
    report: (...urls: string[]) => session?.report(urls.map((url, at) => ({ id: `i${at}`, url }))),
    tell: (...instances: DiscoveredInstance[]) => session?.report(instances),
    fail: async (error: unknown) => {
      fail(error);
      await clock.advance(0);
    },
  };
}

test('an equal answer is no change, in whatever order it comes', async () => {
  const { watched, tell, changes, clock } = start();
  const [a, b] = [
    { id: 'a', url: 'http://10.0.0.1' },
    { id: 'b', url: 'http://10.0.0.2', zone: undefined },
  ];
  tell(a, b);
  tell(b, a);
  tell(a, b, a);
  assert.deepEqual(changes, [[a, { id: 'b', url: 'http://10.0.0.2' }]]);
  await clock.advance(4_000);
  assert.deepEqual(watched.status(), {
    provider: 'consul',
    state: 'answering',
    instances: 2,
    answerAgeSeconds: 4,
  });
  await watched[Symbol.asyncDispose]();
});

test('a provider that fails keeps its last answer, says so once, and is asked ever more slowly', async () => {
  const { watched, report, fail, changes, logged, clock, begun, observed } = start();
  assert.equal(watched.status().state, 'waiting');
  report('http://10.0.0.1');
  await fail(new DiscoveryError('Consul answered 500'));
  const begins: number[] = [];
  for (let second = 1; second <= 130; second++) {
    const before = begun();
    await clock.advance(1_000);
    if (begun() === before) continue;
    begins.push(second);
    await fail(new DiscoveryError('Consul answered 500'));
  }
  assert.deepEqual(begins, [1, 3, 7, 15, 31, 63, 123]);
  assert.deepEqual(changes, [[{ id: 'i0', url: 'http://10.0.0.1' }]]);
  const { state, error, instances, answerAgeSeconds } = watched.status();
  assert.deepEqual([state, error, instances, answerAgeSeconds], ['failing', 'Consul answered 500', 1, 130]);
  assert.deepEqual(logged, ['discovery answers', 'discovery fails; the last answer stays']);
  await fail(Object.assign(new Error('connect ECONNREFUSED 10.0.0.9:8500'), { code: 'ECONNREFUSED' }));
  await clock.advance(60_000);
  await fail(Object.assign(new Error('connect ECONNREFUSED 10.0.0.9:8500'), { code: 'ECONNREFUSED' }));
  assert.equal(watched.status().error, 'ECONNREFUSED', 'the message would tell an address');
  assert.equal(logged.length, 3, 'another reason is another line');
  await clock.advance(60_000);
  report('http://10.0.0.1');
  await clock.advance(6_000);
  assert.equal(logged.at(-1), 'discovery answers again');
  assert.equal(watched.status().state, 'answering');
  assert.equal(changes.length, 1);
  await watched[Symbol.asyncDispose]();
  assert.equal(observed.at(-1), 'end');
});

test('one that answers and fails again and again writes two lines, not two each time', async () => {
  const { watched, report, fail, logged, clock, begun } = start();
  for (let round = 0; round < 20; round++) {
    report('http://10.0.0.1');
    await fail(new DiscoveryError('Kubernetes answered 403'));
    const before = begun();
    while (begun() === before) await clock.advance(1_000);
  }
  assert.deepEqual(logged, ['discovery answers', 'discovery fails; the last answer stays']);
  await watched[Symbol.asyncDispose]();
});

test('an empty answer is believed, and said', async () => {
  const { watched, report, changes, logged } = start();
  report('http://10.0.0.1');
  report();
  assert.deepEqual(changes.at(-1), []);
  assert.equal(logged.at(-1), 'discovery found no instance');
  await watched[Symbol.asyncDispose]();
});

test('an instance that cannot be used costs itself only, and is told', async () => {
  const { watched, tell, changes, logged } = start();
  const bad: DiscoveredInstance[] = [
    { id: 'metadata', url: 'http://169.254.169.254' },
    { id: 'path', url: 'http://10.0.0.1/admin' },
    { id: 'file', url: 'file:///etc/passwd' },
    { id: 'credentials', url: 'http://a:b@10.0.0.1' },
    { id: 'port', url: 'http://10.0.0.1:99999' },
    { id: '../../x', url: 'http://10.0.0.1' },
    { id: 'zone', url: 'http://10.0.0.1', zone: 'a b' },
    { id: 'weight', url: 'http://10.0.0.1', weight: 0.5 },
  ];
  tell(...bad, { id: 'good', url: 'http://10.0.0.2/' });
  tell(...bad, { id: 'good', url: 'http://10.0.0.2' });
  assert.deepEqual(changes, [[{ id: 'good', url: 'http://10.0.0.2' }]]);
  const { refused } = watched.status();
  assert.deepEqual(refused, { count: 8, first: 'metadata: an instance may not have the host 169.254.169.254' });
  assert.equal(logged.filter((line) => line === 'discovery found instances that cannot be used').length, 1);
  assert.throws(() => tell(...bad), /^DiscoveryError: none of 8 instances can be used; metadata:/);
  await watched[Symbol.asyncDispose]();
});

test('a list that is too long is refused whole', async () => {
  const { watched, report, changes } = start();
  const many = Array.from({ length: 2_001 }, (_, at) => `http://10.0.${at >> 8}.${at & 255}`);
  assert.throws(() => report(...many), /2001 instances are more than the 2000 a service may have/);
  assert.deepEqual(changes, []);
  await watched[Symbol.asyncDispose]();
});

test('a provider that throws what is no error, or ends, is begun again', async () => {
  const { watched, fail, clock, begun } = start();
  await fail(null);
  assert.equal(watched.status().error, 'unknown');
  await clock.advance(1_000);
  assert.equal(begun(), 2);
  await watched[Symbol.asyncDispose]();
  await clock.advance(600_000);
  assert.equal(begun(), 2, 'not after it was stopped');
});
