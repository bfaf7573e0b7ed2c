import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { buildConfigReference, listConfigKeys } from '../../gateway/config-reference.ts';
import { errorKinds } from '../../policies/errors.ts';

const documents = new URL('../../docs/', import.meta.url);

async function readDocument(name: string): Promise<string> {
  return await readFile(new URL(name, documents), 'utf8');
}

describe('docs/configuration.md', () => {
  it('is what `npm run docs` writes', async () => {
    assert.equal(await readDocument('configuration.md'), buildConfigReference());
  });

  it('has every key of the schema that holds a value', async () => {
    const page = await readDocument('configuration.md');
    const keys = listConfigKeys();
    assert.ok(keys.length > 80);
    // An object is there by the keys below it.
    const missing = keys.filter((key) => !page.includes(`\`${key}\``) && !page.includes(`\`${key}.`));
    assert.deepEqual(
      missing.filter((key) => key.includes('.')),
      [],
    );
  });
});

describe('docs/errors.md', { skip: existsSync(new URL('errors.md', documents)) ? false : 'not written yet' }, () => {
  /** Rows of tables whose first cell is a code, with the rest of the row. */
  async function listRows(): Promise<Map<string, string>> {
    const rows = (await readDocument('errors.md')).matchAll(/^\|\s*`([A-Z][A-Z_]+)`\s*\|(.*)$/gm);
    return new Map([...rows].map((match) => [match[1] ?? '', match[2] ?? '']));
  }

  it('has a row for every code, and for nothing else', async () => {
    assert.deepEqual([...(await listRows()).keys()].sort(), Object.keys(errorKinds).sort());
  });

  it('has the status of every code', async () => {
    const rows = await listRows();
    const wrong = Object.entries(errorKinds).filter(
      ([code, kind]) => !new RegExp(`\\b${kind.status}\\b`).test(rows.get(code) ?? ''),
    );
    assert.deepEqual(wrong, []);
  });
});

describe('docs/dependencies.md', () => {
  it('has a row for every dependency, and for nothing else', async () => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    const rows = (await readDocument('dependencies.md')).matchAll(/^\|\s*`([^`]+)`\s*\|/gm);
    assert.deepEqual(
      [...rows].map((match) => match[1]).sort(),
      [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)].sort(),
    );
  });
});
