import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../policies/errors.ts';
import { createMemoryStore } from '../../subgraphs/memory-store.ts';
import type { StoredState } from '../../subgraphs/store.ts';
import { createFixture, given, ops } from './registry-fixture.ts';

const slow = { bind: { services: ['orders'] }, timeout: '1s' };
const quick = { bind: { services: ['orders'] }, timeout: '100ms' };

/** The error that a call ends with. */
async function refusal(call: Promise<unknown>): Promise<GatewayError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('policies at run time', () => {
  it('are written, changed, listed by name and removed without a graph being composed', async () => {
    await using fixture = await createFixture();
    const { registry, admitted, published, clock } = fixture;
    await registry.putService('orders', given('a'), ops);
    const composed = admitted.length;
    const first = await registry.putPolicy('slow', slow, ops);
    assert.deepEqual([first.created, first.changed], [true, true]);
    const { at } = first.policy;
    await clock.advance(1_000);
    const second = await registry.putPolicy('slow', quick, { name: 'eve', reason: 'too slow' });
    assert.deepEqual([second.created, second.changed], [false, true]);
    assert.deepEqual(second.policy.history, [{ revision: first.revision, at, author: 'ops', definition: slow }]);
    assert.notEqual(second.policy.at, at);
    await registry.putPolicy('a.first', slow, ops);
    assert.deepEqual(
      registry.snapshot.policies?.map(({ name, author }) => [name, author]),
      [
        ['a.first', 'ops'],
        ['slow', 'eve'],
      ],
    );
    assert.equal(published.at(-1), registry.snapshot);
    await registry.deletePolicy('slow', ops);
    await registry.deletePolicy('a.first', ops);
    assert.equal(registry.snapshot.policies, undefined);
    assert.equal(admitted.length, composed);
    assert.equal(registry.history().length, 2, 'no generation came of it');
    const noted = registry.audit().filter(({ action }) => action.startsWith('policy.'));
    assert.deepEqual(
      noted.map(({ action, author, targets, reason, revision }) => [action, author, targets, reason, revision]),
      [
        ['policy.put', 'ops', ['slow'], undefined, first.revision],
        ['policy.put', 'eve', ['slow'], 'too slow', first.revision + 1],
        ['policy.put', 'ops', ['a.first'], undefined, first.revision + 2],
        ['policy.delete', 'ops', ['slow'], undefined, first.revision + 3],
        ['policy.delete', 'ops', ['a.first'], undefined, first.revision + 4],
      ],
    );
  });

  it('that say the same are no change, in whatever order', async () => {
    await using fixture = await createFixture();
    await fixture.registry.putPolicy('p', slow, ops);
    const { snapshot } = fixture.registry;
    const again = await fixture.registry.putPolicy('p', { timeout: '1s', bind: { services: ['orders'] } }, ops);
    assert.deepEqual([again.changed, again.created, again.policy.history], [false, false, []]);
    assert.equal(fixture.registry.snapshot, snapshot);
  });

  it('cannot be changed from outside once they are written', async () => {
    await using fixture = await createFixture();
    const definition = structuredClone(slow);
    await fixture.registry.putPolicy('p', definition, ops);
    definition.bind.services.push('others');
    assert.deepEqual(fixture.registry.snapshot.policies?.[0]?.definition, slow);
  });

  it('are no reason for a generation that comes to be at the same moment', async () => {
    await using fixture = await createFixture();
    const { registry } = fixture;
    await Promise.all([
      registry.putPolicy('p', slow, { name: 'eve', reason: 'slow' }),
      registry.putService('orders', given('a'), ops),
      registry.putPolicy('q', slow, { name: 'eve' }),
    ]);
    const { author, action, targets, reason } = registry.history().at(-1) ?? {};
    assert.deepEqual([author, action, targets, reason], ['ops', 'service.put', ['orders'], undefined]);
    assert.equal(registry.snapshot.policies?.length, 2);
  });

  it('are guarded by If-Match', async () => {
    await using fixture = await createFixture();
    const { registry } = fixture;
    const { policy } = await registry.putPolicy('p', slow, ops);
    const stale = { ...ops, ifMatch: `"${policy.revision - 1}"` };
    assert.equal((await refusal(registry.putPolicy('p', quick, stale))).code, 'PRECONDITION_FAILED');
    assert.equal((await refusal(registry.deletePolicy('p', stale))).code, 'PRECONDITION_FAILED');
    assert.equal(
      (await refusal(registry.putPolicy('new', quick, { ...ops, ifMatch: '*' }))).code,
      'PRECONDITION_FAILED',
    );
    assert.equal((await registry.putPolicy('p', quick, { ...ops, ifMatch: `"${policy.revision}"` })).changed, true);
    await registry.deletePolicy('p', { ...ops, ifMatch: '*' });
    assert.equal((await refusal(registry.deletePolicy('p', ops))).code, 'ROUTE_NOT_FOUND');
  });

  it('are only tried in a dry run', async () => {
    await using fixture = await createFixture();
    const { registry } = fixture;
    const dry = { ...ops, dryRun: true };
    const tried = await registry.putPolicy('p', slow, dry);
    assert.deepEqual([tried.created, tried.policy.definition], [true, slow]);
    assert.equal(registry.snapshot.policies, undefined);
    await registry.putPolicy('p', slow, ops);
    const { snapshot } = registry;
    await registry.deletePolicy('p', dry);
    assert.equal(registry.snapshot, snapshot);
    assert.equal((await refusal(registry.putPolicy('p', {}, dry))).code, 'REGISTRATION_REFUSED');
    assert.equal(registry.audit().filter(({ action }) => action.startsWith('policy.')).length, 1);
  });

  it('keep twenty versions, and go back to any of them', async () => {
    await using fixture = await createFixture();
    const { registry } = fixture;
    const revisions: number[] = [];
    for (let i = 0; i < 25; i++) {
      revisions.push((await registry.putPolicy('p', { ...slow, timeout: `${i + 1}s` }, ops)).revision);
    }
    const { history } = registry.snapshot.policies?.[0] ?? {};
    assert.deepEqual(
      history?.map(({ revision }) => revision),
      revisions.slice(4, 24),
    );
    const back = await registry.rollbackPolicy('p', revisions[9] ?? 0, { name: 'eve' });
    assert.deepEqual([back.policy.definition, back.policy.author], [{ ...slow, timeout: '10s' }, 'eve']);
    assert.equal(back.policy.history.at(-1)?.revision, revisions[24]);
    assert.equal((await refusal(registry.rollbackPolicy('p', revisions[0] ?? 0, ops))).code, 'ROUTE_NOT_FOUND');
    assert.equal((await refusal(registry.rollbackPolicy('q', 1, ops))).code, 'ROUTE_NOT_FOUND');
    assert.equal(registry.audit().at(-1)?.action, 'policy.rollback');
  });

  it('keep fewer versions when they are long', async () => {
    await using fixture = await createFixture();
    for (let i = 0; i < 7; i++) {
      await fixture.registry.putPolicy('p', { ...slow, headers: { text: `${i}${'x'.repeat(240_000)}` } }, ops);
    }
    assert.equal(fixture.registry.snapshot.policies?.[0]?.history.length, 4);
  });

  const tooDeep = JSON.parse(`{"bind":{"gateway":true},"k":${'['.repeat(20_000)}${']'.repeat(20_000)}}`);
  const mistakes: [what: string, name: string, definition: unknown, path: string | undefined, message: RegExp][] = [
    ['a name with capitals', 'Name', slow, undefined, /must match/],
    ['a name that is a path', '../p', slow, undefined, /must match/],
    ['no object', 'p', [slow], '', /expected an object/],
    ['nothing', 'p', undefined, '', /expected an object/],
    ['no bindings', 'p', { timeout: '1s' }, '', /`bind` is missing/],
    ['empty bindings', 'p', { bind: {} }, '/bind', /./],
    ['bindings of an unknown level', 'p', { bind: { servces: ['a'] } }, '/bind/servces', /did you mean `services`/],
    ['a field without its type', 'p', { bind: { fields: ['name'] } }, '/bind/fields/0', /./],
    ['a description that is none', 'p', { ...slow, description: 1 }, '/description', /expected a text/],
    ['a kind that can be none', 'p', { ...slow, 'a b': 1 }, '/a b', /no kind/],
    ['a prototype', 'p', JSON.parse('{"bind":{"gateway":true},"__proto__":{"x":1}}'), '/__proto__', /not allowed/],
    ['one below', 'p', { ...slow, cors: { constructor: { prototype: 1 } } }, '/cors/constructor', /not allowed/],
    ['too much', 'p', { ...slow, text: 'x'.repeat(256_000) }, '', /256000 bytes/],
    ['too deep a nest', 'p', tooDeep, undefined, /32 levels deep/],
  ];
  for (const [what, name, definition, path, message] of mistakes) {
    it(`are refused for ${what}`, async () => {
      await using fixture = await createFixture();
      const { code, status, reasons = [] } = await refusal(fixture.registry.putPolicy(name, definition, ops));
      assert.deepEqual([code, status, reasons.length], ['REGISTRATION_REFUSED', 422, 1]);
      if (path !== undefined) assert.equal(reasons[0]?.path, path);
      assert.match(reasons[0]?.message ?? '', message);
      assert.equal(fixture.registry.snapshot.policies, undefined);
      const [entry] = fixture.registry.audit().slice(-1);
      assert.deepEqual([entry?.action, entry?.outcome, entry?.targets], ['policy.put', 'refused', [name]]);
    });
  }

  it('are refused with all reasons of whoever knows the kinds, who sees the others of run time', async () => {
    const seen: unknown[] = [];
    await using fixture = await createFixture({
      checkPolicy: (name, definition, others) => {
        seen.push([name, others.map((other) => other.name)]);
        const isBad = typeof definition === 'object' && definition !== null && 'timeot' in definition;
        return isBad
          ? [
              { path: '/timeot', message: 'unknown kind' },
              { path: '/x', message: 'also' },
            ]
          : [];
      },
    });
    const { registry } = fixture;
    await registry.putPolicy('a', slow, ops);
    await registry.putPolicy('b', slow, ops);
    const { reasons } = await refusal(registry.putPolicy('a', { bind: { gateway: true }, timeot: '1s' }, ops));
    assert.deepEqual(
      reasons?.map(({ path }) => path),
      ['/timeot', '/x'],
    );
    assert.deepEqual(seen.slice(-1), [['a', ['b']]]);
    assert.deepEqual(registry.snapshot.policies?.[0]?.definition, slow);
  });

  it('give way to those of the configuration, which can only be taken out of the way', async () => {
    const reserved = new Set<string>();
    const store = createMemoryStore();
    {
      await using fixture = await createFixture({ store, reservedPolicies: () => reserved });
      await fixture.registry.putPolicy('p', slow, ops);
      reserved.add('p');
      assert.equal((await refusal(fixture.registry.putPolicy('p', quick, ops))).code, 'CONFLICT');
    }
    await using fixture = await createFixture({ store, reservedPolicies: () => reserved });
    assert.match(fixture.logged.join(), /gives way to that of the configuration/);
    await fixture.registry.deletePolicy('p', ops);
    assert.equal(fixture.registry.snapshot.policies, undefined);
  });

  it('are 500 at most', async () => {
    await using fixture = await createFixture();
    const names = Array.from({ length: 500 }, (_, i) => `p${i}`);
    await Promise.all(names.map((name) => fixture.registry.putPolicy(name, slow, ops)));
    assert.equal((await refusal(fixture.registry.putPolicy('one-more', slow, ops))).status, 422);
    await fixture.registry.putPolicy('p7', quick, ops);
  });

  it('stay through reloads and rollbacks of the graph, and through a restart', async () => {
    const store = createMemoryStore();
    let before: unknown;
    {
      await using fixture = await createFixture({ store });
      const { registry } = fixture;
      await registry.putService('orders', given('a'), ops);
      await registry.putPolicy('p', slow, ops);
      await registry.putPolicy('p', quick, ops);
      before = structuredClone(registry.snapshot.policies);
      await registry.putService('orders', given('b'), ops);
      await registry.putServices({ other: given('c') }, 'replace', ops);
      await registry.replaceConfig({ mine: given('d') });
      await registry.rollback(2, ops);
      assert.deepEqual(registry.snapshot.policies, before);
    }
    const { revision } = (await store.load())?.snapshot ?? { revision: 0 };
    await using fixture = await createFixture({ store, config: { mine: given('d') } });
    assert.deepEqual(fixture.registry.snapshot.policies, before);
    assert.equal(fixture.registry.snapshot.revision, revision, 'nothing changed');
  });

  it('of a stored state that are not valid are dropped, and an older state has none', async () => {
    const policy = {
      name: 'p',
      definition: slow,
      revision: 1,
      at: '2030-01-01T00:00:00.000Z',
      author: 'ops',
      history: [],
    };
    const states: unknown[] = [
      undefined,
      'none',
      [policy, { ...policy, name: 'NO' }, { ...policy, name: 'q', definition: { bind: 1 } }, null, { name: 'r' }],
      [{ ...policy, history: [{ revision: 'x' }, 7] }],
    ];
    const kept: unknown[] = [];
    for (const policies of states) {
      const store = createMemoryStore();
      const snapshot = { revision: 1, services: [], ...(policies !== undefined && { policies }) };
      await store.save({ formatVersion: 1, snapshot, audit: [] } as unknown as StoredState);
      await using fixture = await createFixture({ store });
      kept.push(fixture.registry.snapshot.policies);
    }
    assert.deepEqual(kept, [undefined, undefined, [policy], [policy]]);
  });

  it('are not changed when they cannot be saved', async () => {
    await using fixture = await createFixture();
    fixture.diskFull = true;
    assert.equal((await refusal(fixture.registry.putPolicy('p', slow, ops))).code, 'SERVICE_UNAVAILABLE');
    assert.equal(fixture.registry.snapshot.policies, undefined);
  });
});

describe('what is done beside the registry', () => {
  it('stands in the audit, done or refused, and is saved a moment later', async () => {
    await using fixture = await createFixture();
    const { registry, clock, store } = fixture;
    const note = { action: 'api-key.put', targets: ['ci'] } as const;
    assert.equal(await registry.audited(note, { name: 'ops', reason: 'CI' }, async () => 7), 7);
    const failed = registry.audited(note, ops, async () => {
      throw new GatewayError('CONFLICT', 'it is there');
    });
    assert.equal((await refusal(failed)).code, 'CONFLICT');
    await clock.advance(1_000);
    const saved = (await store.load())?.audit.slice(-2);
    assert.deepEqual(
      saved?.map(({ action, author, outcome, reason, code }) => [action, author, outcome, reason, code]),
      [
        ['api-key.put', 'ops', 'accepted', 'CI', undefined],
        ['api-key.put', 'ops', 'refused', undefined, 'CONFLICT'],
      ],
    );
  });
});
