/** Plugins as operators have them: files and packages in a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Writes a file below a folder and returns its absolute path. */
export async function writeModule(folder: string, name: string, text: string): Promise<string> {
  const file = join(folder, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

/** Writes a package into `node_modules` of a folder, for modules that import it. */
export async function writePackage(folder: string, name: string, text: string): Promise<void> {
  const manifest = { name, version: '1.0.0', type: 'module', exports: { '.': { import: './main.js' } } };
  await writeModule(folder, `node_modules/${name}/package.json`, JSON.stringify(manifest));
  await writeModule(folder, `node_modules/${name}/main.js`, text);
}
