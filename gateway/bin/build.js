// `npm run build`: the package's dist/. Node strips no types inside node_modules, so the package carries JavaScript.
import { spawnSync } from 'child_process';
import { cpSync, rmSync } from 'fs';
import { createRequire } from 'module';
import { dirname, join } from 'path';
import { fileURLToPath } from 'url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const dist = join(root, 'dist');
const folders = ['gateway', 'schema', 'subgraphs', 'policies'];

rmSync(dist, { recursive: true, force: true });
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(1);

// What the sources read at run time beside them: pages, scripts, schemas.
const bin = join(root, 'gateway', 'bin');
for (const folder of folders) {
  cpSync(join(root, folder), join(dist, folder), {
    recursive: true,
    filter: (source) => source !== bin && !source.endsWith('.ts'),
  });
}
