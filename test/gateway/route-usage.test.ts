import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRouteUsage, type RouteClient } from '../../gateway/route-usage.ts';

const route = { service: 'shop', route: 'GET /v1' };
const clientOf = (name: string): RouteClient => ({ kind: 'api-key', viewer: name, client: null, address: null });

test('clients above the bound count as one, and those known go on to count by themselves', () => {
  let nowMs = 0;
  const usage = createRouteUsage({ maxClients: 2, now: () => ++nowMs });
  for (const name of ['a', 'b', 'c', 'd', 'a']) usage.record(route, 'served', clientOf(name));
  const uses = usage.usesOf(route).map(({ kind, viewer, served }) => [kind, viewer, served]);
  assert.deepEqual(uses, [
    ['api-key', 'a', 2],
    ['others', null, 2],
    ['api-key', 'b', 1],
  ]);
});

test('what one process noted adds up in another', () => {
  const worker = createRouteUsage();
  const primary = createRouteUsage();
  for (const outcome of ['served', 'moved', 'gone', 'gone'] as const) {
    worker.record(route, outcome, clientOf('a'));
    primary.add(worker.take());
  }
  assert.deepEqual(worker.take(), []);
  const [use] = primary.usesOf(route);
  assert.deepEqual([use?.served, use?.moved, use?.gone], [1, 1, 2]);
});
