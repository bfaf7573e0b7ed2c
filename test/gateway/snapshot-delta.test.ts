import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applySnapshotDelta, buildSnapshotDelta, buildWholeDelta } from '../../gateway/snapshot-delta.ts';
import {
  buildServiceSchema,
  emptySnapshot,
  type Service,
  type Snapshot,
  type StoredPolicy,
} from '../../subgraphs/snapshot.ts';
import { buildPolicy } from '../subgraphs/store-contract.ts';

function service(name: string, more: Partial<Service> = {}): Service {
  return {
    name,
    definition: { graphql: {} },
    schema: buildServiceSchema('plain', `type Query { ${name}: Int }`, 'registration'),
    quarantine: null,
    instances: [],
    revision: 1,
    origin: 'admin',
    ...more,
  };
}

const overTheWire = <T>(value: T): T => JSON.parse(JSON.stringify(value));

describe('a snapshot delta', () => {
  const first: Snapshot = { revision: 1, services: [service('a'), service('b')] };

  it('carries a whole snapshot to somebody who has none', () => {
    assert.deepEqual(applySnapshotDelta(emptySnapshot, overTheWire(buildWholeDelta(first))), first);
  });

  it('carries only what changed, and drops what is gone', () => {
    const [a] = first.services;
    assert.ok(a !== undefined);
    const next: Snapshot = { revision: 2, services: [a, service('c')] };
    const delta = buildSnapshotDelta(first, next);
    assert.deepEqual(
      delta.changed.map(({ name }) => name),
      ['c'],
    );
    assert.deepEqual(applySnapshotDelta(first, overTheWire(delta)), next);
  });

  it('carries policies that changed, without their history, and drops those that are gone', () => {
    const [one, two] = [buildPolicy('one', 2), buildPolicy('two', 2)];
    const bare = (policy: StoredPolicy): StoredPolicy => ({ ...policy, history: [] });
    const before: Snapshot = { ...first, policies: [one, two] };
    const there = applySnapshotDelta(emptySnapshot, overTheWire(buildWholeDelta(before)));
    assert.deepEqual(there.policies, [bare(one), bare(two)]);

    const changed = buildPolicy('two', 3);
    const delta = buildSnapshotDelta(before, { ...before, revision: 2, policies: [one, changed] });
    assert.deepEqual([delta.changed, delta.policies?.changed], [[], [bare(changed)]]);
    const next = applySnapshotDelta(there, overTheWire(delta));
    assert.deepEqual(next.policies, [bare(one), bare(changed)]);
    assert.equal(next.policies?.[0], there.policies?.[0], 'the same object');

    const none = applySnapshotDelta(next, overTheWire(buildSnapshotDelta(before, { ...first, revision: 3 })));
    assert.deepEqual(none, { ...first, revision: 3 });
  });

  it('leaves what did not change the objects they were, also within a service that did', () => {
    const [a, b] = first.services;
    assert.ok(a !== undefined && b !== undefined);
    const instance = { id: '1', url: 'http://a', weight: 1, origin: 'lease', draining: false } as const;
    const next: Snapshot = { revision: 2, services: [{ ...a, instances: [instance] }, b] };
    const made = applySnapshotDelta(first, overTheWire(buildSnapshotDelta(first, next)));
    assert.deepEqual(made, next);
    assert.equal(made.services[1], b);
    assert.equal(made.services[0]?.definition, a.definition);
    assert.equal(made.services[0]?.schema, a.schema);
  });
});
