import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startServer } from '../support/subgraph.ts';

const routes = [{ match: { path: '/a/*' } }];

test('an outlier is seen in the admin API, the metrics and the log, and no client sees it after that', async (t) => {
  const good = await startServer(t, (_, response) => response.end('ok'));
  const bad = await startServer(t, (_, response) => response.writeHead(500).end());
  const gateway = await startGateway(t, {
    policies: { retry: { attempts: 0 }, outlierDetection: { consecutive5xx: 3, baseEjectionTime: '1h' } },
    services: {
      a: {
        routes,
        loadBalancing: { algorithm: 'round-robin' },
        instances: [
          { id: 'a-1', url: good.url },
          { id: 'a-2', url: bad.url },
        ],
      },
    },
  });
  for (let i = 0; i < 6; i++) await (await fetch(`${gateway.url}/a/x`)).text();
  for (let i = 0; i < 6; i++) assert.equal((await fetch(`${gateway.url}/a/x`)).status, 200);

  const { body } = await gateway.admin('GET', '/services/a');
  assert.deepEqual(body.health, { instances: 2, healthy: 1, panic: false });
  assert.equal(body.instances[0].state, 'healthy');
  assert.equal(body.instances[1].state, 'ejected');
  assert.equal(body.instances[1].reason, 'consecutive5xx: 3 failures in a row (ejection 1)');
  assert.ok(body.instances[1].ejection.remainingSeconds > 3_000);
  const metrics = (await gateway.admin('GET', '/metrics')).body;
  assert.match(metrics, /^selvage_outlier_ejections_total\{service="a",reason="consecutive5xx"\} 1$/m);
  assert.match(metrics, /^selvage_healthy_instances\{service="a"\} 1$/m);
  assert.match(metrics, /^selvage_service_panic\{service="a"\} 0$/m);
  assert.match(metrics, /^selvage_instance_healthy\{service="a",instance="a-2"\} 0$/m);
  const lines = gateway.lines.filter(({ instance }) => instance !== undefined);
  assert.deepEqual(
    lines.map(({ msg, instance, reason }) => [msg, instance, reason]),
    [['an instance is ejected: it is worse than its peers', 'a-2', 'consecutive5xx']],
  );
});

test('panic is seen in the admin API, the metrics and the log, once when it begins and once when it ends', async (t) => {
  let status = 503;
  const service = await startServer(t, (request, response) => {
    response.writeHead(request.url === '/ready' ? status : 200).end();
  });
  const gateway = await startGateway(t, {
    services: {
      a: {
        routes,
        health: { path: '/ready', interval: '1h', unhealthyAfter: 1 },
        instances: [{ id: 'a-1', url: service.url }],
      },
    },
  });
  const probe = async () => (await gateway.admin('POST', '/services/a/health-check')).body.instances[0];
  assert.equal((await probe()).reason, 'status 503');
  await probe();
  assert.equal((await fetch(`${gateway.url}/a/x`)).status, 200, 'better than nobody');
  assert.deepEqual((await gateway.admin('GET', '/services/a')).body.health, { instances: 1, healthy: 0, panic: true });
  assert.match((await gateway.admin('GET', '/metrics')).body, /^selvage_service_panic\{service="a"\} 1$/m);
  status = 200;
  assert.equal((await probe()).state, 'healthy');
  const told = gateway.lines.filter(({ msg }) => String(msg).startsWith('panic')).map(({ msg }) => msg);
  assert.deepEqual(told, ['panic: too few healthy instances, all get calls', 'panic is over']);

  await gateway.gateway.reload({ store: 'memory' });
  const { body } = await gateway.admin('GET', '/metrics');
  assert.doesNotMatch(body, /^selvage_(healthy_instances|service_panic|instance_healthy)\{service="a"/m);
});

test('a definition whose health check contradicts itself is refused with every mistake', async (t) => {
  const gateway = await startGateway(t);
  const refuse = async (health: object) => {
    const { status, body } = await gateway.admin('PUT', '/services/a', { routes, health });
    assert.equal(status, 400);
    return body.reasons.map(({ path, message }: { path: string; message: string }) => `${path}: ${message}`);
  };
  assert.deepEqual(await refuse({ kind: 'graphql' }), [
    '/health/kind: the service has no `graphql`: set `path`, or another kind',
  ]);
  assert.deepEqual(await refuse({ kind: 'tcp', path: '/x', host: 'h' }), [
    '/health/path: a check of kind `tcp` has none',
    '/health/host: a check of kind `tcp` has none',
  ]);
  assert.deepEqual(await refuse({ expectedStatuses: ['300-200'], headers: { Host: 'x', TE: 'y' } }), [
    '/health/headers/Host: `Host` is set by the gateway, or by `host`',
    '/health/headers/TE: `TE` is set by the gateway',
    '/health/expectedStatuses/0: the range 300-200 ends before it begins',
  ]);
});
