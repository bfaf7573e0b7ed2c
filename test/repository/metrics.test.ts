import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const gateway = new URL('../../gateway/', import.meta.url);

test('every metric has a row in the documentation, and every row a metric', async () => {
  const files = (await readdir(gateway)).filter((name) => name.startsWith('metrics'));
  const texts = await Promise.all(files.map((name) => readFile(new URL(name, gateway), 'utf8')));
  // Read from the sources: some are made only when there is something to show.
  const made = texts.flatMap((text) => [...text.matchAll(/'(selvage_[a-z_]+)'/g)].map(([, name]) => name));
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `selvage_'));
  const told = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/selvage_\w+/g)].map(String));
  assert.deepEqual([...new Set(told)].sort(), [...new Set(made)].sort());
});
