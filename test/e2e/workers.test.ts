import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { ask, askGraphql, createConnection } from '../support/connections.ts';
import { type GatewayProcess, makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

// Workers are processes: all of this is shown over real sockets, with real signals.

/** Two processes start one after the other, while others keep the machine busy. */
const startPatienceMs = 60_000;

interface Serving {
  readonly worker: number;
  readonly pid: number;
}

/** Workers that said that they serve, the oldest first. */
function listWorkers({ lines }: GatewayProcess): Serving[] {
  return lines.filter(({ msg }) => msg === 'a worker serves') as unknown as Serving[];
}

function listAnswering({ lines }: GatewayProcess): Set<unknown> {
  return new Set(lines.filter(({ msg }) => msg === 'request').map(({ worker }) => worker));
}

async function start(t: TestContext, config: GatewayConfig = {}): Promise<GatewayProcess & { folder: string }> {
  const folder = await makeFolder(t);
  return { ...(await startGatewayProcess(t, folder, { workers: 2, ...config })), folder };
}

async function put(adminUrl: string, path: string, body: object): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  return (await ask(adminUrl + path, { method: 'PUT', headers, body: JSON.stringify(body) })).status;
}

async function readMetric(adminUrl: string, pattern: RegExp): Promise<number> {
  const { text } = await ask(`${adminUrl}/metrics`);
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('a registration is answered when every worker serves it', async (t) => {
  const gateway = await start(t);
  const service = await startSubgraph(t, 'type Query { a: Int }', { Query: { a: () => 1 } });
  assert.equal(await put(gateway.adminUrl, '/services/a', { graphql: {} }), 201);
  assert.equal(await put(gateway.adminUrl, '/services/a/instances/1', { url: service.url, leaseSeconds: 60 }), 201);
  const answers = await Promise.all(Array.from({ length: 8 }, () => askGraphql(gateway.url, '{ a }')));
  assert.deepEqual(answers, Array(8).fill({ data: { a: 1 } }));
  for (let number = 0; number < 5; number++) {
    const changing = { graphql: { schema: `type Query { extra${number}: Int }`, kind: 'plain' } };
    assert.ok((await put(gateway.adminUrl, '/services/changing', changing)) < 300);
    const schemas = await Promise.all(
      Array.from({ length: 4 }, () => askGraphql(gateway.url, '{ __schema { queryType { fields { name } } } }')),
    );
    for (const { data } of schemas) {
      const names = data.__schema.queryType.fields.map(({ name }: { name: string }) => name);
      assert.ok(names.includes(`extra${number}`), `all have extra${number}`);
    }
  }
  await until(() => listAnswering(gateway).size === 2, 'both workers answered');
});

test('a limit holds exactly, whichever worker is asked', async (t) => {
  const service = await startServer(t, (_, response) => response.end('ok'));
  const gateway = await start(t, {
    services: {
      shop: {
        routes: [{ match: { path: '/shop' }, rateLimit: [{ name: 'few', limit: 50, window: '1h' }] }],
        instances: [{ url: service.url }],
      },
    },
  });
  const answers = await Promise.all(Array.from({ length: 120 }, () => ask(`${gateway.url}/shop`)));
  const passed = answers.filter(({ status }) => status === 200).length;
  const refused = answers.filter(({ status }) => status === 429).length;
  assert.deepEqual({ passed, refused }, { passed: 50, refused: 70 });
  await until(() => listAnswering(gateway).size === 2, 'both workers answered');
});

test('kill -9 of a worker under load costs its connections only, and it is replaced', async (t) => {
  const service = await startServer(t, (_, response) => response.end('ok'));
  const gateway = await start(t, {
    services: { shop: { routes: [{ match: { path: '/shop' } }], instances: [{ url: service.url }] } },
  });
  const [first, second] = listWorkers(gateway);
  assert.ok(first !== undefined && second !== undefined);
  const loads = Array.from({ length: 8 }, () => ({ connection: createConnection(), answered: 0, failed: 0 }));
  let loading = true;
  t.after(() => {
    loading = false;
    for (const { connection } of loads) connection.destroy();
  });
  const running = loads.map(async (load) => {
    while (loading) {
      try {
        assert.equal((await ask(`${gateway.url}/shop`, { agent: load.connection })).status, 200);
        load.answered++;
      } catch {
        load.failed++;
      }
    }
  });
  await until(() => loads.every(({ answered }) => answered > 5), 'every connection is used');
  const before = await readMetric(gateway.adminUrl, /^selvage_requests_total\{door="rest".*\} (\d+)/m);
  process.kill(first.pid, 'SIGKILL');
  await until(() => listWorkers(gateway).length === 3, 'the worker is replaced', startPatienceMs);
  const counts = loads.map(({ answered }) => answered);
  await until(() => loads.every(({ answered }, index) => answered > (counts[index] ?? 0) + 5), 'all go on');
  loading = false;
  await Promise.all(running);

  // Connections are handed out in turn: some were the dead worker's, with one request under way at most.
  assert.ok(
    loads.every(({ failed }) => failed <= 1),
    JSON.stringify(loads.map(({ failed }) => failed)),
  );
  const hit = loads.filter(({ failed }) => failed > 0).length;
  assert.ok(hit < loads.length, `${hit} of 8 connections failed`);
  const died = gateway.lines.find(({ msg }) => msg === 'a worker died and is replaced');
  assert.deepEqual([died?.['worker'], died?.['signal']], [first.worker, 'SIGKILL']);
  assert.equal(await readMetric(gateway.adminUrl, /^selvage_workers (\d+)/m), 2);
  assert.equal(await readMetric(gateway.adminUrl, /^selvage_worker_deaths_total (\d+)/m), 1);
  const after = await readMetric(gateway.adminUrl, /^selvage_requests_total\{door="rest".*\} (\d+)/m);
  assert.ok(after >= before, `sums never fall: ${before}, ${after}`);
});

test('one process probes for all, and what one worker cannot connect to no worker asks', async (t) => {
  let probes = 0;
  const service = await startServer(t, (request, response) => {
    if (request.url === '/health') probes++;
    response.end('ok');
  });
  const gateway = await start(t, {
    services: {
      shop: {
        routes: [{ match: { path: '/shop' } }],
        instances: [{ id: 'only', url: service.url }],
        health: { path: '/health', interval: '60s' },
      },
    },
  });
  await until(() => probes > 0, 'the first probe');
  assert.equal(probes, 1, 'of three processes one probes');
  const healthy = /^selvage_instance_healthy\{service="shop",instance="only"\} (\d+)/m;
  assert.equal(await readMetric(gateway.adminUrl, healthy), 1, 'a gauge of health is not added up');
  await service.kill();
  await until(async () => (await ask(`${gateway.url}/shop`)).status === 503, 'a worker found out');
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}/shop`)));
    return answers.every(({ text }) => JSON.parse(text).code === 'SERVICE_UNAVAILABLE');
  }, 'both workers know');
  const shown = JSON.parse((await ask(`${gateway.adminUrl}/services/shop`)).text);
  assert.notEqual(shown.instances[0].state, 'healthy');
  await service.restart();
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}/shop`)));
    return answers.every(({ status }) => status === 200);
  }, 'both workers are told that it is back');
});

