import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildHealthSettings, HealthMonitor, type HealthSettings } from '../../subgraphs/health-monitor.ts';
import { probeHealth } from '../../subgraphs/health-probe.ts';
import { closedPort, startRawService, startService } from './stage.ts';

/** A monitor in a world where time stands, and probes end when the test says so. */
function observe(settings: Partial<HealthSettings> = {}) {
  const changes: string[] = [];
  const probes: { end(failure?: string): Promise<void> }[] = [];
  let timer: { callback: () => void; delayMs: number } | null = null;
  const monitor = new HealthMonitor({
    settings: { ...buildHealthSettings({ interval: '10s' }), ...settings },
    probe: () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      probes.push({
        end: async (failure) => {
          if (failure === undefined) resolve();
          else reject(new Error(failure));
          await new Promise((done) => setImmediate(done));
        },
      });
      return promise;
    },
    onChange: (healthy, why) => changes.push(`${healthy} ${why}`),
    random: () => 0.5,
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
  assert.equal(monitor.state, 'healthy');
});

test('so many failures in a row take an instance out, so many successes bring it back', async () => {
  const { monitor, changes, round } = observe({ unhealthyAfter: 2, healthyAfter: 2 });
  await round('status 500');
  await round();
  await round('status 500');
  assert.equal(monitor.state, 'healthy');
  await round('status 503');
  assert.equal(monitor.state, 'unhealthy');
  await round();
  await round('timeout');
  await round();
  assert.equal(monitor.state, 'unhealthy');
  await round();
  assert.equal(monitor.state, 'healthy');
  assert.deepEqual(changes, ['false status 503', 'true probe succeeded']);
});

test('without a health path it does nothing until an instance is ejected, then looks until it is back', async () => {
  const { monitor, changes, delayMs, round } = observe({ path: null });
  assert.equal(delayMs(), null);
  monitor.eject('ECONNREFUSED');
  monitor.eject('ECONNREFUSED');
  assert.equal(monitor.state, 'ejected');
  const delays: (number | null)[] = [];
  for (let i = 0; i < 4; i++) {
    delays.push(delayMs());
    await round('ECONNREFUSED');
  }
  assert.deepEqual(delays, [250, 500, 1_000, 1_000]);
  await round();
  assert.equal(monitor.state, 'healthy');
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
  assert.equal(monitor.state, 'ejected');
  assert.equal(delayMs(), 250);
});

test('an instance whose health path goes away with the settings comes back by connecting', async () => {
  const { monitor, round } = observe({ unhealthyAfter: 1 });
  await round('status 404');
  assert.equal(monitor.state, 'unhealthy');
  monitor.configure(buildHealthSettings(undefined));
  await round();
  assert.equal(monitor.state, 'healthy');
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

test('a probe of a path takes 200 to 399 for healthy, and everything else for not', async () => {
  await using service = await startService((request, response) => {
    response.writeHead(Number(request.url?.slice(1)) || 200, { location: '/503' }).end('x'.repeat(100_000));
  });
  const probe = (path: string) => probeHealth({ url: service.url, path, timeoutMs: 5_000 });
  for (const status of [200, 204, 302, 399]) await probe(`/${status}`);
  for (const status of [400, 404, 500, 503]) await assert.rejects(probe(`/${status}`), { message: `status ${status}` });
});

test('a probe ends: by a connection, a refusal, silence, or a name that does not resolve', async () => {
  await using silent = await startRawService(() => {});
  const refused = `http://127.0.0.1:${await closedPort()}`;
  await probeHealth({ url: silent.url, path: null, timeoutMs: 5_000 });
  await assert.rejects(probeHealth({ url: silent.url, path: '/health', timeoutMs: 50 }), { message: 'timeout' });
  for (const path of [null, '/health']) {
    await assert.rejects(probeHealth({ url: refused, path, timeoutMs: 5_000 }), { code: 'ECONNREFUSED' });
    const lookup = (_name: string, _options: unknown, callback: (error: Error, address: string) => void) =>
      callback(new Error('not allowed'), '');
    await assert.rejects(probeHealth({ url: 'http://shop.example', path, timeoutMs: 5_000, lookup }), /not allowed/);
  }
});
