import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HealthMonitor } from '../../subgraphs/health-monitor.ts';
import { buildHealthSettings, type HealthSettings } from '../../subgraphs/health-settings.ts';
import { ProbeFailure } from '../../subgraphs/probe-request.ts';

/** A monitor in a world where time stands, and probes end when the test says so. */
function observe(settings: Partial<HealthSettings> = {}, chance = 0.5) {
  const changes: string[] = [];
  const probes: { end(failure?: string): Promise<void> }[] = [];
  let timer: { callback: () => void; delayMs: number } | null = null;
  const monitor = new HealthMonitor({
    settings: { ...buildHealthSettings({ health: { interval: '10s' } }), ...settings },
    probe: () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      probes.push({
        end: async (failure) => {
          if (failure === undefined) resolve();
          else reject(new ProbeFailure(new Error(failure), failure !== 'ECONNREFUSED'));
          await new Promise((done) => setImmediate(done));
        },
      });
      return promise;
    },
    onChange: ({ state, why }) => void changes.push(`${state === 'healthy'} ${why ?? 'probe succeeded'}`),
    random: () => chance,
    timers: {
      set: (callback, delayMs) => {
        timer = { callback, delayMs };
        return timer;
      },
      clear: (handle) => {
        if (handle === timer) timer = null;
      },
    },
  });
  const delayMs = (): number | null => timer?.delayMs ?? null;
  /** Lets the timer fire and the probe it starts end. */
  const round = async (failure?: string): Promise<void> => {
    const due = timer;
    timer = null;
    due?.callback();
    await probes.at(-1)?.end(failure);
  };
  return { monitor, changes, probes, delayMs, round };
}

test('with a health path it probes at the interval, with jitter, and soon for the first time', async () => {
  const { delayMs, round, monitor } = observe();
  assert.equal(delayMs(), 500);
  await round();
  assert.equal(delayMs(), 10_000);
  assert.equal(monitor.health.state, 'healthy');
});

test('so many failures in a row take an instance out, so many successes bring it back', async () => {
  const { monitor, changes, round } = observe({ unhealthyAfter: 2, healthyAfter: 2 });
  await round('status 500');
  await round();
  await round('status 500');
  assert.equal(monitor.health.state, 'healthy');
  await round('status 503');
  assert.equal(monitor.health.state, 'unhealthy');
  await round();
  await round('timeout');
  await round();
  assert.equal(monitor.health.state, 'unhealthy');
  await round();
  assert.equal(monitor.health.state, 'healthy');
  assert.deepEqual(changes, ['false status 503', 'true probe succeeded']);
});

test('without a health path it does nothing until an instance is ejected, then looks until it is back', async () => {
  const { monitor, changes, delayMs, round } = observe({ check: null });
  assert.equal(delayMs(), null);
  monitor.eject('ECONNREFUSED');
  monitor.eject('ECONNREFUSED');
  assert.equal(monitor.health.state, 'ejected');
  const delays: (number | null)[] = [];
  for (let i = 0; i < 4; i++) {
    delays.push(delayMs());
    await round('ECONNREFUSED');
  }
  assert.deepEqual(delays, [250, 500, 1_000, 1_000]);
  await round();
  assert.equal(monitor.health.state, 'healthy');
  assert.equal(delayMs(), null);
  assert.deepEqual(changes, ['false ECONNREFUSED', 'true probe succeeded']);
});

test('probes never overlap: who asks meanwhile gets the one under way', async () => {
  const { monitor, probes, round } = observe();
  const checks = [monitor.check(), monitor.check()];
  await round();
  await Promise.all(checks);
  assert.equal(probes.length, 1);
});

test('a probe that began before the ejection does not bring the instance back', async () => {
  const { monitor, probes, delayMs } = observe();
  void monitor.check();
  monitor.eject('ECONNREFUSED');
  await probes[0]?.end();
  assert.equal(monitor.health.state, 'ejected');
  assert.equal(delayMs(), 250);
});

test('an instance whose health path goes away with the settings comes back by connecting', async () => {
  const { monitor, round } = observe({ unhealthyAfter: 1 });
  await round('status 404');
  assert.equal(monitor.health.state, 'unhealthy');
  monitor.configure(buildHealthSettings({}));
  await round();
  assert.equal(monitor.health.state, 'healthy');
});

test('after it is stopped nothing happens any more', async () => {
  const { monitor, probes, changes, delayMs } = observe();
  void monitor.check();
  monitor.stop();
  await probes[0]?.end('timeout');
  monitor.eject('ECONNREFUSED');
  assert.equal(delayMs(), null);
  assert.deepEqual(changes, []);
});

test('an ejected instance that can be connected to again, but fails its checks, is unhealthy and reachable', async () => {
  const { monitor, changes, round } = observe();
  monitor.eject('ECONNREFUSED');
  await round('ECONNREFUSED');
  assert.deepEqual(monitor.health, { state: 'ejected', why: 'ECONNREFUSED', reachable: false });
  await round('status 503');
  assert.deepEqual(monitor.health, { state: 'unhealthy', why: 'status 503', reachable: true });
  await round('status 500');
  assert.deepEqual(monitor.health, { state: 'unhealthy', why: 'status 500', reachable: true });
  assert.deepEqual(changes, ['false ECONNREFUSED', 'false status 503']);
});

test('an unhealthy instance that goes down is not reachable any more', async () => {
  const { monitor, round } = observe({ unhealthyAfter: 1 });
  await round('status 503');
  assert.equal(monitor.health.reachable, true);
  await round('ECONNREFUSED');
  assert.deepEqual(monitor.health, { state: 'unhealthy', why: 'ECONNREFUSED', reachable: false });
  await round();
  assert.deepEqual(monitor.health, { state: 'healthy', why: null, reachable: true });
});

test('the jitter is as wide as the settings say', async () => {
  const { delayMs, round } = observe({ jitter: 0.5 }, 0);
  await round();
  assert.equal(delayMs(), 5_000);
});
