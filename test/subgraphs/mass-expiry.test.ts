import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLeases, type ExpiredLease } from '../../subgraphs/leases.ts';
import { silentLog } from '../../subgraphs/log.ts';
import { createMassExpiryGuard, type MassExpirySettings } from '../../subgraphs/mass-expiry.ts';
import { createFakeClock } from './fake-clock.ts';

function useGuard(settings: Partial<MassExpirySettings> = {}) {
  const clock = createFakeClock();
  const dropped: string[] = [];
  const unreachable = new Set<string>();
  const suspects: number[] = [];
  const leases = createLeases((expired) => guard.handle(expired), clock);
  const guard = createMassExpiryGuard({
    settings: { share: 0.3, minimum: 10, patienceMs: 60_000, ...settings },
    leases: () => leases,
    async probe({ instance }) {
      if (unreachable.has(instance)) throw new Error('refused');
    },
    async drop(gone: readonly ExpiredLease[]) {
      dropped.push(...gone.map(({ instance }) => instance));
    },
    clock,
    log: silentLog,
    onSuspects: (count) => suspects.push(count),
  });
  /** All renew as the client does, three times per lease of 30 seconds, not in step; those that are silent do not. */
  async function beat(seconds: number, silent: (index: number) => boolean = () => false): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      for (let index = 0; index < 20; index++) {
        if (index % 10 === second % 10 && !silent(index)) leases.renew('orders', `i${index}`, 30);
      }
      await clock.advance(1_000);
    }
  }
  return { clock, dropped, unreachable, suspects, leases, guard, beat };
}

test('instances that die one after the other are dropped as soon as their lease runs out', async () => {
  const { beat, dropped, guard } = useGuard();
  await beat(20);
  await beat(40, (index) => index < 6);
  assert.deepEqual(dropped.toSorted(), ['i0', 'i1', 'i2', 'i3', 'i4', 'i5'], '6 of 20 are not more than 30 %');
  assert.equal(guard.isSuspect('orders', 'i0'), false);
});

test('when all fall silent at once nobody is dropped, not even the first: they stay while they can be reached', async () => {
  const { beat, dropped, guard, suspects } = useGuard();
  await beat(20);
  await beat(45, () => true);
  assert.deepEqual(dropped, []);
  assert.equal(suspects.at(-1), 20);
  assert.ok(guard.isSuspect('orders', 'i7'));
  await beat(12);
  assert.equal(suspects.at(-1), 0, 'heartbeats clear them');
  assert.deepEqual(dropped, []);
});

test('a suspect that cannot be connected to is dropped, the others stay', async () => {
  const { beat, dropped, unreachable } = useGuard();
  await beat(20);
  unreachable.add('i3');
  await beat(45, () => true);
  assert.deepEqual(dropped, ['i3']);
});

test('it cannot freeze for ever: when patience is over suspects are dropped although they can be connected to', async () => {
  const { beat, dropped } = useGuard({ patienceMs: 30_000 });
  await beat(20);
  await beat(75, () => true);
  assert.equal(dropped.length, 20);
});

test('fewer than the minimum are no mass, whatever their share', async () => {
  const { beat, dropped } = useGuard({ minimum: 21 });
  await beat(20);
  await beat(45, () => true);
  assert.equal(dropped.length, 20);
});
