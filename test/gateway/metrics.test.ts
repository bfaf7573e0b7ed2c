import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics, type Metrics } from '../../gateway/metrics.ts';
import { createLabelBound, createSeries } from '../../gateway/metrics-series.ts';

const request = { door: 'graphql', service: '', name: 'Products', status: 200, durationMs: 12 };

/** The samples of one metric, by labels in the order in which they are written. */
async function readSamples(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const { body } = await metrics.render();
  const samples: Record<string, number> = {};
  for (const line of body.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] === name) samples[match[2] ?? ''] = Number(match[3]);
  }
  return samples;
}

const open = (maxLabelValues?: number) => createMetrics({ processMetrics: false, maxLabelValues });

describe('metrics', () => {
  it('count requests and their time', async () => {
    const metrics = open();
    metrics.observeRequestStart('graphql');
    metrics.observeRequest(request);
    metrics.observeRequest({ ...request, status: 503 });
    assert.deepEqual(await readSamples(metrics, 'selvage_requests_total'), {
      'door="graphql",service="",name="Products",status="200"': 1,
      'door="graphql",service="",name="Products",status="503"': 1,
    });
    const buckets = await readSamples(metrics, 'selvage_request_duration_seconds_bucket');
    assert.equal(buckets['le="0.01",door="graphql",name="Products"'], 0);
    assert.equal(buckets['le="0.025",door="graphql",name="Products"'], 2);
    assert.deepEqual(await readSamples(metrics, 'selvage_request_duration_seconds_sum'), {
      'door="graphql",name="Products"': 0.024,
    });
  });

  it('count requests in flight, and never less than none', async () => {
    const metrics = open();
    metrics.observeRequestStart('rest');
    metrics.observeRequestStart('rest');
    metrics.observeRequest({ ...request, door: 'rest' });
    assert.deepEqual(await readSamples(metrics, 'selvage_requests_in_flight'), { 'door="rest"': 1 });
    metrics.observeRequest({ ...request, door: 'rest' });
    metrics.observeRequest({ ...request, door: 'rest' });
    assert.deepEqual(await readSamples(metrics, 'selvage_requests_in_flight'), { 'door="rest"': 0 });
  });

  it('count ejections, and tell how many instances are healthy as long as there is the service', async () => {
    const metrics = open();
    metrics.observeEjection('orders', 'latency');
    metrics.observePool('orders', { healthy: 1, panic: true });
    assert.deepEqual(await readSamples(metrics, 'selvage_outlier_ejections_total'), {
      'service="orders",reason="latency"': 1,
    });
    assert.deepEqual(await readSamples(metrics, 'selvage_healthy_instances'), { 'service="orders"': 1 });
    assert.deepEqual(await readSamples(metrics, 'selvage_service_panic'), { 'service="orders"': 1 });
    metrics.observePool('orders', null);
    assert.deepEqual(await readSamples(metrics, 'selvage_healthy_instances'), {});
    assert.deepEqual(await readSamples(metrics, 'selvage_service_panic'), {});
  });

  it('count attempts by what became of them', async () => {
    const metrics = open();
    metrics.observeAttempt({ service: 'orders', instance: 'a', outcome: 200, durationMs: 5 });
    metrics.observeAttempt({ service: 'orders', instance: 'a', outcome: 'GATEWAY_TIMEOUT', durationMs: 5_000 });
    assert.deepEqual(await readSamples(metrics, 'selvage_upstream_attempts_total'), {
      'service="orders",outcome="200"': 1,
      'service="orders",outcome="GATEWAY_TIMEOUT"': 1,
    });
    assert.deepEqual(await readSamples(metrics, 'selvage_upstream_duration_seconds_count'), { 'service="orders"': 2 });
  });

  it('show breakers and health of instances until they are forgotten', async () => {
    const metrics = open();
    metrics.observeBreaker('orders', 'a', 'open');
    metrics.observeBreaker('orders', 'b', 'half-open');
    metrics.observeHealth('orders', 'a', false);
    metrics.observeHealth('orders', 'b', true);
    assert.deepEqual(await readSamples(metrics, 'selvage_breaker_state'), {
      'service="orders",instance="a"': 2,
      'service="orders",instance="b"': 1,
    });
    metrics.forgetInstance('orders', 'a');
    metrics.forgetInstance('orders', 'never seen');
    assert.deepEqual(await readSamples(metrics, 'selvage_breaker_state'), { 'service="orders",instance="b"': 1 });
    assert.deepEqual(await readSamples(metrics, 'selvage_instance_healthy'), { 'service="orders",instance="b"': 1 });
  });

  it('count decisions of rate limits, registrations, and tell the revision', async () => {
    const metrics = open();
    metrics.observeLimit('per-viewer', 'refused');
    metrics.observeLimit('per-viewer', 'refused');
    metrics.observeRegistration('refused');
    metrics.observeRevision(17);
    assert.deepEqual(await readSamples(metrics, 'selvage_rate_limit_decisions_total'), {
      'rule="per-viewer",outcome="refused"': 2,
    });
    assert.deepEqual(await readSamples(metrics, 'selvage_registrations_total'), { 'outcome="refused"': 1 });
    assert.deepEqual(await readSamples(metrics, 'selvage_registry_revision'), { '': 17 });
  });

  it('name only the generation of the graph that serves, and count the changes', async () => {
    const metrics = open();
    for (const id of ['a', 'b', 'b', 'c']) metrics.observeGraph(id);
    assert.deepEqual(await readSamples(metrics, 'selvage_graph_info'), { 'id="c"': 1 });
    assert.deepEqual(await readSamples(metrics, 'selvage_graph_swaps_total'), { '': 2 });
  });

  it('have a bounded number of series, whatever names clients think of', async () => {
    const metrics = open(10);
    for (let i = 0; i < 1_000; i++) metrics.observeRequest({ ...request, name: `Operation${i}` });
    metrics.observeRequest({ ...request, name: 'x'.repeat(100_000) });
    const samples = await readSamples(metrics, 'selvage_requests_total');
    assert.equal(Object.keys(samples).length, 11);
    assert.equal(samples['door="graphql",service="",name="other",status="200"'], 991);
    assert.equal(samples['door="graphql",service="",name="Operation3",status="200"'], 1);
    const times = await readSamples(metrics, 'selvage_request_duration_seconds_count');
    assert.equal(Object.keys(times).length, 11);
  });

  it('survive label values that are names of every object, or hold quotes and line ends', async () => {
    const metrics = open();
    for (const name of ['__proto__', 'constructor', 'a"b\\c\nd']) metrics.observeRequest({ ...request, name });
    const { body } = await metrics.render();
    assert.match(body, /name="__proto__"/);
    assert.match(body, /name="constructor"/);
    assert.match(body, /name="a\\"b\\\\c\\nd"/);
  });

  it('are rendered for Prometheus, with event-loop lag and the process', async () => {
    const { contentType, body } = await createMetrics().render();
    assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(body, /^# TYPE selvage_requests_total counter$/m);
    assert.match(body, /^# TYPE selvage_request_duration_seconds histogram$/m);
    assert.match(body, /^nodejs_eventloop_lag_p99_seconds \S+$/m);
    assert.match(body, /^process_resident_memory_bytes \d+$/m);
  });

  it('of two gateways in one process do not mix', async () => {
    const one = open();
    const two = open();
    one.observeRevision(1);
    two.observeRevision(2);
    assert.deepEqual(await readSamples(one, 'selvage_registry_revision'), { '': 1 });
  });
});

describe('series', () => {
  it('make a child once per combination of labels', () => {
    const made: string[] = [];
    const bound = createLabelBound(10);
    const series = createSeries([bound, bound], (a, b) => {
      made.push(`${a} ${b}`);
      return {};
    });
    assert.equal(series('a', 'b'), series('a', 'b'));
    assert.notEqual(series('a', 'b'), series('b', 'a'));
    assert.deepEqual(made, ['a b', 'b a']);
  });

  it('are bounded also in combinations of labels that are each within bounds', () => {
    let made = 0;
    const series = createSeries([createLabelBound(500), createLabelBound(500)], () => made++);
    for (let a = 0; a < 400; a++) for (let b = 0; b < 400; b++) series(`a${a}`, `b${b}`);
    assert.ok(made <= 5_001, `${made}`);
  });
});
