import assert from 'node:assert/strict';
import test from 'node:test';
import { findService } from '../../subgraphs/snapshot.ts';
import { createFixture, type Fixture, given, ops } from './registry-fixture.ts';

const names = Array.from({ length: 20 }, (_, index) => `s${index}`);

function putAll(fixture: Fixture, sdlOf: (name: string) => string = () => 'fine') {
  return names.map((name) => fixture.registry.putService(name, given(sdlOf(name)), { name: `team-${name}` }));
}

test('changes that come while another is composed are composed together, and each has its answer', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const before = registry.snapshot.revision;
  const composed = fixture.admitted.length;
  const generations = registry.history().length;
  const outcomes = await Promise.all(putAll(fixture));
  assert.ok(fixture.admitted.length - composed <= 2, `${fixture.admitted.length - composed} compositions`);
  assert.deepEqual(
    outcomes.map(({ service, created }) => [service.name, created]),
    names.map((name) => [name, true]),
  );
  assert.equal(registry.admission.parts.length, names.length);
  assert.equal(registry.snapshot.revision, before + names.length);
  const entries = registry.audit().slice(-names.length);
  assert.deepEqual(
    entries.map(({ author, revision }) => [author, revision]),
    names.map((name, index) => [`team-${name}`, before + 1 + index]),
  );
  const made = registry.history().slice(generations);
  assert.ok(made.length <= 2);
  assert.deepEqual(
    made.flatMap(({ targets }) => targets),
    names,
  );
  assert.match(made.at(-1)?.author ?? '', /team-s18, team-s19$/);
});

test('one that does not compose is refused alone, with its own reasons', async () => {
  await using fixture = await createFixture();
  const outcomes = await Promise.allSettled(putAll(fixture, (name) => (name === 's13' ? 'broken' : 'fine')));
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, 1);
  assert.deepEqual(refused[0]?.reason.reasons, [{ service: 's13', message: 's13 is broken' }]);
  assert.equal(fixture.registry.admission.parts.length, names.length - 1);
  assert.equal(findService(fixture.registry.snapshot, 's13'), undefined);
});

test('two that contradict each other: the one that came first stays', async () => {
  await using fixture = await createFixture();
  const outcomes = await Promise.allSettled(putAll(fixture, (name) => (name < 's2' ? 'type:User' : 'fine')));
  const refused = names.filter((_, index) => outcomes[index]?.status === 'rejected');
  // s1 and s10 to s19 want it, too.
  assert.deepEqual(
    refused,
    names.filter((name) => name !== 's0' && name < 's2'),
  );
  assert.ok(fixture.registry.admission.parts.includes('s0@type:User'));
});

test('changes of one service that wait together are made in their order', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const blocking = registry.putService('first', given('fine'), ops);
  const outcomes = await Promise.all([
    registry.putService('shop', given('one'), ops),
    registry.putService('shop', given('two'), ops),
    registry.putService('shop', given('two'), ops),
  ]);
  await blocking;
  assert.deepEqual(
    outcomes.map(({ created, changed, service }) => [created, changed, service.schema?.sdl]),
    [
      [true, true, 'one'],
      [false, true, 'two'],
      [false, false, 'two'],
    ],
  );
});

test('when they cannot be saved all are refused, and nothing has changed', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const { snapshot } = registry;
  fixture.diskFull = true;
  const outcomes = await Promise.allSettled(putAll(fixture));
  assert.ok(
    outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason.code === 'SERVICE_UNAVAILABLE'),
  );
  assert.equal(registry.snapshot, snapshot);
  fixture.diskFull = false;
  await Promise.all(putAll(fixture));
  assert.equal(registry.admission.parts.length, names.length);
});

test('a dry run among them changes nothing, and sees those before it', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const [, tried] = await Promise.all([
    registry.putService('shop', given('fine'), ops),
    registry.putService('cart', given('needs:shop'), { ...ops, dryRun: true }),
    registry.putService('last', given('fine'), ops),
  ]);
  assert.equal(tried.changed, true);
  assert.deepEqual(registry.admission.parts, ['last@fine', 'shop@fine']);
});
