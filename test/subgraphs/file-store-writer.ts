/** A process that saves in a loop until it is killed, and says on standard output what was acknowledged. */
import { writeSync } from 'node:fs';
import { createFileStore } from '../../subgraphs/file-store.ts';
import { buildState } from './store-contract.ts';

const [directory = '.'] = process.argv.slice(2);
const store = await createFileStore({ directory });
const state = await store.load();
for (let revision = (state?.snapshot.revision ?? 0) + 1; ; revision++) {
  await store.save(buildState(revision, `# ${'x'.repeat(50_000)}`));
  writeSync(1, `${revision}\n`);
}
