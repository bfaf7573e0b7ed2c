import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

test('every request is counted once, and those in flight are told while others end', async (t) => {
  const waiting: (() => void)[] = [];
  const service = await startServer(t, (request, response) => {
    if (request.url === '/slow') waiting.push(() => response.end());
    else response.end('ok');
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/*' } }]);
  const metrics = async () => String((await gateway.admin('GET', '/metrics')).body);

  const slow = [fetch(`${gateway.url}/slow`), fetch(`${gateway.url}/slow`)];
  await until(() => waiting.length === 2, 'two requests at the service');
  assert.equal(await (await fetch(`${gateway.url}/fast`)).text(), 'ok');
  const counted = /selvage_requests_total\{door="rest",service="shop",name="ANY \/\*",status="200"\} (\d+)/;
  await until(async () => counted.test(await metrics()), 'a request that is counted');
  const text = await metrics();
  assert.equal(counted.exec(text)?.[1], '1');
  assert.match(text, /selvage_request_duration_seconds_count\{door="rest",name="ANY \/\*"\} 1\n/);
  assert.match(text, /selvage_requests_in_flight\{door="rest"\} 2\n/);
  for (const answer of waiting) answer();
  await Promise.all(slow);
  await until(async () => counted.exec(await metrics())?.[1] === '3', 'three requests');
});
