/** What every store promises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store, StoredState } from '../../subgraphs/store.ts';

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
    },
    audit: [
      {
        at: '2030-01-01T00:00:00.000Z',
        author: 'ops',
        action: 'service.put',
        targets: ['orders'],
        revision,
        outcome: 'accepted',
      },
    ],
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
}
