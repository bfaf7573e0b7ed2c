import assert from 'node:assert/strict';
import type http from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { Attempt } from '../../policies/request-context.ts';
import type { ServiceDefinition } from '../../subgraphs/service-definition.ts';
import type { Instance } from '../../subgraphs/snapshot.ts';
import type { Upstreams, UpstreamsOptions } from '../../subgraphs/upstreams.ts';
import { createRandom } from '../support/random.ts';
import { createRequestContext } from '../support/request-context.ts';
import { ask, closedPort, type RunningService, serviceOf, snapshotOf, stage, startService, until } from './stage.ts';

/** Instances that answer with their name, and calls that are counted by it. */
async function startNamed(t: TestContext, names: string): Promise<readonly RunningService[]> {
  const services = await Promise.all(
    [...names].map((name) => startService((_request, response) => response.end(name))),
  );
  t.after(() => Promise.all(services.map((service) => service.kill())));
  return services;
}

function createStage(
  t: TestContext,
  instances: readonly Partial<Instance>[],
  definition: ServiceDefinition = {},
  options: Partial<UpstreamsOptions> = {},
): Upstreams {
  const upstreams = stage(instances, definition, { random: createRandom(3), ...options });
  t.after(() => upstreams[Symbol.asyncDispose]());
  return upstreams;
}

async function count(upstreams: Upstreams, calls: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < calls; i++) {
    const name = (await ask(upstreams)).body.toString();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('a gateway in a zone', () => {
  const zoned = (services: readonly RunningService[], zones: readonly (string | undefined)[]): Partial<Instance>[] =>
    services.map(({ url }, index) => {
      const zone = zones[index];
      return zone === undefined ? { url } : { url, zone };
    });

  it('calls the instances of its zone', async (t) => {
    const services = await startNamed(t, 'abcd');
    const upstreams = createStage(t, zoned(services, ['eu', 'us', 'eu', undefined]), {}, { zone: 'eu' });
    const counts = await count(upstreams, 40);
    assert.deepEqual(Object.keys(counts).sort(), ['a', 'c']);
  });

  it('calls all when none is in its zone, when the service does not want it, and when it has no zone', async (t) => {
    const services = await startNamed(t, 'abc');
    const instances = zoned(services, ['eu', 'us', 'us']);
    const cases: [Partial<UpstreamsOptions>, ServiceDefinition][] = [
      [{ zone: 'asia' }, { loadBalancing: { algorithm: 'round-robin' } }],
      [{ zone: 'eu' }, { loadBalancing: { algorithm: 'round-robin', zones: { prefer: false } } }],
      [{}, { loadBalancing: { algorithm: 'round-robin' } }],
    ];
    for (const [options, definition] of cases) {
      const counts = await count(createStage(t, instances, definition, options), 9);
      assert.deepEqual(counts, { a: 3, b: 3, c: 3 });
    }
  });

  it('spills over while too few of its zone can take calls, says so, and comes back', async (t) => {
    const services = await startNamed(t, 'abcd');
    const seen: string[] = [];
    const observer = {
      onAttempt() {},
      onBreakerChange() {},
      onHealthChange() {},
      onSpillOver: (service: string, why: string | null) => seen.push(`${service} ${why}`),
    };
    let nowMs = performance.now();
    const dead = `http://127.0.0.1:${await closedPort()}`;
    const instances = zoned(services, ['eu', 'us', 'us', 'eu']);
    const definition = { loadBalancing: { algorithm: 'round-robin' } } as const;
    const upstreams = createStage(t, instances, definition, { zone: 'eu', observer, now: () => nowMs });
    assert.deepEqual(Object.keys(await count(upstreams, 4)).sort(), ['a', 'd']);
    // Of the local three two are dead: as soon as calls have found out, the others help.
    const broken = [
      ...instances,
      { id: 'x', url: dead, zone: 'eu' },
      { id: 'y', url: `${dead}`, zone: 'eu' },
      { id: 'z', url: dead, zone: 'eu' },
    ];
    upstreams.apply(snapshotOf(serviceOf('shop', broken, definition)));
    await count(upstreams, 6);
    nowMs += 60;
    const counts = await count(upstreams, 8);
    assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c', 'd']);
    assert.deepEqual(seen, ['shop unhealthy']);
    upstreams.apply(snapshotOf(serviceOf('shop', instances, definition)));
    nowMs += 60;
    assert.deepEqual(Object.keys(await count(upstreams, 8)).sort(), ['a', 'd']);
    assert.deepEqual(seen, ['shop unhealthy', 'shop null']);
  });

  it('spills over when its zone is full, and no call fails', async (t) => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const hold = (name: string) => async (_request: http.IncomingMessage, response: http.ServerResponse) => {
      await held;
      response.end(name);
    };
    const services = [await startService(hold('near')), await startService(hold('far'))];
    t.after(() => Promise.all(services.map((service) => service.kill())));
    const upstreams = createStage(t, zoned(services, ['eu', 'us']), { concurrency: 5 }, { zone: 'eu' });
    const calls = Array.from({ length: 9 }, () => ask(upstreams));
    await until(() => upstreams.status('shop').reduce((sum, { inFlight }) => sum + inFlight, 0) === 9, 'all under way');
    const [near, far] = upstreams.status('shop');
    assert.ok((near?.inFlight ?? 0) >= 4 && (far?.inFlight ?? 0) >= 4);
    release();
    assert.equal((await Promise.all(calls)).length, 9);
  });
});

