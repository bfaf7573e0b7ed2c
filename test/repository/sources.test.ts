import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Each may import itself and those after it. */
const layers = ['gateway', 'schema', 'subgraphs', 'policies'];

interface Import {
  readonly file: string;
  readonly specifier: string;
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('node_modules'));
}

async function listSources(): Promise<string[]> {
  const files = await Promise.all([...layers, 'test'].map(listFiles));
  return files.flat().filter((file) => file.endsWith('.ts'));
}

/** Static and dynamic imports, and re-exports. */
async function listImports(files: readonly string[]): Promise<Import[]> {
  const lists = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(root, file), 'utf8');
      // A template may hold the text of an example.
      const code = text.replace(/`(?:[^`\\]|\\.)*`/gs, '``');
      const found = code.matchAll(
        /^(?:import|export)\s[^;'"]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm,
      );
      return [...found].map((match) => ({ file, specifier: match[1] ?? match[2] ?? match[3] ?? '' }));
    }),
  );
  return lists.flat();
}

/** The package that an import leads to: `typebox/compile` is part of `typebox`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function layerOf(file: string): string {
  return file.split('/')[0] ?? '';
}

describe('the sources', () => {
  it('import in one direction: gateway -> schema -> subgraphs -> policies', async () => {
    const sources = (await listSources()).filter((file) => layerOf(file) !== 'test');
    const wrong = (await listImports(sources))
      .filter(({ specifier }) => specifier.startsWith('.'))
      .filter(({ file, specifier }) => {
        const target = layerOf(relative(root, resolve(root, dirname(file), specifier)));
        return layers.indexOf(target) < layers.indexOf(layerOf(file));
      });
    assert.deepEqual(wrong, []);
  });

  it('name the extension in relative imports, because Node resolves none', async () => {
    const wrong = (await listImports(await listSources())).filter(
      ({ specifier }) => specifier.startsWith('.') && !/\.(ts|js|json)$/.test(specifier),
    );
    assert.deepEqual(wrong, []);
  });

  it('import Node modules with node: and packages that package.json has', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const run = new Set(Object.keys(manifest.dependencies));
    const develop = new Set([...run, ...Object.keys(manifest.devDependencies), manifest.name]);
    const wrong = (await listImports(await listSources()))
      .filter(({ specifier }) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
      .filter(({ file, specifier }) => !(layerOf(file) === 'test' ? develop : run).has(packageOf(specifier)));
    assert.deepEqual(wrong, []);
  });

  it('import every dependency, but those that docs/dependencies.md says are there for another reason', async () => {
    const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const page = await readFile(join(root, 'docs/dependencies.md'), 'utf8');
    const excused = [...page.matchAll(/^\| `([^`]+)` \| Not imported: /gm)].map((match) => match[1] ?? '');
    const shipped = (await listSources()).filter((file) => layerOf(file) !== 'test');
    const imported = new Set((await listImports(shipped)).map(({ specifier }) => packageOf(specifier)));
    assert.deepEqual(
      Object.keys(dependencies).filter((name) => !imported.has(name)),
      Object.keys(dependencies).filter((name) => excused.includes(name)),
    );
  });

  it('have names of things: kebab-case, and no drawer for everything', async () => {
    const wrong = (await listSources()).filter((file) => {
      const name = (file.split('/').at(-1) ?? '').replace(/(\.test|\.d)?\.ts$/, '');
      return !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || /^(utils?|helpers?|common|misc|shared|lib)$/.test(name);
    });
    assert.deepEqual(wrong, []);
  });

  it('have one index, the package itself', async () => {
    const indices = (await listSources()).filter((file) => /(^|\/)index\.ts$/.test(file));
    assert.deepEqual(
      indices.filter((file) => file !== 'gateway/index.ts'),
      [],
    );
  });

  it('leave no test focused, and none switched off without a reason', async () => {
    const tests = (await listSources()).filter((file) => file.endsWith('.test.ts'));
    const focused = /\b(it|test|describe)\.(only|skip|todo)\(|\bskip: true\b/;
    const texts = await Promise.all(
      tests.map(async (file) => ({ file, text: await readFile(join(root, file), 'utf8') })),
    );
    assert.deepEqual(
      texts.filter(({ text }) => focused.test(text)).map(({ file }) => file),
      [],
    );
  });
});

describe('the repository', () => {
  const folders = [...layers, 'test', 'docs', '.ci'].filter((folder) => existsSync(join(root, folder)));

  it("names no directory of anybody's machine, and carries no marks of a merge", async () => {
    const files = (await Promise.all(folders.map(listFiles))).flat();
    const top = (await readdir(root, { withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      // In a second worktree `.git` is a file, and it does name a directory.
      .filter((name) => name !== '.git');
    const unwanted = new RegExp(['/(home|root|Users|work)/[a-z]', '^(<{7}|>{7}) '].join('|'), 'm');
    const wrong: string[] = [];
    for (const file of [...files, ...top]) {
      if (unwanted.test(await readFile(join(root, file), 'utf8'))) wrong.push(file);
    }
    assert.deepEqual(wrong, []);
  });

  it('locks its packages without naming a registry', async () => {
    const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
    const wrong = Object.entries<{ resolved?: string; integrity?: string; link?: boolean }>(lock.packages).filter(
      ([path, entry]) => path !== '' && (entry.resolved !== undefined || entry.integrity === undefined),
    );
    assert.deepEqual(wrong, []);
  });
});
