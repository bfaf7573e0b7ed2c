import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../gateway/bin/', import.meta.url));
/** Makes a process believe that its Node is too old. */
const oldNode = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })`;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function collect(child: ChildProcess): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** A directory like that of the package: the real bin/, and a main that says what runs it. */
async function createPackage(t: TestContext, { withNode }: { withNode: boolean }): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'selvage-bin-')));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await cp(bin, join(directory, 'gateway/bin'), { recursive: true });
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  await mkdir(join(directory, 'dist/gateway'), { recursive: true });
  await writeFile(
    join(directory, 'dist/gateway/main.js'),
    `process.on('SIGTERM', () => { console.log('terminated'); process.exit(7); });
     console.log(JSON.stringify({ version: process.versions.node, arguments: process.argv.slice(2) }));
     if (process.argv[2] === 'wait') setInterval(() => {}, 1000); else process.exit(Number(process.argv[2] ?? 0));`,
  );
  if (withNode) {
    await mkdir(join(directory, 'node_modules/node/bin'), { recursive: true });
    await writeFile(join(directory, 'node_modules/node/package.json'), '{ "name": "node" }');
    await symlink(process.execPath, join(directory, 'node_modules/node/bin/node'));
  }
  return directory;
}

function start(directory: string, flags: string[], argv: string[]): ChildProcess {
  return spawn(process.execPath, [...flags, join(directory, 'gateway/bin/selvage.js'), ...argv]);
}

describe('bin/selvage.js', () => {
  it('runs the build in the same process where Node is new enough', async (t) => {
    const directory = await createPackage(t, { withNode: false });
    const { code, stdout } = await collect(start(directory, [], ['3', '--port', '1']));
    assert.equal(code, 3);
    assert.deepEqual(JSON.parse(stdout), { version: process.versions.node, arguments: ['3', '--port', '1'] });
  });

  it('prefers sources to a build, which may be old', async (t) => {
    const directory = await createPackage(t, { withNode: false });
    await writeFile(join(directory, 'gateway/main.ts'), "const text: string = 'sources';\nconsole.log(text);\n");
    assert.equal((await collect(start(directory, [], []))).stdout, 'sources\n');
  });

  it('hands an old Node over to the one that the npm package `node` brings', async (t) => {
    const directory = await createPackage(t, { withNode: true });
    const { code, stdout } = await collect(start(directory, ['--import', oldNode], ['5']));
    assert.equal(code, 5);
    assert.deepEqual(JSON.parse(stdout), { version: process.versions.node, arguments: ['5'] });
  });

  it('passes signals on, and the exit code back', async (t) => {
    const directory = await createPackage(t, { withNode: true });
    const child = start(directory, ['--import', oldNode], ['wait']);
    const outcome = collect(child);
    assert.ok(child.stdout);
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    const { code, stdout } = await outcome;
    assert.equal(code, 7);
    assert.match(stdout, /terminated\n$/);
  });

  it('says plainly what to do when there is no Node to hand over to', async (t) => {
    const directory = await createPackage(t, { withNode: false });
    const { code, stdout, stderr } = await collect(start(directory, ['--import', oldNode], []));
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^Selvage needs Node 24 or later, and this is Node 20\.1\.0\.\n/);
    assert.doesNotMatch(stderr, /at .*:\d+/);
  });
});

describe('bin/require-node.js', () => {
  it('stops the npm scripts with the same words, and only then', async () => {
    const script = join(bin, 'require-node.js');
    const old = await collect(spawn(process.execPath, ['--import', oldNode, script]));
    assert.equal(old.code, 1);
    assert.match(old.stderr, /^Selvage needs Node 24/);
    assert.deepEqual(await collect(spawn(process.execPath, [script])), { code: 0, stdout: '', stderr: '' });
  });
});
