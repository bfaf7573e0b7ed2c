import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { createAutomaticQueries } from '../../policies/automatic-queries.ts';

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

describe('automatic persisted queries', () => {
  it('are bounded in bytes, the longest unused gone first', () => {
    const queries = createAutomaticQueries({ maxBytes: 3 * (300 + 2 * 100) });
    const texts = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(100));
    for (const text of texts.slice(0, 3)) queries.keep(hashOf(text), text);
    assert.equal(queries.find(hashOf(texts[0] ?? '')), texts[0]);
    queries.keep(hashOf(texts[3] ?? ''), texts[3] ?? '');
    assert.deepEqual(
      texts.map((text) => queries.find(hashOf(text)) !== undefined),
      [true, false, true, true],
    );
    assert.ok(queries.sizeBytes <= 1_500);
    queries.keep(hashOf('x'.repeat(2_000)), 'x'.repeat(2_000));
    assert.equal(queries.find(hashOf('x'.repeat(2_000))), undefined, 'what does not fit moves nobody out');
    assert.equal(queries.find(hashOf(texts[3] ?? '')), texts[3]);
  });

  it('are asked for together where they are shared, and each once', async () => {
    const asked: (readonly string[])[] = [];
    const stored = new Map([
      [hashOf('{ a }'), '{ a }'],
      [hashOf('{ c }'), '{ forged }'],
    ]);
    const queries = createAutomaticQueries({
      maxBytes: 10_000,
      shared: {
        load: async (hashes) => {
          asked.push(hashes);
          return hashes.map((hash) => stored.get(hash) ?? null);
        },
        save: async (hash, text) => void stored.set(hash, text),
      },
    });
    const [a, b, c] = [hashOf('{ a }'), hashOf('{ b }'), hashOf('{ c }')];
    assert.deepEqual(await Promise.all([queries.find(a), queries.find(b), queries.find(a), queries.find(c)]), [
      '{ a }',
      undefined,
      '{ a }',
      undefined,
    ]);
    assert.deepEqual(asked, [[a, b, c]]);
    assert.equal(queries.find(a), '{ a }', 'known here from now on');
    queries.keep(b, '{ b }');
    assert.equal(stored.get(b), '{ b }');
  });

  it('are missed, and not waited for, while the shared store fails', async () => {
    const failures: unknown[] = [];
    let count = 0;
    const queries = createAutomaticQueries({
      maxBytes: 10_000,
      shared: {
        load: async () => {
          count++;
          throw new Error('gone');
        },
        save: () => Promise.reject(new Error('gone')),
      },
      onFailure: (error) => failures.push(error),
    });
    assert.equal(await queries.find(hashOf('{ a }')), undefined);
    assert.equal(await queries.find(hashOf('{ a }')), undefined);
    assert.deepEqual([count, failures.length], [1, 1]);
    queries.keep(hashOf('{ a }'), '{ a }');
    assert.equal(queries.find(hashOf('{ a }')), '{ a }');
  });
});
