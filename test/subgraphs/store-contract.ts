/** What every store promises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditEntry } from '../../subgraphs/audit.ts';
import type { HistoryEntry } from '../../subgraphs/history.ts';
import type { StoredPolicy } from '../../subgraphs/snapshot.ts';
import { type Store, StoreConflict, type StoredState } from '../../subgraphs/store.ts';

/** A policy with a history; its keys look like the marks that a store may make. */
export function buildPolicy(name: string, revision: number): StoredPolicy {
  const definition = { bind: { gateway: true }, headers: { set: { $text: 'x', $$text: 'y', long: 'z'.repeat(600) } } };
  const version = { revision, at: '2030-01-01T00:00:00.000Z', author: 'ops', definition };
  return { ...version, name, history: [{ ...version, revision: revision - 1 }] };
}

/** A state that is told apart by its revision. */
export function buildState(revision: number, sdl = 'type Query { a: Int }'): StoredState {
  return {
    formatVersion: 1,
    snapshot: {
      revision,
      services: [
        {
          name: 'orders',
          definition: { graphql: { schema: sdl } },
          schema: { kind: 'plain', sdl, hash: 'h', source: 'registration' },
          quarantine: null,
          instances: [{ id: 'a', url: 'http://a', weight: 1, origin: 'lease', leaseSeconds: 30, draining: false }],
          revision,
          origin: 'admin',
        },
      ],
      policies: [buildPolicy('limits', revision)],
    },
    audit: Array.from({ length: revision }, (_, index) => ({
      at: '2030-01-01T00:00:00.000Z',
      author: 'ops',
      action: 'service.put',
      targets: ['orders'],
      revision: index + 1,
      outcome: 'accepted',
    })),
  };
}

/** Runs the contract on one kind of store. `open` gives a store without content. */
export function testStore(kind: string, open: () => Promise<Store>): void {
  test(`${kind} store: a new one is empty`, async () => {
    await using store = await open();
    assert.equal(await store.load(), null);
  });

  test(`${kind} store: it gives back what was saved last, whole`, async () => {
    await using store = await open();
    await store.save(buildState(1));
    await store.save(buildState(2, '"ünïcode 😀\n\\u0000" type Query { a: Int }'));
    assert.deepEqual(await store.load(), buildState(2, '"ünïcode 😀\n\\u0000" type Query { a: Int }'));
  });

  test(`${kind} store: of many saves at once the last one stays, and all are answered`, async () => {
    await using store = await open();
    await Promise.all(Array.from({ length: 200 }, (_, index) => store.save(buildState(index + 1))));
    assert.deepEqual(await store.load(), buildState(200));
  });

  test(`${kind} store: it keeps a schema of megabytes`, async () => {
    await using store = await open();
    const sdl = `type Query { a: Int } # ${'x'.repeat(3_000_000)}`;
    await store.save(buildState(1, sdl));
    assert.deepEqual(await store.load(), buildState(1, sdl));
  });

  test(`${kind} store: what was made from an older state than it holds is refused and changes nothing`, async () => {
    await using store = await open();
    await store.save(buildState(1), 0);
    await store.save(buildState(2), 1);
    await assert.rejects(store.save(buildState(2, 'type Query { other: Int }'), 1), StoreConflict);
    await assert.rejects(store.save(buildState(1), 0), StoreConflict);
    assert.deepEqual(await store.load(), buildState(2));
    await store.save(buildState(3), 2);
    assert.deepEqual(await store.load(), buildState(3));
  });

  test(`${kind} store: services come and go, and those that stay are the same`, async () => {
    await using store = await open();
    const [orders] = buildState(1).snapshot.services;
    assert.ok(orders);
    const of = (revision: number, ...names: readonly string[]): StoredState => ({
      ...buildState(revision),
      snapshot: { revision, services: names.map((name) => ({ ...orders, name })) },
    });
    await store.save(of(1, 'a', 'b', 'c'), 0);
    await store.save(of(2, 'b', 'd'), 1);
    assert.deepEqual(await store.load(), of(2, 'b', 'd'));
    await store.save(of(3), 2);
    assert.deepEqual(await store.load(), of(3));
  });

  test(`${kind} store: policies come and go, and a state without any has none`, async () => {
    await using store = await open();
    const { services } = buildState(1).snapshot;
    const of = (revision: number, ...policies: readonly StoredPolicy[]): StoredState => ({
      ...buildState(revision),
      snapshot: { revision, services, ...(policies.length > 0 && { policies }) },
    });
    await store.save(of(1), 0);
    assert.deepEqual(await store.load(), of(1));
    // The name of the service, too: they do not get into each other's way.
    const [limits, orders] = [buildPolicy('limits', 2), buildPolicy('orders', 2)];
    await store.save(of(2, limits, orders), 1);
    assert.deepEqual(await store.load(), of(2, limits, orders));
    await store.save(of(3, buildPolicy('limits', 3)), 2);
    assert.deepEqual(await store.load(), of(3, buildPolicy('limits', 3)));
    await store.save(of(4), 3);
    assert.deepEqual(await store.load(), of(4));
  });

  test(`${kind} store: audit and history grow by what is new, and stay as they were`, async () => {
    await using store = await open();
    const long = 'x'.repeat(2_000);
    const { audit } = buildState(3);
    const history = [
      { id: 1, sdl: long },
      { id: 2, sdl: long },
      { id: 3, sdl: `${long}y` },
    ] as unknown as HistoryEntry[];
    await store.save({ ...buildState(1), audit: audit.slice(0, 1), history: history.slice(0, 1) }, 0);
    await store.save({ ...buildState(2), audit: audit.slice(0, 2), history: history.slice(0, 2) }, 1);
    const last = { ...buildState(3), audit, history: history.slice(1) };
    await store.save(last, 2);
    assert.deepEqual(await store.load(), last);
  });

  test(`${kind} store: a refusal that is noted without a change is kept, too`, async () => {
    await using store = await open();
    await store.save(buildState(1), 0);
    const refusal = { ...buildState(1).audit[0], outcome: 'refused', code: 'CONFLICT' } as AuditEntry;
    const noted = { ...buildState(1), audit: [...buildState(1).audit, refusal] };
    await store.save(noted, 1);
    assert.deepEqual(await store.load(), noted);
  });
}
