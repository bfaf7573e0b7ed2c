import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { ask as askHttp } from '../support/connections.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { ask, compileOrders, connectOrders, startOrders } from './orders.ts';

test('every worker speaks gRPC, as the registry says it at the moment', async (t) => {
  const folder = await makeFolder(t);
  const descriptors = await compileOrders();
  await writeFile(join(folder, 'shop.pb'), Buffer.from(descriptors, 'base64'));
  const orders = await startOrders(t);
  const instances = [{ url: orders.url }];
  const gateway = await startGatewayProcess(t, folder, {
    workers: 2,
    listen: { http2: { clear: true } },
    services: { shop: { grpc: { descriptors: 'file:shop.pb' }, instances } },
  });
  const workers = () => new Set(gateway.lines.filter(({ msg }) => msg === 'request').map(({ worker }) => worker));
  // Each client has a connection of its own, or all would talk to one worker.
  const connect = () => connectOrders(t, gateway, undefined, { 'grpc.use_local_subchannel_pool': 1 });
  let calls = 0;
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(connect(), 'Get', { orderId: '7' })));
    calls += answers.length;
    for (const { error, message } of answers) assert.deepEqual([error, message?.orderId], [null, '7']);
    return workers().size === 2;
  }, 'both workers answered');

  const notes: string[] = [];
  const watch = connect()['Watch']?.({ count: 3 }) as AsyncIterable<{ text: string }>;
  for await (const { text } of watch) notes.push(text);
  assert.deepEqual(notes, ['note 1', 'note 2', 'note 3']);
  const rest = await askHttp(`${gateway.url}/v1/orders/8`);
  assert.equal(JSON.parse(rest.text).orderId, '8');

  const counted = new RegExp(`selvage_grpc_calls_total\\{[^}]*status="OK",form="grpc"\\} ${calls + 1}$`, 'm');
  await until(
    async () => counted.test((await askHttp(`${gateway.adminUrl}/metrics`)).text),
    'calls of both are added up',
  );

  const register = (services: object) =>
    askHttp(`${gateway.adminUrl}/services/mine`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(services),
    });
  const routes = [{ match: { path: '/shop.v1.Orders/Cancel' } }];
  const put = await register({ grpc: { maxMessageSize: '1kb' }, instances, routes });
  assert.equal(put.status, 201, put.text);
  const large = await Promise.all(
    Array.from({ length: 8 }, () => ask(connect(), 'Cancel', { name: 'x'.repeat(2_000) })),
  );
  assert.deepEqual(
    large.map(({ error }) => error?.code),
    Array(8).fill(status.RESOURCE_EXHAUSTED),
  );
});
