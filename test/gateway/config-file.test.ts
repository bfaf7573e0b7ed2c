import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { applyOverrides, listFlagOverrides } from '../../gateway/config-environment.ts';
import { findConfigFile, type LoadConfigOptions, loadConfig } from '../../gateway/config-file.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { GatewayError } from '../../policies/errors.ts';

/** A directory with files, gone after the test. */
async function createDirectory(t: TestContext, files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-config-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  return directory;
}

async function load(t: TestContext, yaml: string, options: Partial<LoadConfigOptions> = {}): Promise<GatewayConfig> {
  const directory = await createDirectory(t, { 'selvage.yaml': yaml });
  return (await loadConfig({ directory, environment: {}, ...options })).config;
}

async function refusal(t: TestContext, yaml: string, options: Partial<LoadConfigOptions> = {}): Promise<string[]> {
  try {
    await load(t, yaml, options);
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    return (error.reasons ?? []).map((reason) => reason.message);
  }
  return [];
}

describe('the configuration file', () => {
  it('need not exist', async (t) => {
    const directory = await createDirectory(t, {});
    assert.deepEqual(await loadConfig({ directory, environment: {} }), {
      config: {},
      file: undefined,
      hash: undefined,
    });
  });

  it('is found by its usual names, TypeScript first', async (t) => {
    const directory = await createDirectory(t, { 'selvage.json': '{}', 'selvage.yaml': '', 'selvage.config.ts': '' });
    const options = { directory, environment: {} };
    assert.equal(await findConfigFile(options), join(directory, 'selvage.config.ts'));
    await rm(join(directory, 'selvage.config.ts'));
    assert.equal(await findConfigFile(options), join(directory, 'selvage.yaml'));
    await rm(join(directory, 'selvage.yaml'));
    assert.equal(await findConfigFile(options), join(directory, 'selvage.json'));
  });

  it('is the one that the flag names, else the one of the environment', async (t) => {
    const directory = await createDirectory(t, { 'a.yaml': '', 'b.yaml': '', 'selvage.yaml': '' });
    const environment = { SELVAGE_CONFIG: 'a.yaml' };
    assert.equal(await findConfigFile({ directory, environment }), join(directory, 'a.yaml'));
    assert.equal(await findConfigFile({ directory, environment, file: 'b.yaml' }), join(directory, 'b.yaml'));
  });

  it('must exist when it is named', async (t) => {
    const directory = await createDirectory(t, { 'selvage.yaml': '' });
    await assert.rejects(loadConfig({ directory, environment: {}, file: 'other.yaml' }), /other\.yaml does not exist/);
  });

  it('may be TypeScript, and is read again when its content changed', async (t) => {
    const directory = await createDirectory(t, {
      'selvage.config.mts': 'const port: number = 4100;\nexport default { listen: { port } };\n',
    });
    const options = { directory, environment: {} };
    assert.equal((await loadConfig(options)).config.listen?.port, 4100);
    await writeFile(join(directory, 'selvage.config.mts'), 'export default { listen: { port: 4200 } };\n');
    assert.equal((await loadConfig(options)).config.listen?.port, 4200);
  });

  it('may import defineConfig where no package can be found', async (t) => {
    const directory = await createDirectory(t, {
      'selvage.config.mts':
        "import { defineConfig } from 'selvage';\nexport default defineConfig({ store: 'memory' });\n",
    });
    assert.deepEqual((await loadConfig({ directory, environment: {} })).config, { store: 'memory' });
  });

  it('says what is wrong with a module', async (t) => {
    const directory = await createDirectory(t, {
      'a.mjs': 'export const config = {};',
      'b.mjs': 'throw new Error("no luck");',
      'c.mjs': 'export default { lissten: {} };',
    });
    const reasons = async (file: string): Promise<string> => {
      try {
        await loadConfig({ directory, environment: {}, file });
      } catch (error) {
        if (error instanceof GatewayError) return (error.reasons ?? []).map((reason) => reason.message).join();
      }
      return '';
    };
    assert.equal(await reasons('a.mjs'), 'a.mjs: there is no default export');
    assert.equal(await reasons('b.mjs'), 'b.mjs: cannot be loaded: no luck');
    assert.equal(await reasons('c.mjs'), 'c.mjs: lissten: unknown key; did you mean `listen`?');
  });

  it('may be JSON, with tabs and with places for mistakes', async (t) => {
    const directory = await createDirectory(t, { 'selvage.json': '{\n\t"listen": {\n\t\t"port": "x"\n\t}\n}\n' });
    await assert.rejects(loadConfig({ directory, environment: {} }), (error) => {
      assert.ok(error instanceof GatewayError);
      assert.match(error.reasons?.[0]?.message ?? '', /^selvage\.json:3:11: listen\.port: /);
      return true;
    });
  });

  it('may be empty', async (t) => {
    assert.deepEqual(await load(t, ''), {});
    assert.deepEqual(await load(t, '# nothing yet\n'), {});
  });
});

