import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

function blockEventLoop(ms: number): void {
  const endAtMs = performance.now() + ms;
  while (performance.now() < endAtMs);
}

test('a gateway that cannot keep up refuses both doors with 503, answers health checks, and recovers', async (t) => {
  let asked = 0;
  const service = await startServer(t, (_request, response) => {
    asked++;
    response.end('ok');
  });
  const gateway = await startGateway(t, {
    loadShedding: { maxEventLoopDelay: '100ms' },
    services: {
      reports: {
        instances: [{ url: service.url }],
        routes: [{ match: { path: '/reports' }, priority: 'low' }],
      },
    },
  });
  const overload = async (path: string, init?: RequestInit): Promise<Response> => {
    let answer = new Response();
    await until(async () => {
      blockEventLoop(400);
      // The timer takes its sample before the request is read.
      await new Promise((resolve) => setTimeout(resolve, 1));
      answer = await fetch(`${gateway.url}${path}`, init);
      return answer.status === 503;
    }, `${path} is shed`);
    return answer;
  };
  const rest = await overload('/reports');
  assert.equal(rest.headers.get('retry-after'), '1');
  assert.equal((await rest.json()).code, 'OVERLOADED');
  const graphql = await overload('/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"query":"{ __typename }"}',
  });
  assert.equal((await graphql.json()).errors[0].extensions.code, 'OVERLOADED');
  blockEventLoop(400);
  assert.equal((await fetch(`${gateway.url}/health/live`)).status, 200);
  await until(async () => (await fetch(`${gateway.url}/reports`)).status === 200, 'recovery');
  assert.ok(asked >= 1);
  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  assert.match(metrics, /selvage_shed_requests_total\{door="rest",priority="low"\} [1-9]/);
});
