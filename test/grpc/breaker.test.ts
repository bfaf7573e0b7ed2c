import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { ask, startShop } from './orders.ts';

const circuitBreaker = { failures: '50%', minimumCalls: 4, openFor: '1h' };

test('the breaker of a route counts statuses of gRPC that are failures of the service, whichever form asks', async (t) => {
  const { gateway, client, seen } = await startShop(t, {
    service: {
      routes: [
        { match: { path: '/shop.v1.Orders/Get' }, circuitBreaker },
        { match: { path: '/v1/orders/:id', methods: ['GET'] }, circuitBreaker },
      ],
    },
  });
  // NOT_FOUND is an answer: nothing is wrong with the service.
  for (let i = 0; i < 6; i++) await ask(client, 'Get', { orderId: 'fail-5' });
  for (let i = 0; i < 6; i++) await ask(client, 'Get', { orderId: 'fail-14' });
  assert.equal(seen.length, 12);
  const refused = await ask(client, 'Get', { orderId: '7' });
  assert.equal(refused.error?.code, status.UNAVAILABLE);
  assert.equal(seen.length, 12);
  for (let i = 0; i < 4; i++) await fetch(`${gateway.url}/v1/orders/fail-13`);
  const answer = await fetch(`${gateway.url}/v1/orders/7`);
  assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [503, 'CIRCUIT_BREAKER_OPEN']);
  assert.equal(seen.length, 16);
});
