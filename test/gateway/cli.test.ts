import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Value } from 'typebox/value';
import { runCli } from '../../gateway/cli.ts';
import { type RunnableGateway, runGateway } from '../../gateway/cli-run.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** A process that only remembers. */
class FakeProcess extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
    this.emit('exited');
  }
}

async function createDirectory(t: TestContext, files: Record<string, string> = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-cli-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  return directory;
}

async function run(
  t: TestContext,
  argv: string[],
  {
    files = {},
    stdin = '',
    environment = {},
  }: { files?: Record<string, string>; stdin?: string; environment?: Record<string, string> } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' };
  const code = await runCli(argv, {
    directory: await createDirectory(t, files),
    environment,
    stdin: chunks(stdin),
    stdout: (text) => {
      output.stdout += text;
    },
    stderr: (text) => {
      output.stderr += text;
    },
    process: new FakeProcess(),
  });
  return { code, ...output };
}

describe('selvage', () => {
  it('tells its version', async (t) => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    assert.deepEqual(await run(t, ['--version']), { code: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  it('tells how it is used', async (t) => {
    const { code, stdout } = await run(t, ['--help']);
    assert.equal(code, 0);
    for (const word of ['check', 'demo', 'print-config-schema', 'hash-token', '--config', 'REDIS_URL', 'SIGHUP'])
      assert.ok(stdout.includes(word), word);
  });

  it('refuses what it does not know, with one line', async (t) => {
    for (const [argv, message] of [
      [['sing'], /^There is no command 'sing'\. See selvage --help\n$/],
      [['toString'], /^There is no command 'toString'/],
      [['--loud'], /^Unknown option '--loud'\. See selvage --help\n$/],
      [['check', 'file.yaml'], /^Unexpected argument 'file\.yaml'/],
      [['--port'], /^Option '--port <value>' argument missing\. See/],
      [['check', '--generate'], /belongs to hash-token/],
    ] as const) {
      const { code, stderr } = await run(t, [...argv]);
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
  });
});

describe('selvage check', () => {
  it('loads plugins and checks their options, and sets none up', async (t) => {
    const plugin = `export default {
      name: 'a',
      optionsSchema: { type: 'object', required: ['level'], properties: { level: { type: 'string' } } },
      setup() { throw new Error('set up'); },
    };`;
    const files = { 'selvage.yaml': 'plugins: [{ module: ./a.mjs }]\n', 'a.mjs': plugin };
    const { code, stderr } = await run(t, ['check'], { files });
    assert.equal(code, 1);
    assert.match(stderr, /plugins\[0\]: options.*level/);
    const good = { ...files, 'selvage.yaml': 'plugins: [{ module: ./a.mjs, options: { level: high } }]\n' };
    assert.equal((await run(t, ['check'], { files: good })).code, 0);
  });

  it('says that a configuration is valid', async (t) => {
    const { code, stdout } = await run(t, ['check'], { files: { 'selvage.yaml': 'store: memory\n' } });
    assert.equal(code, 0);
    assert.match(stdout, /selvage\.yaml: the configuration is valid\n$/);
  });

  it('prints every mistake on a line and fails', async (t) => {
    const { code, stdout, stderr } = await run(t, ['check', '--config', 'gateway.yaml'], {
      files: { 'gateway.yaml': 'store: disk\nlissten: {}\n' },
    });
    assert.deepEqual([code, stdout], [1, '']);
    assert.equal(
      stderr,
      [
        'The configuration has 2 mistakes:',
        '  gateway.yaml:2:1: lissten: unknown key; did you mean `listen`?',
        '  gateway.yaml:1:8: store: expected `memory`, `file:DIR` or `redis://HOST:PORT`, or an object, got "disk"',
        '',
      ].join('\n'),
    );
  });

  it('looks at environment and flags, too', async (t) => {
    const { code, stderr } = await run(t, ['check', '--port', '99999'], { environment: { ADMIN_PORT: 'x' } });
    assert.equal(code, 1);
    assert.match(stderr, /--port: listen\.port/);
    assert.match(stderr, /environment variable ADMIN_PORT: admin\.port/);
  });
});

describe('selvage print-config-schema', () => {
  it('prints a JSON Schema that other tools can use', async (t) => {
    const schema = JSON.parse((await run(t, ['print-config-schema'])).stdout);
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.equal(Value.Check(schema, { listen: { port: 4000 } }), true);
    assert.equal(Value.Check(schema, { listen: { port: 'x' } }), false);
  });
});

describe('selvage hash-token', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

  it('hashes what it reads, without the end of the line', async (t) => {
    assert.equal((await run(t, ['hash-token'], { stdin: 'secret\n' })).stdout, `${sha256('secret')}\n`);
  });

  it('refuses to hash nothing', async (t) => {
    assert.equal((await run(t, ['hash-token'], { stdin: '\n' })).code, 2);
  });

  it('makes a token that nobody can guess', async (t) => {
    const { stdout } = await run(t, ['hash-token', '--generate']);
    const [, token = '', hash] = /^token: {2}(\S+)\nsha256: (\S+)\n$/.exec(stdout) ?? [];
    assert.match(token, /^selvage_[\w-]{43}$/);
    assert.equal(hash, sha256(token));
  });
});

describe('the life of the process', () => {
  /** A gateway that only remembers, and a process to signal it with. */
  async function createLife(t: TestContext, yaml = 'store: memory\n') {
    const directory = await createDirectory(t, { 'selvage.yaml': yaml });
    const events = new FakeProcess();
    const started = Promise.withResolvers<GatewayConfig>();
    const stopped = Promise.withResolvers<void>();
    const lines: { level: string; msg: string; detail?: string }[] = [];
    const reloads: GatewayConfig[] = [];
    const told = new EventEmitter();
    let nowMs = 0;
    const createGateway = (config: GatewayConfig): RunnableGateway => ({
      start: async () => started.resolve(config),
      stop: () => stopped.promise,
      reload: (next) => {
        reloads.push(next);
      },
    });
    const code = runGateway({
      config: { directory, environment: {} },
      createGateway,
      process: events,
      write: (line) => {
        lines.push(JSON.parse(line));
        told.emit('line');
      },
      now: () => nowMs,
    });
    await started.promise;
    const advance = (ms: number): void => {
      nowMs += ms;
    };
    return { directory, events, stopped, lines, reloads, told, code, advance };
  }

  it('drains at SIGTERM, then ends with 0 and without listeners', async (t) => {
    const { events, stopped, code } = await createLife(t);
    events.emit('SIGTERM');
    stopped.resolve();
    assert.equal(await code, 0);
    assert.deepEqual(events.exits, []);
    assert.equal(events.listenerCount('SIGTERM'), 0);
  });

  it('ends at once with 130 at the second signal, but not at an echo of the first', async (t) => {
    const { events, stopped, code, advance } = await createLife(t);
    events.emit('SIGINT');
    advance(10);
    events.emit('SIGINT');
    assert.deepEqual(events.exits, []);
    advance(1_000);
    events.emit('SIGINT');
    assert.deepEqual(events.exits, [130]);
    stopped.resolve();
    await code;
  });

  it('loads the configuration again at SIGHUP, and refuses a bad one', async (t) => {
    const { directory, events, stopped, code, reloads, lines, told } = await createLife(t);
    events.emit('SIGHUP');
    await once(told, 'line');
    assert.deepEqual(reloads, [{ store: 'memory' }]);
    await writeFile(join(directory, 'selvage.yaml'), 'stor: memory\n');
    events.emit('SIGHUP');
    await once(told, 'line');
    assert.equal(reloads.length, 1);
    const last = lines.at(-1);
    assert.equal(last?.level, 'error');
    assert.match(last?.detail ?? '', /stor: unknown key; did you mean `store`\?/);
    // As it is for a moment while it is written in place.
    await writeFile(join(directory, 'selvage.yaml'), '');
    events.emit('SIGHUP');
    await once(told, 'line');
    assert.equal(reloads.length, 1);
    assert.match(lines.at(-1)?.detail ?? '', /is empty/);
    events.emit('SIGTERM');
    stopped.resolve();
    await code;
  });

  it('lives on after a rejection that nobody handled, and dies of an exception', async (t) => {
    const { events, stopped, code, lines } = await createLife(t);
    events.emit('unhandledRejection', new Error('forgotten'));
    assert.deepEqual([lines.at(-1)?.level, events.exits], ['error', []]);
    events.emit('uncaughtException', new Error('unexpected'));
    assert.deepEqual([lines.at(-1)?.level, events.exits], ['fatal', [1]]);
    events.emit('SIGTERM');
    stopped.resolve();
    await code;
  });

  it('does not begin with a bad configuration', async (t) => {
    const directory = await createDirectory(t, { 'selvage.yaml': 'stor: memory\n' });
    const createGateway = (): RunnableGateway => assert.fail('no gateway should be made');
    const config = { directory, environment: {} };
    const process = new FakeProcess();
    await assert.rejects(runGateway({ config, createGateway, process, write: () => {} }), /has a mistake/);
    assert.equal(process.listenerCount('SIGTERM'), 0);
  });

  it('can be stopped before the start is through', async (t) => {
    const directory = await createDirectory(t);
    const events = new FakeProcess();
    const begun = Promise.withResolvers<void>();
    const createGateway = (): RunnableGateway => ({
      start: () => {
        begun.resolve();
        return new Promise(() => {});
      },
      stop: async () => {},
      reload: () => {},
    });
    const config = { directory, environment: {} };
    const code = runGateway({ config, createGateway, process: events, write: () => {} });
    await begun.promise;
    events.emit('SIGTERM');
    assert.equal(await code, 0);
  });

  it('ends well when it is stopped while it waits for something at the start', async (t) => {
    const directory = await createDirectory(t);
    const events = new FakeProcess();
    const begun = Promise.withResolvers<void>();
    const waiting = Promise.withResolvers<never>();
    const createGateway = (): RunnableGateway => ({
      start: () => {
        begun.resolve();
        return waiting.promise;
      },
      async stop() {
        waiting.reject(new Error('aborted'));
      },
      reload: () => {},
    });
    const config = { directory, environment: {} };
    const code = runGateway({ config, createGateway, process: events, write: () => {} });
    await begun.promise;
    events.emit('SIGTERM');
    assert.equal(await code, 0);
  });

  it('tells why a gateway cannot start, and leaves nothing behind', async (t) => {
    const directory = await createDirectory(t);
    const process = new FakeProcess();
    const createGateway = (): RunnableGateway => ({
      start: () => Promise.reject(new Error('listen EADDRINUSE')),
      stop: async () => {},
      reload: () => {},
    });
    const config = { directory, environment: {} };
    await assert.rejects(runGateway({ config, createGateway, process, write: () => {} }), /EADDRINUSE/);
    assert.deepEqual(process.eventNames(), []);
  });
});
