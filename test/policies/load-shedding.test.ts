import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadShedder, type Priority } from '../../policies/load-shedding.ts';
import type { Viewer } from '../../policies/request-context.ts';

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

test('where several priorities are possible, only what none of them would let pass is refused', () => {
  const { shedder, sampleLate } = createShedder();
  using _ = shedder;
  for (let i = 0; i < 10; i++) sampleLate(250);
  shedder.checkAny('rest', ['low', 'high']);
  assert.throws(() => shedder.checkAny('rest', ['low', undefined]), { code: 'OVERLOADED' });
});

test('a single pause sheds nothing of normal priority unless it is twice as long as may be', () => {
  const { shedder, sampleLate, passing } = createShedder();
  using _ = shedder;
  sampleLate(390);
  assert.deepEqual(passing(), ['normal', 'high']);
});

test('who asks may count for more or less than where; the first that fits decides', () => {
  let nowMs = 0;
  using shedder = new LoadShedder(
    {
      maxEventLoopDelay: '200ms',
      priorities: [
        { for: 'role:ops', priority: 'high' },
        { for: 'client-name:crawler', priority: 'low' },
        { for: 'anonymous', priority: 'low' },
      ],
    },
    { now: () => nowMs },
  );
  const sampleLate = (lateMs: number): void => {
    for (let i = 0; i < 10; i++) {
      nowMs += 50 + lateMs;
      shedder.sample();
    }
  };
  const viewer = (roles: string[]): Viewer => ({
    id: 'ada',
    kind: 'jwt',
    issuer: 'idp',
    scopes: new Set(),
    roles,
    claims: {},
  });
  const passes = (check: () => void): boolean => {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  };
  const crawler = { 'x-client-name': 'crawler' };
  const passing = () =>
    [
      () => shedder.check('rest', 'low'),
      () => shedder.checkViewer('rest', { viewer: viewer(['ops']), headers: crawler }, 'low'),
      () => shedder.checkViewer('rest', { viewer: viewer([]), headers: {} }, 'low'),
      () => shedder.checkViewer('graphql', { viewer: viewer([]), headers: {} }),
      () => shedder.checkViewer('graphql', { viewer: viewer([]), headers: crawler }),
      () => shedder.checkViewer('rest', { viewer: null, headers: {} }, 'high'),
    ].map(passes);
  assert.deepEqual(passing(), [true, true, true, true, true, true]);
  sampleLate(120);
  assert.deepEqual(passing(), [true, true, false, true, false, false]);
  sampleLate(300);
  assert.deepEqual(passing(), [true, true, false, false, false, false]);
  sampleLate(500);
  assert.deepEqual(passing(), [false, false, false, false, false, false]);
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
