import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadShedder, type Priority } from '../../policies/load-shedding.ts';

function createShedder() {
  let nowMs = 0;
  const shed: string[] = [];
  const shedder = new LoadShedder(
    { maxEventLoopDelay: '200ms', retryAfter: '2500ms' },
    { now: () => nowMs, onShed: (door, priority) => shed.push(`${door} ${priority}`) },
  );
  /** The timer fires so much later than it should. */
  const sampleLate = (lateMs: number): void => {
    nowMs += 50 + lateMs;
    shedder.sample();
  };
  const passes = (priority: Priority): boolean => {
    try {
      shedder.check('rest', priority);
      return true;
    } catch {
      return false;
    }
  };
  const passing = (): Priority[] => (['low', 'normal', 'high'] as const).filter(passes);
  return { shedder, shed, sampleLate, passing };
}

test('the less important is refused first, and the most important last', () => {
  const { shedder, sampleLate, passing } = createShedder();
  using _ = shedder;
  assert.deepEqual(passing(), ['low', 'normal', 'high']);
  for (let i = 0; i < 10; i++) sampleLate(120);
  assert.deepEqual(passing(), ['normal', 'high']);
  for (let i = 0; i < 10; i++) sampleLate(250);
  assert.deepEqual(passing(), ['high']);
  for (let i = 0; i < 10; i++) sampleLate(500);
  assert.deepEqual(passing(), []);
  for (let i = 0; i < 4; i++) sampleLate(0);
  assert.deepEqual(passing(), ['low', 'normal', 'high'], 'it is over soon');
});

test('a single pause sheds nothing of normal priority unless it is twice as long as may be', () => {
  const { shedder, sampleLate, passing } = createShedder();
  using _ = shedder;
  sampleLate(390);
  assert.deepEqual(passing(), ['normal', 'high']);
});

test('a refusal is OVERLOADED, says when to come back, and is counted', () => {
  const { shedder, shed, sampleLate } = createShedder();
  using _ = shedder;
  for (let i = 0; i < 5; i++) sampleLate(1_000);
  assert.throws(() => shedder.check('graphql'), { code: 'OVERLOADED', status: 503, retryAfterSeconds: 3 });
  assert.deepEqual(shed, ['graphql normal']);
  shedder.configure(undefined);
  shedder.check('graphql', 'low');
});