test('the admin port shows the load of all workers', async (t) => {
  const release = Promise.withResolvers<void>();
  let arrived = 0;
  const service = await startServer(t, async (_, response) => {
    arrived++;
    await release.promise;
    response.end('ok');
  });
  const gateway = await start(t, {
    services: { slow: { routes: [{ match: { path: '/slow' } }], instances: [{ url: service.url }] } },
  });
  const pending = Array.from({ length: 6 }, () => ask(`${gateway.url}/slow`));
  await until(() => arrived === 6, 'all are in flight');
  const shown = JSON.parse((await ask(`${gateway.adminUrl}/services/slow`)).text);
  assert.equal(shown.instances[0].inFlight, 6);
  assert.equal(await readMetric(gateway.adminUrl, /^selvage_requests_in_flight\{door="rest"\} (\d+)/m), 6);
  release.resolve();
  await Promise.all(pending);
});

test('settings that a process keeps are changed by replacing workers one at a time, without a failed request', async (t) => {
  const service = await startServer(t, (_, response) => response.end('ok'));
  const gateway = await start(t, {
    services: { shop: { routes: [{ match: { path: '/shop' } }], instances: [{ url: service.url }] } },
  });
  const large = { 'x-large': 'x'.repeat(20_000) };
  assert.equal((await ask(`${gateway.url}/health/live`, { headers: large })).status, 431);
  const old = listWorkers(gateway);
  const connections = Array.from({ length: 4 }, createConnection);
  let loading = true;
  t.after(() => {
    loading = false;
    for (const connection of connections) connection.destroy();
  });
  const failures: unknown[] = [];
  const running = connections.map(async (agent) => {
    while (loading) {
      await ask(`${gateway.url}/shop`, { agent }).then(
        ({ status }) => status === 200 || failures.push(status),
        (error) => failures.push(error),
      );
    }
  });
  const file = join(gateway.folder, 'selvage.json');
  const config = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...config, limits: { maxHeaderSize: '64kb' } }));
  await until(
    () => gateway.lines.filter(({ msg }) => msg === 'a worker was replaced').length === 2,
    'both are replaced',
    startPatienceMs,
  );
  assert.equal((await ask(`${gateway.url}/health/live`, { headers: large })).status, 200);
  loading = false;
  await Promise.all(running);
  assert.deepEqual(failures, []);
  assert.equal(listWorkers(gateway).length, 4);
  assert.deepEqual(
    old.map(({ pid }) => isRunning(pid)),
    [false, false],
  );
});