describe('slow start', () => {
  it('gives a new instance a growing share, and those of the start the whole at once', async (t) => {
    const services = await startNamed(t, 'ab');
    let nowMs = performance.now();
    const definition = { loadBalancing: { algorithm: 'weighted', slowStart: '10s' } } as const;
    const upstreams = createStage(t, [{ url: services[0]?.url ?? '' }], definition, { now: () => nowMs });
    const [first] = upstreams.status('shop');
    assert.equal(first?.weightInEffect, 1);
    const both = services.map(({ url }) => ({ url, weight: 2 }));
    upstreams.apply(snapshotOf(serviceOf('shop', both, definition)));
    const share = () => upstreams.status('shop').map(({ weightInEffect }) => weightInEffect);
    assert.deepEqual(share(), [2, 0.2]);
    const counts = await count(upstreams, 22);
    assert.deepEqual(counts, { a: 20, b: 2 });
    nowMs += 5_000;
    assert.deepEqual(share(), [2, 1]);
    nowMs += 6_000;
    assert.deepEqual(share(), [2, 2]);
  });

  it('begins again when an instance comes back', async (t) => {
    const [first] = await startNamed(t, 'a');
    assert.ok(first);
    const second = await startService((_request, response) => response.end('b'));
    const definition = { loadBalancing: { algorithm: 'round-robin', slowStart: '1h' } } as const;
    const upstreams = createStage(t, [{ url: first.url }, { url: second.url }], definition);
    await count(upstreams, 4);
    await second.kill();
    await count(upstreams, 4);
    const revived = await startService((_request, response) => response.end('b'), second.port);
    t.after(() => revived.kill());
    await until(() => upstreams.status('shop')[1]?.state === 'healthy', 'back');
    const [, back] = upstreams.status('shop');
    assert.equal(back?.weightInEffect, 0.1);
    assert.equal(back?.latencyMs, null);
  });
});

describe('a choice', () => {
  it('keeps to the versions that a call asks for, also when it tries again', async (t) => {
    const services = await startNamed(t, 'abc');
    const dead = `http://127.0.0.1:${await closedPort()}`;
    const versions = ['1', '2', '1'];
    const instances = [
      { id: 'dead', url: dead, version: '2' },
      ...services.map(({ url }, index) => ({ url, version: versions[index] ?? '' })),
    ];
    const upstreams = createStage(t, instances, { loadBalancing: { algorithm: 'round-robin' } });
    for (let i = 0; i < 6; i++) {
      assert.equal((await ask(upstreams, { accepts: (version) => version === '2' })).body.toString(), 'b');
    }
    await assert.rejects(ask(upstreams, { accepts: (version) => version === '3' }), { code: 'SERVICE_UNAVAILABLE' });
  });

  it('of another instance follows a failure, whatever the algorithm', async (t) => {
    const good = await startService((_request, response) => response.end('good'));
    const bad = await startService((_request, response) => response.writeHead(503).end());
    t.after(() => Promise.all([good.kill(), bad.kill()]));
    const both = [{ url: bad.url }, { url: good.url }];
    for (const algorithm of ['p2c', 'response-time', 'ip-hash', 'random', 'least-connections'] as const) {
      const upstreams = createStage(t, both, { retry: { budget: '100%' }, loadBalancing: { algorithm } });
      for (let i = 0; i < 8; i++) {
        const context = createRequestContext();
        assert.equal((await ask(upstreams, {}, context)).body.toString(), 'good', algorithm);
        const instances = context.attempts.map(({ instance }: Attempt) => instance);
        assert.equal(new Set(instances).size, instances.length, `${algorithm} ${instances}`);
      }
    }
  });

  it('learns from failures: who fails at once is not the fastest', async (t) => {
    const good = await startService((_request, response) => void setTimeout(() => response.end('good'), 20));
    const bad = await startService((_request, response) => response.writeHead(500).end('bad'));
    t.after(() => Promise.all([good.kill(), bad.kill()]));
    const options = { circuitBreaker: { failures: '100%', minimumCalls: 1_000 } };
    const upstreams = createStage(t, [{ url: bad.url }, { url: good.url }], options);
    const counts = await count(upstreams, 60);
    assert.ok((counts['bad'] ?? 0) <= 5, JSON.stringify(counts));
  });
});

describe('maxConnectionAge', () => {
  it('lets a connection take no call after its time, and cuts none that is under way', async (t) => {
    const sockets = new Set<unknown>();
    const service = await startService((request, response) => {
      sockets.add(request.socket);
      if (request.url !== '/slow') return void response.end('quick');
      response.write('begin ');
      setTimeout(() => response.end('end'), 300);
    });
    t.after(() => service.kill());
    const aged = createStage(t, [{ url: service.url }], { loadBalancing: { maxConnectionAge: '50ms' } });
    const slow = ask(aged, { path: '/slow' });
    for (let i = 0; i < 4; i++) {
      await ask(aged);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    assert.equal((await slow).body.toString(), 'begin end');
    assert.ok(sockets.size >= 4, `${sockets.size} connections`);
    sockets.clear();
    const ageless = createStage(t, [{ url: service.url }]);
    for (let i = 0; i < 20; i++) await ask(ageless);
    // A second one where the first was not seen to be free yet.
    assert.ok(sockets.size <= 2, `${sockets.size} connections`);
  });
});