describe('places of mistakes in YAML', () => {
  it('are those of the value, of an unknown key, and of the object that lacks a key', async (t) => {
    const yaml = [
      'listen: { port: eighty }',
      'lissten:',
      '  port: 1',
      'services:',
      '  orders:',
      '    routes:',
      '      - match: {}',
      '        timeout: 5',
      '',
    ].join('\n');
    assert.deepEqual(
      (await refusal(t, yaml)).map((message) => message.split(': ').slice(0, 2).join(' ')),
      [
        'selvage.yaml:2:1 lissten',
        'selvage.yaml:1:17 listen.port',
        'selvage.yaml:7:16 services.orders.routes[0].match',
        'selvage.yaml:8:18 services.orders.routes[0].timeout',
      ],
    );
  });

  it('are told for syntax errors, once a line', async (t) => {
    const messages = await refusal(t, 'listen: { port: 1\nadmin: [\n');
    assert.ok(messages.length >= 1);
    assert.match(messages[0] ?? '', /^selvage\.yaml:2:/);
  });

  it('are told for a key that is there twice', async (t) => {
    assert.deepEqual(await refusal(t, 'store: memory\nstore: memory\n'), [
      'selvage.yaml:2:1: this key was there before',
    ]);
  });

  it('are told for tags that mean nothing here', async (t) => {
    assert.match((await refusal(t, 'store: !secret memory\n'))[0] ?? '', /^selvage\.yaml:1:8: Unresolved tag/);
  });
});

describe('YAML aliases', () => {
  it('repeat a value', async (t) => {
    const config = await load(t, 'services:\n  a: { timeout: &t 2s }\n  b: { timeout: *t }\n');
    assert.equal(config.services?.['b']?.timeout, '2s');
  });

  it('cannot be made a bomb of', async (t) => {
    const levels = 'abcdefghi'.split('');
    const bomb = levels.map((name, index) => {
      const before = levels[index - 1];
      return `${name}: &${name} [${Array(9)
        .fill(before === undefined ? 'x' : `*${before}`)
        .join(', ')}]`;
    });
    assert.match((await refusal(t, bomb.join('\n'))).join(), /Excessive alias count/);
  });

  it('that lead nowhere are a mistake', async (t) => {
    assert.match((await refusal(t, 'store: *nowhere\n')).join(), /Unresolved alias/);
  });
});

describe('variables in YAML', () => {
  it('stand for texts, numbers and booleans', async (t) => {
    const yaml = [
      'listen:',
      '  port: ${PORT_X}',
      '  host: "${HOST_X}"',
      'graphql:',
      '  introspection: ${INTROSPECTION:-false}',
      'redis: redis://${REDIS_HOST:-localhost}:${REDIS_PORT:-6379}',
      '',
    ].join('\n');
    const environment = { PORT_X: '4123', HOST_X: '127.0.0.1', REDIS_PORT: '' };
    assert.deepEqual(await load(t, yaml, { environment }), {
      listen: { port: 4123, host: '127.0.0.1' },
      graphql: { introspection: false },
      redis: 'redis://localhost:6379',
    });
  });

  it('stay text in quotes, and where a number would change them', async (t) => {
    const instance = (version: string) =>
      `services: { a: { instances: [ { url: "http://a", version: ${version} } ] } }`;
    const environment = { V: '1.10', N: '7' };
    assert.equal((await load(t, instance('"${N}"'), { environment })).services?.['a']?.instances?.[0]?.version, '7');
    const block = 'services:\n  a:\n    instances:\n      - url: http://a\n        version: ${V}\n';
    assert.equal((await load(t, block, { environment })).services?.['a']?.instances?.[0]?.version, '1.10');
  });

  it('never become structure', async (t) => {
    const environment = { STORE: 'memory\nadmin: { host: 0.0.0.0 }' };
    const messages = await refusal(t, 'store: ${STORE}\n', { environment });
    assert.equal(messages.length, 1);
    assert.match(messages[0] ?? '', /^selvage\.yaml:1:8: store: expected/);
  });

  it('that are missing are mistakes, all of them, with their place and only once', async (t) => {
    assert.deepEqual(
      await refusal(t, 'listen:\n  port: ${A}\nstore: memory\nredis: "redis://${B}:${C}"\nlissten: 1\n'),
      [
        'selvage.yaml:2:9: listen.port: the environment variable A is not set and has no default',
        'selvage.yaml:4:8: redis: the environment variable B is not set and has no default',
        'selvage.yaml:4:8: redis: the environment variable C is not set and has no default',
        'selvage.yaml:5:1: lissten: unknown key; did you mean `listen`?',
      ],
    );
  });

  it('can be written without being meant', async (t) => {
    const config = await load(t, 'services:\n  a:\n    health: { path: "/$${HOME}" }\n', {
      environment: { HOME: 'x' },
    });
    assert.equal(config.services?.['a']?.health?.path, '/${HOME}');
  });

  it('have names', async (t) => {
    assert.match((await refusal(t, 'store: ${1X}\n'))[0] ?? '', /\$\{1X\} is not a variable/);
  });

  it('between braces bring a hint, because YAML cannot read them there', async (t) => {
    assert.match((await refusal(t, 'listen: { port: ${PORT_X} }\n'))[0] ?? '', /on a line of its own$/);
  });
});

