/** The package as others get it: packed, installed into an empty folder, and used. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const patienceMs = 300_000;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** npm hands its own settings down to what it runs; of those the inner npm must not know. */
function buildEnvironment(): NodeJS.ProcessEnv {
  const kept = /^npm_config_(registry|cache|userconfig)$/i;
  const own =
    /^(HOST|PORT|ADMIN_HOST|ADMIN_PORT|REDIS_URL|LOG_LEVEL|NODE_ENV|NODE_OPTIONS|NODE_TEST_CONTEXT|SELVAGE_\w+)$/;
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !own.test(name) && (!/^npm_/i.test(name) || kept.test(name))),
  );
}

async function run(directory: string, command: string, argv: string[]): Promise<Outcome> {
  return await new Promise((resolve) => {
    const options = { cwd: directory, env: buildEnvironment(), timeout: patienceMs, maxBuffer: 64 * 1024 * 1024 };
    execFile(command, argv, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Why the package cannot be installed on this machine, or undefined. A registry that answers with a refusal is no such reason. */
function explainMissingNetwork({ code, stderr }: Outcome): string | undefined {
  return code === 0
    ? undefined
    : /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOTCACHED)\b/.exec(stderr)?.[0];
}

/** Pieces that this test needs and that may not be there yet. */
function explainUnfinished(): string | undefined {
  if (!existsSync(join(root, 'gateway/gateway.ts'))) return 'there is no gateway/gateway.ts yet';
  return undefined;
}

/**
 * Overrides hold in this repository only, not for those who install the package. Without this dependency npm gives them
 * a @graphql-tools/wrap whose own dependencies cannot be installed.
 */
function explainUninstallable(): string | false {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return '@graphql-tools/wrap' in dependencies
    ? false
    : 'nobody can install the package before package.json has the dependency "@graphql-tools/wrap": "11.2.0"';
}

describe('the package', { timeout: patienceMs, skip: explainUninstallable() }, () => {
  let directory = '';
  let offline: string | undefined;
  const inPackage = (name: string) => join(directory, 'node_modules/selvage', name);
  const selvage = (...argv: string[]) => run(directory, join(directory, 'node_modules/.bin/selvage'), argv);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'selvage-package-'));
    const packed = await run(root, 'npm', ['pack', '--json', '--loglevel=error', '--pack-destination', directory]);
    assert.equal(packed.code, 0, packed.stderr);
    await writeFile(join(directory, 'package.json'), '{ "private": true, "type": "module" }');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const installed = await run(directory, 'npm', [
      'install',
      `./selvage-${version}.tgz`,
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ]);
    offline = explainMissingNetwork(installed);
    if (offline !== undefined) return;
    assert.equal(installed.code, 0, `The package cannot be installed by others:\n${installed.stderr}`);
  });

  after(() => rm(directory, { recursive: true, force: true }));

  /** A test of the installed package; skipped, and saying so, without a registry to install from. */
  function installedIt(title: string, test: () => Promise<void>): void {
    it(title, async (t) => (offline === undefined ? await test() : t.skip(`no registry: ${offline}`)));
  }

  installedIt('carries the build, and neither sources nor tests', async () => {
    for (const name of ['dist/gateway/main.js', 'dist/gateway/config.d.ts', 'gateway/bin/selvage.js', 'LICENSE'])
      assert.ok(existsSync(inPackage(name)), name);
    for (const name of ['gateway/main.ts', 'gateway/bin/build.js', 'test', 'dist/test', 'tsconfig.json'])
      assert.ok(!existsSync(inPackage(name)), name);
  });

  installedIt('has its files where package.json says', async () => {
    const manifest = JSON.parse(await readFile(inPackage('package.json'), 'utf8'));
    const targets = Object.values<string | Record<string, string>>(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    const missing = [...targets, manifest.bin.selvage].filter((target) => !existsSync(inPackage(target)));
    assert.deepEqual(explainUnfinished() === undefined ? missing : [], []);
  });

  installedIt('runs its commands', async () => {
    const { version } = JSON.parse(await readFile(inPackage('package.json'), 'utf8'));
    assert.equal((await selvage('--version')).stdout, `${version}\n`);
    await writeFile(join(directory, 'broken.yaml'), 'stor: memory\n');
    const { code, stderr } = await selvage('check', '--config', 'broken.yaml');
    assert.equal(code, 1);
    assert.match(stderr, /broken\.yaml:1:1: stor: unknown key; did you mean `store`\?/);
  });

  it('types a configuration, and reads it', async (t) => {
    const reason = offline ?? explainUnfinished();
    if (reason !== undefined) return t.skip(reason);
    await writeFile(
      join(directory, 'selvage.config.ts'),
      `import { defineConfig } from 'selvage';
       export default defineConfig({ store: 'memory', listen: { port: 0 }, admin: { port: 0 } });
       // @ts-expect-error a port is a number
       defineConfig({ listen: { port: '4000' } });
       // @ts-expect-error there is no such key
       defineConfig({ lissten: {} });`,
    );
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    const strict = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2024'];
    const argv = [compiler, ...strict, ...types, 'selvage.config.ts'];
    const compiled = await run(directory, process.execPath, argv);
    assert.equal(compiled.code, 0, compiled.stdout);
    const checked = await selvage('check');
    assert.equal(checked.code, 0, checked.stderr);
  });

  it('starts, answers, and stops when it is told to', async (t) => {
    const reason = offline ?? explainUnfinished();
    if (reason !== undefined) return t.skip(reason);
    const flags = ['--port', '0', '--admin-port', '0', '--host', '127.0.0.1'];
    const child = spawn(join(directory, 'node_modules/.bin/selvage'), flags, {
      cwd: directory,
      env: { ...buildEnvironment(), SELVAGE_STORE: 'memory' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.after(() => child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    let complaints = '';
    child.stderr.on('data', (chunk) => {
      complaints += chunk;
    });
    const url = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).on('line', (line) => {
        const entry: unknown = JSON.parse(line);
        if (typeof entry === 'object' && entry !== null && 'url' in entry) resolve(String(entry.url));
      });
      exited.then(([code]) => reject(new Error(`ended with ${code} before it listened: ${complaints}`)));
    });
    assert.equal((await fetch(new URL('/health/live', url))).status, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  });
});
