import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '../../gateway/metrics.ts';
import { createSharedPlanner } from '../../gateway/shared-planner.ts';
import { createWorkerCounts } from '../../gateway/worker-counts.ts';
import { createWorkerMetrics } from '../../gateway/worker-metrics.ts';
import { mergeStatus } from '../../gateway/worker-status.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import type { PlanOutcome } from '../../schema/planner.ts';
import type { InstanceStatus } from '../../subgraphs/instance-status.ts';

const request = { door: 'rest', service: 'shop', name: 'GET /shop', status: 200, durationMs: 5 };

describe('metrics of workers', () => {
  async function render(count: () => ReturnType<typeof createWorkerMetrics>, own = createMetrics()) {
    return (await count().render(await own.collect())).body;
  }

  it('are added up, but gauges of state are not', async () => {
    const sums = createWorkerMetrics();
    for (const worker of [1, 2]) {
      const metrics = createMetrics({ processMetrics: false });
      metrics.observeRequest(request);
      metrics.observeBreaker('shop', 'one', worker === 1 ? 'open' : 'closed');
      sums.observe(worker, await metrics.collect());
    }
    const own = createMetrics();
    own.observeHealth('shop', 'one', true);
    const text = await render(() => sums, own);
    assert.match(text, /selvage_requests_total\{[^}]*\} 2$/m);
    assert.match(text, /selvage_request_duration_seconds_count\{[^}]*\} 2$/m);
    assert.match(text, /selvage_breaker_state\{[^}]*\} 2$/m, 'the worst');
    assert.match(text, /selvage_instance_healthy\{[^}]*\} 1$/m);
  });

  it('do not fall when a worker goes, and grow with its successor', async () => {
    const sums = createWorkerMetrics();
    const metrics = createMetrics({ processMetrics: false });
    metrics.observeRequest(request);
    metrics.observeRequestStart('rest');
    sums.observe(1, await metrics.collect());
    sums.retire(1);
    let text = await render(() => sums);
    assert.match(text, /selvage_requests_total\{[^}]*\} 1$/m);
    assert.match(text, /selvage_request_duration_seconds_count\{[^}]*\} 1$/m);
    assert.doesNotMatch(text, /selvage_requests_in_flight\{/, 'what was under way there is not any more');
    sums.observe(2, await metrics.collect());
    sums.retire(2);
    sums.retire(2);
    text = await render(() => sums);
    assert.match(text, /selvage_requests_total\{[^}]*\} 2$/m);
  });
});

describe('counts of workers', () => {
  const rule = { emissionUs: 1_000_000, burst: 3 };

  it('are kept in one place, several questions at once', async () => {
    const shared = createMemoryRateLimitStore();
    let messages = 0;
    const create = () =>
      createWorkerCounts({
        async ask(questions) {
          messages++;
          return questions.map((question) => shared.take(question.key, question.rule, question.cost));
        },
        renew() {},
        release() {},
        onFailure: () => assert.fail('nothing fails'),
      });
    const stores = [create(), create()];
    const results = await Promise.all(stores.flatMap((store) => [1, 2, 3].map(() => store.take('viewer', rule, 1))));
    assert.equal(results.filter(({ allowed }) => allowed).length, 3);
    assert.equal(messages, 2);
  });

  it('are made by the worker alone when the primary does not answer', async () => {
    const failures: unknown[] = [];
    const store = createWorkerCounts({
      ask: () => Promise.reject(new Error('gone')),
      renew() {},
      release() {},
      onFailure: (error) => failures.push(error),
    });
    const results = await Promise.all([1, 2, 3, 4].map(() => store.take('viewer', rule, 1)));
    assert.deepEqual(
      results.map(({ allowed }) => allowed),
      [true, true, true, false],
    );
    assert.equal(failures.length, 1);
  });
});

describe('a planner that workers share', () => {
  it('plans a document once, and asks again only when there was no planner', async () => {
    const outcomes: PlanOutcome[] = [{ kind: 'unavailable' }, { kind: 'refused', reason: 'no' }];
    let asked = 0;
    const planner = createSharedPlanner({
      pid: undefined,
      start() {},
      plan: async () => outcomes[asked++] ?? { kind: 'unavailable' },
      [Symbol.dispose]() {},
    });
    planner.add({ id: 'g', supergraphSdl: '' });
    assert.equal((await planner.plan('other', '{ a }')).kind, 'unavailable');
    assert.equal(asked, 0);
    assert.deepEqual(
      (await Promise.all([planner.plan('g', '{ a }'), planner.plan('g', '{ a }')])).map(({ kind }) => kind),
      ['unavailable', 'unavailable'],
    );
    assert.equal(asked, 1);
    assert.equal((await planner.plan('g', '{ a }')).kind, 'refused');
    assert.equal((await planner.plan('g', '{ a }')).kind, 'refused');
    assert.equal(asked, 2);
  });
});

describe('the status of an instance', () => {
  const instance: InstanceStatus = {
    id: '1',
    url: 'http://a',
    weight: 1,
    state: 'healthy',
    reachable: true,
    latencyMs: null,
    weightInEffect: 1,
    breaker: 'closed',
    inFlight: 0,
  };

  it('has the load of all workers and the worst breaker', () => {
    const [merged] = mergeStatus(
      [instance],
      [[{ ...instance, inFlight: 2 }], [{ ...instance, inFlight: 3, breaker: 'open' }]],
    );
    assert.deepEqual(merged, { ...instance, inFlight: 5, breaker: 'open' });
  });

  it('has the health that the prober found, and an ejection that a worker found just now', () => {
    assert.equal(mergeStatus([{ ...instance, state: 'unhealthy' }], [[instance]])[0]?.state, 'unhealthy');
    assert.equal(mergeStatus([instance], [[instance], [{ ...instance, state: 'ejected' }]])[0]?.state, 'ejected');
  });

  it('is the prober’s when no worker knows the instance yet', () => {
    assert.deepEqual(mergeStatus([instance], [[]]), [instance]);
  });
});