describe('environment and flags', () => {
  it('go before the file, and flags before the environment', async (t) => {
    const config = await load(t, 'listen: { port: 1, host: 127.0.0.1 }\nstore: file:x\n', {
      environment: { PORT: '2', ADMIN_PORT: '3', SELVAGE_STORE: 'memory', LOG_LEVEL: 'warn', HOST: '' },
      overrides: listFlagOverrides({ port: '4' }),
    });
    assert.deepEqual(config, {
      listen: { port: 4, host: '127.0.0.1' },
      admin: { port: 3 },
      store: 'memory',
      logging: { level: 'warn' },
    });
  });

  it('are named by their mistakes', async (t) => {
    const messages = await refusal(t, '', {
      environment: { PORT: 'http', ADMIN_HOST: '0.0.0.0' },
      overrides: listFlagOverrides({ 'log-level': 'loud' }),
    });
    assert.deepEqual(messages, [
      'environment variable PORT: listen.port: expected a whole number from 0 to 65535, got "http"',
      '--log-level: logging.level: expected one of "debug", "info", "warn", "error", "silent", got "loud"',
    ]);
    assert.match((await refusal(t, '', { environment: { ADMIN_HOST: '0.0.0.0' } }))[0] ?? '', /variable ADMIN_HOST/);
  });

  it('leave what they are laid over as it was, and a wrong kind to validation', () => {
    const value = { listen: { port: 1 }, admin: [] };
    const overrides = [
      { path: ['listen', 'port'], value: 2, source: 'test' },
      { path: ['admin', 'port'], value: 3, source: 'test' },
    ];
    assert.deepEqual(applyOverrides(value, overrides, () => undefined).value, { listen: { port: 2 }, admin: [] });
    assert.deepEqual(value, { listen: { port: 1 }, admin: [] });
  });
});

describe('documents that the configuration names', () => {
  it('are put in its place, and one that cannot be read is a mistake at its place', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'selvage-documents-'));
    t.after(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'order.yaml'), 'type: object\nrequired: [id]\n');
    const write = (file: string) =>
      writeFile(
        join(directory, 'selvage.yaml'),
        `services:\n  a:\n    routes:\n      - match: { path: /a }\n        validate: { body: "file:${file}" }\n    instances: [{ url: http://127.0.0.1:1 }]\n`,
      );
    await write('order.yaml');
    const { config } = await loadConfig({ directory, environment: {} });
    assert.deepEqual(config.services?.['a']?.routes?.[0]?.validate?.body, { type: 'object', required: ['id'] });
    const openapi = { openapi: '3.1.0', paths: {} };
    await writeFile(join(directory, 'api.json'), JSON.stringify(openapi));
    for (const how of ['file:api.json', '{ document: "file:api.json", unknown: pass }']) {
      await writeFile(
        join(directory, 'selvage.yaml'),
        `services:\n  a:\n    routes: [{ match: { path: /a } }]\n    validate: { openapi: ${how} }\n    instances: [{ url: http://127.0.0.1:1 }]\n`,
      );
      const { config: named } = await loadConfig({ directory, environment: {} });
      assert.deepEqual(named.services?.['a']?.validate?.openapi?.document, openapi);
    }
    await write('none.yaml');
    await assert.rejects(loadConfig({ directory, environment: {} }), (error: GatewayError) => {
      assert.match(JSON.stringify(error.reasons), /the file none\.yaml cannot be read/);
      return true;
    });
  });
});
