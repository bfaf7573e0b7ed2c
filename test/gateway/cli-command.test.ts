import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { runCli } from '../../gateway/cli.ts';
import { startAdminStandIn } from '../support/demo.ts';

// What the commands say before they ask anybody. What they do stands in test/e2e/command-line.test.ts.

async function run(line: string, admin: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' };
  const code = await runCli(line.split(' '), {
    directory: import.meta.dirname,
    environment: { SELVAGE_ADMIN: admin },
    stdin: (async function* () {})(),
    stdout: (text) => {
      output.stdout += text;
    },
    stderr: (text) => {
      output.stderr += text;
    },
    process: Object.assign(new EventEmitter(), { exit: () => {} }),
  });
  return { code, ...output };
}

test('exit code 2 tells of wrong usage, with one line and before anybody is asked', async (t) => {
  const admin = await startAdminStandIn(t);
  for (const [line, message] of [
    ['register', /^NAME is missing\. See selvage register --help\n$/],
    ['register a', /^--url is missing/],
    ['register a --url nowhere', /^--url must be a URL/],
    ['register a --url http://h:1 --lease soon', /^--lease must be a whole number/],
    ['register a --url http://h:1 --sdl missing.graphql', /missing\.graphql: there is no such file/],
    ['register a --url http://h:1 --watch', /^--watch needs a file/],
    ['drain a', /^ID is missing/],
    ['services a b', /^Unexpected argument 'b'/],
    ['services --loud', /^Unknown option '--loud'\. See selvage services --help\n$/],
    ['graph picture', /not 'picture'/],
    ['rollback back', /not 'back'/],
    ['--port 1 services', /^'services' must stand before its flags/],
    ['services --admin ftp://x', /^--admin must be a URL/],
    ['services --admin http://user:hidden@127.0.0.1', /must hold no credentials/],
    ['services --admin http://127.0.0.1:1,http://127.0.0.1:2', /^Several gateways/],
    ['services --token hi\ndden', /^The token holds characters/],
  ] as const) {
    const { code, stderr } = await run(line, admin.url);
    assert.equal(code, 2, line);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /dden/);
  }
  assert.deepEqual(admin.lines, []);
});

test('every command explains itself', async () => {
  for (const name of ['register', 'deregister', 'drain', 'services', 'graph', 'history', 'rollback']) {
    const { code, stdout } = await run(`${name} --help`, 'http://127.0.0.1:1');
    assert.equal(code, 0);
    for (const part of [`selvage ${name}`, '--admin', '--json', 'Exit codes']) assert.ok(stdout.includes(part), part);
  }
});
