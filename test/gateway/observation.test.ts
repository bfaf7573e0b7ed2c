import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';

test('metrics count a request once, and none is in flight when all are answered', async (t) => {
  const gateway = await startGateway(t);
  for (let i = 0; i < 3; i++) await (await fetch(`${gateway.url}/nowhere`)).text();
  const metrics: string = (await gateway.admin('GET', '/metrics')).body;
  assert.match(metrics, /^selvage_requests_total\{door="rest",service="",name="",status="404"\} 3$/m);
  assert.match(metrics, /^selvage_request_duration_seconds_count\{door="rest",name=""\} 3$/m);
  assert.match(metrics, /^selvage_requests_in_flight\{door="rest"\} 0$/m);
});
