import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../gateway/config.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { GatewayError } from '../../policies/errors.ts';

type Persisted = NonNullable<NonNullable<GatewayConfig['graphql']>['persistedOperations']>;

describe('the configuration of persisted operations', () => {
  const wrong: Readonly<Record<string, readonly [Persisted, RegExp]>> = {
    'a mode without documents': [{ mode: 'enforce' }, /`enforce` needs a `source`/],
    'Redis that is not there': [{ mode: 'log', source: 'redis' }, /there is no Redis/],
    'clients that register anything under enforce': [
      { mode: 'enforce', source: 'file:x', apq: true },
      /contradicts `mode: enforce`/,
    ],
    'an exception without a rule': [
      { mode: 'log', source: 'file:x', allowArbitrary: ['anonymous'] },
      /only `mode: enforce`/,
    ],
    'a source of another kind': [{ mode: 'log', source: 'ftp://x' }, /source/],
    'a class of nobody': [{ mode: 'enforce', source: 'file:x', allowArbitrary: ['everybody'] }, /allowArbitrary/],
  };
  for (const [what, [persistedOperations, message]] of Object.entries(wrong)) {
    it(`is refused for ${what}`, () => {
      assert.throws(
        () => parseConfig({ graphql: { persistedOperations } }),
        (error) => error instanceof GatewayError && message.test(JSON.stringify(error.reasons)),
      );
    });
  }

  it('is taken where all fits', () => {
    const persistedOperations = { mode: 'enforce', source: 'redis', apq: false, allowArbitrary: ['role:dev'] };
    parseConfig({ redis: 'redis://127.0.0.1:6379', graphql: { persistedOperations } });
  });
});