test('other changes reach workers without replacing them', async (t) => {
  const service = await startServer(t, (_, response) => response.end('new'));
  const gateway = await start(t);
  const file = join(gateway.folder, 'selvage.json');
  const config = JSON.parse(await readFile(file, 'utf8'));
  const services = { late: { routes: [{ match: { path: '/late' } }], instances: [{ url: service.url }] } };
  await writeFile(file, JSON.stringify({ ...config, services, graphql: { introspection: false } }));
  await until(async () => (await ask(`${gateway.url}/late`)).status === 200, 'the new route');
  await until(async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => askGraphql(gateway.url, '{ __schema { __typename } }')),
    );
    return answers.every(({ errors }) => errors !== undefined);
  }, 'no worker allows introspection');
  assert.equal(listWorkers(gateway).length, 2);
});

test('SIGTERM ends the requests of every worker whole, and takes all of them along', async (t) => {
  const release = Promise.withResolvers<void>();
  let arrived = 0;
  const service = await startServer(t, async (_, response) => {
    arrived++;
    response.write('first half, ');
    await release.promise;
    response.end('second half');
  });
  const gateway = await start(t, {
    services: { slow: { routes: [{ match: { path: '/slow' } }], instances: [{ url: service.url }] } },
  });
  const workers = listWorkers(gateway);
  const pending = Array.from({ length: 6 }, () => ask(`${gateway.url}/slow`));
  await until(() => arrived === 6, 'all are in flight');
  const ended = gateway.end('SIGTERM');
  const port = Number(new URL(gateway.url).port);
  await until(() => refuses(port), 'the port is closed');
  release.resolve();
  const texts = (await Promise.all(pending)).map(({ text }) => text);
  assert.deepEqual(texts, Array(6).fill('first half, second half'));
  assert.equal(await ended, 0);
  assert.deepEqual(
    workers.map(({ pid }) => isRunning(pid)),
    [false, false],
  );
});

test('workers go when their primary is killed', async (t) => {
  const gateway = await start(t);
  const workers = listWorkers(gateway);
  assert.equal(workers.length, 2);
  await gateway.end('SIGKILL');
  await until(() => workers.every(({ pid }) => !isRunning(pid)), 'no worker is left');
});

test('a port that is taken ends the start with a message', async (t) => {
  const service = await startServer(t, (_, response) => response.end());
  await assert.rejects(startGatewayProcess(t, await makeFolder(t), { workers: 2 }, service.port), /EADDRINUSE/);
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}
