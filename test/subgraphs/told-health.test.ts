import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Health } from '../../subgraphs/health-source.ts';
import { ToldHealth } from '../../subgraphs/told-health.ts';
import { createFakeClock } from './fake-clock.ts';

const healthy: Health = { state: 'healthy', why: null, reachable: true };
const failing: Health = { state: 'unhealthy', why: 'status 503', reachable: true };
const refused: Health = { state: 'ejected', why: 'ECONNREFUSED', reachable: false };

function listen() {
  const clock = createFakeClock();
  const changes: string[] = [];
  const suspicions: string[] = [];
  let doubts = 0;
  const told = new ToldHealth({
    clock,
    onChange: ({ state }) => void changes.push(state),
    onEject: (why) => void suspicions.push(why),
    onDoubt: () => void doubts++,
  });
  return { clock, changes, suspicions, told, doubts: () => doubts };
}

test('what another process tells is the health, and only changes are passed on', () => {
  const { told, changes, suspicions } = listen();
  assert.deepEqual(told.health, healthy);
  told.tell(healthy);
  told.tell(failing);
  told.tell({ ...failing, why: 'status 500' });
  assert.deepEqual(told.health, { ...failing, why: 'status 500' });
  told.tell(healthy);
  assert.deepEqual(changes, ['unhealthy', 'healthy']);
  assert.deepEqual(suspicions, []);
});

test('an instance that cannot be connected to is out at once, and the one who probes hears of it once', () => {
  const { told, changes, suspicions } = listen();
  told.eject('ECONNREFUSED');
  told.eject('ECONNREFUSED');
  assert.deepEqual(told.health, refused);
  assert.deepEqual(changes, ['ejected']);
  assert.deepEqual(suspicions, ['ECONNREFUSED']);
  told.tell(refused);
  assert.deepEqual(changes, ['ejected']);
  told.tell(healthy);
  assert.deepEqual(changes, ['ejected', 'healthy']);
});

test('a suspicion that nobody answers is dropped after a moment', async () => {
  const { told, clock, changes } = listen();
  told.eject('ECONNREFUSED');
  await clock.advance(1_999);
  assert.equal(told.health.state, 'ejected');
  await clock.advance(1);
  assert.deepEqual(told.health, healthy);
  assert.deepEqual(changes, ['ejected', 'healthy']);
});

test('a suspicion that was confirmed holds until the next report', async () => {
  const { told, clock } = listen();
  told.eject('ECONNREFUSED');
  told.tell(refused);
  await clock.advance(60_000);
  assert.deepEqual(told.health, refused);
  assert.equal(clock.pendingTimers, 0);
});

test('whoever probes hears of broken connections, once in a while', async () => {
  const { told, clock, doubts } = listen();
  for (let i = 0; i < 3; i++) told.doubt();
  assert.equal(doubts(), 1);
  await clock.advance(250);
  told.doubt();
  assert.equal(doubts(), 2);
  told.stop();
  told.doubt();
  assert.equal(doubts(), 2);
  assert.equal(clock.pendingTimers, 0);
});

test('after it is stopped nothing happens any more', () => {
  const { told, clock, changes } = listen();
  told.stop();
  told.eject('ECONNREFUSED');
  told.tell(failing);
  assert.deepEqual(changes, []);
  assert.equal(clock.pendingTimers, 0);
});

test('one that is called unhealthy, and cannot be connected to either, is told of and counts as out of reach', () => {
  const { told, changes, suspicions } = listen();
  told.tell(failing);
  told.eject('ECONNREFUSED');
  assert.equal(told.health.reachable, false);
  assert.deepEqual(changes, ['unhealthy', 'ejected']);
  assert.deepEqual(suspicions, ['ECONNREFUSED']);
});
