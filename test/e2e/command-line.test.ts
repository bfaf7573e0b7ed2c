import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bindSelvage, binFile, startSelvage } from '../support/command-line.ts';
import { findUnusedPort, startAdminStandIn } from '../support/demo.ts';
import { startGateway } from '../support/gateway.ts';
import { makeFolder } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startPlainGraphql } from '../support/subgraph.ts';

const sdl = 'type Query { a: Int }';
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

test('a service is registered, looked at, drained and removed', async (t) => {
  const gateway = await startGateway(t);
  const service = await startPlainGraphql(t, sdl, { Query: { a: () => 7 } });
  const selvage = bindSelvage({ admin: gateway.adminUrl });
  assert.deepEqual(await selvage('services'), { code: 0, stdout: 'There are no services\n', stderr: '' });

  const registered = await selvage(`register a --url ${service.url} --id a-1 --zone eu --version 1.0 --lease 3600`);
  assert.equal(registered.code, 0, registered.stderr);
  assert.match(registered.stdout, /^a\/a-1 is registered for 3600 s; repeat this/);
  assert.match(registered.stdout, /safe +Query\.a: /);
  assert.deepEqual((await gateway.graphql('{ a }')).data, { a: 7 }, 'the schema was asked of the instance');

  assert.match((await selvage('services')).stdout, /^NAME .*\na +plain +1\/1 +\d+ s +admin/);
  const shown = (await selvage('services a')).stdout;
  assert.match(shown, /a-1 +http:\/\/127\.0\.0\.1:\d+ +healthy +closed +0 +1 +eu +1\.0 +\d+ s/);
  assert.match((await selvage('graph')).stdout, /^graph \w+, revision \d+\nservices: a\n$/);
  assert.match((await selvage('graph sdl')).stdout, /type Query \{\n {2}a: Int\n\}\n$/);

  assert.equal((await selvage('drain a a-1')).code, 0);
  assert.match((await selvage('services a')).stdout, /a-1 .* draining/);
  assert.equal((await selvage('deregister a a-1')).code, 0);
  assert.match((await selvage('services a')).stdout, /It has no instances/);
  assert.equal((await selvage('deregister a')).code, 0);
  assert.deepEqual(await selvage('deregister a'), { code: 1, stdout: '', stderr: 'there is no service a\n' });
});

test('a schema that does not fit is refused with reasons and exit code 1, and a dry run changes nothing', async (t) => {
  const gateway = await startGateway(t);
  const selvage = bindSelvage({ admin: gateway.adminUrl });
  const url = 'http://127.0.0.1:9';
  assert.equal((await selvage(`register a --url ${url} --sdl -`, { stdin: sdl })).code, 0);
  const { revision } = (await gateway.admin('GET', '/services')).body;

  const bad = await selvage(`register a --url ${url} --sdl -`, { stdin: 'type Query { a: Nothing }' });
  assert.deepEqual([bad.code, bad.stdout], [1, '']);
  assert.match(bad.stderr, /\n {2}a: Unknown type "Nothing"/);
  const json = await selvage(`register a --url ${url} --sdl - --json`, { stdin: 'type Query { a: Nothing }' });
  assert.deepEqual([json.code, json.stderr], [1, '']);
  assert.equal(JSON.parse(json.stdout).code, 'REGISTRATION_REFUSED');

  const dry = await selvage(`register a --url ${url} --sdl - --dry-run`, { stdin: 'type Query { b: Int }' });
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /^a would be accepted, with 2 changes of the graph\n {2}breaking {3}Query\.a: /);
  const unasked = await selvage(`register other --url ${url} --dry-run`);
  assert.equal(unasked.code, 3, 'a schema that nobody looked at is not taken for one that fits');
  assert.match(unasked.stdout, /was not looked at/);
  assert.equal((await gateway.admin('GET', '/services')).body.revision, revision);
});

test('of a service that is there only what is named is changed', async (t) => {
  const gateway = await startGateway(t);
  const directory = await makeFolder(t);
  const selvage = bindSelvage({ admin: gateway.adminUrl, directory });
  await writeFile(join(directory, 'a.yaml'), `routes: [{ match: { path: /a/* } }]\ngraphql: { schema: '${sdl}' }\n`);
  const url = 'http://127.0.0.1:9';
  assert.equal((await selvage(`register a --url ${url} --definition a.yaml --lease 3600`)).code, 0);
  assert.equal((await selvage(`register a --url ${url} --id a-2 --lease 3600`)).code, 0);
  const definition = async () => (await gateway.admin('GET', '/services/a')).body.definition;
  assert.deepEqual(await definition(), { routes: [{ match: { path: '/a/*' } }], graphql: { schema: sdl } });
  const next = 'type Query { a: Int b: Int }';
  assert.equal((await selvage(`register a --url ${url} --sdl - --path /api`, { stdin: next })).code, 0);
  const wanted = { routes: [{ match: { path: '/a/*' } }], graphql: { schema: next, path: '/api' } };
  assert.deepEqual(await definition(), wanted);
  assert.equal((await gateway.admin('GET', '/services/a')).body.instances.length, 2);
});

test('a service that somebody else changes at the same moment is read again', async (t) => {
  const admin = await startAdminStandIn(t);
  let conflicts = 2;
  admin.script = ({ method, path }) => {
    if (method === 'GET') return { status: 200, headers: { etag: '"7"' }, body: { definition: { graphql: {} } } };
    if (path.includes('/instances/')) return { status: 201 };
    return { status: conflicts-- > 0 ? 412 : 200 };
  };
  const { code } = await bindSelvage({ admin: admin.url })('register a --url http://h:1 --path /api');
  assert.equal(code, 0);
  const methods = admin.requests.map(({ method }) => method).join(' ');
  assert.equal(methods, 'GET PUT GET PUT GET PUT PUT');
});

test('exit code 3 tells of a gateway that is not there, or cannot do it now', async (t) => {
  const away = `http://127.0.0.1:${await findUnusedPort()}`;
  const gone = await bindSelvage({ admin: away })('services');
  assert.deepEqual(gone, {
    code: 3,
    stdout: '',
    stderr: `Cannot reach the gateway at ${away}: nothing listens there\n`,
  });
  assert.equal(JSON.parse((await bindSelvage({ admin: away })('services --json')).stdout).code, 'UNREACHABLE');
  const admin = await startAdminStandIn(t);
  const body = { code: 'SERVICE_UNAVAILABLE', detail: 'The store is away', retryAfter: 5 };
  admin.script = () => ({ status: 503, body });
  const ill = await bindSelvage({ admin: admin.url })('drain a a-1');
  assert.deepEqual([ill.code, ill.stderr], [3, 'The store is away (try again in 5 s)\n']);
});

test('what is not an admin port is told, and a redirect is not followed with the token', async (t) => {
  const arrived: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    arrived.push(request.headers.authorization);
    response.writeHead(302, { location: '/elsewhere' }).end('<html>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, stderr } = await bindSelvage({ admin, environment: { SELVAGE_TOKEN: 'hidden' } })('services');
  assert.deepEqual([code, arrived], [1, ['Bearer hidden']]);
  assert.match(stderr, /answered 302, and not as the admin port of a Selvage gateway does\n$/);
});

test('a token is sent, and no message of the commands holds it', async (t) => {
  const tokens = [{ name: 'team', sha256: digest('t-team'), role: 'team' as const, services: ['a'] }];
  const gateway = await startGateway(t, { admin: { tokens } });
  const selvage = bindSelvage({ admin: gateway.adminUrl });
  const url = 'http://127.0.0.1:9';
  const environment = { SELVAGE_TOKEN: 't-team' };
  assert.equal((await selvage(`register a --url ${url} --sdl -`, { stdin: sdl, environment })).code, 0);
  for (const line of ['services', 'services --token wrong-hidden', `deregister b --token t-team`]) {
    const { code, stderr, stdout } = await selvage(line);
    assert.equal(code, 1, line);
    assert.doesNotMatch(stderr + stdout, /hidden|t-team/);
  }
});

test('what a terminal would obey is printed as what it is', async (t) => {
  const admin = await startAdminStandIn(t);
  const instances = [{ id: 'a-1', state: 'healthy', lastFailure: '\u001b]0;owned\u0007\nforged line' }];
  admin.script = () => ({ status: 200, body: { name: 'a', instances } });
  const { stdout } = await bindSelvage({ admin: admin.url })('services a');
  assert.ok(!stdout.includes('\u001b') && !stdout.includes('\u0007'));
  assert.equal(stdout.trimEnd().split('\n').length, 3);
});

test('--heartbeat waits for its gateway, registers again what was forgotten, and deregisters at SIGTERM', async (t) => {
  const port = await findUnusedPort();
  const admin = `http://127.0.0.1:${port}`;
  const directory = await makeFolder(t);
  await writeFile(join(directory, 'a.graphql'), sdl);
  const flags = ['--url', 'http://127.0.0.1:9', '--id', 'a-1', '--sdl', 'a.graphql', '--lease', '3', '--watch'];
  const command = startSelvage(t, ['register', 'a', ...flags], { admin, directory });
  await until(() => command.output().includes('nothing listens there; trying on'), 'it looks for the gateway');

  const gateway = await startGateway(t, { admin: { port } });
  const instances = async () => (await gateway.admin('GET', '/services/a')).body.instances?.length ?? 0;
  await until(async () => (await instances()) === 1, 'it registers');
  await writeFile(join(directory, 'a.graphql'), 'type Query { a: Int, fresh: Int }');
  await until(
    async () => /fresh/.test((await gateway.admin('GET', '/graph/sdl')).body),
    'the new schema is registered',
  );
  await writeFile(join(directory, 'a.graphql'), 'type Query { a: Nothing }');
  await until(() => /refused \(422\).*\n.*Nothing/.test(command.output()), 'the refusal is told with its reason');
  assert.equal(await instances(), 1, 'it stays registered as it was');
  await writeFile(join(directory, 'a.graphql'), sdl);
  await gateway.admin('DELETE', '/services/a');
  await until(async () => (await instances()) === 1, 'it registers again');

  command.child.kill('SIGTERM');
  assert.equal(await command.ended, 0, command.output());
  assert.equal(await instances(), 0);
  assert.match(command.output(), /a\/a-1: forgotten at .*a\/a-1: deregistered at /s);
});

test('history and rollback go back to what was there', async (t) => {
  const gateway = await startGateway(t);
  if ((await gateway.admin('GET', '/graph/history')).status === 404) return t.skip('this gateway keeps no history');
  const selvage = bindSelvage({ admin: gateway.adminUrl });
  const register = (text: string) => selvage('register a --url http://127.0.0.1:9 --sdl -', { stdin: text });
  assert.equal((await register(sdl)).code, 0);
  assert.equal((await register('type Query { b: Int }')).code, 0);
  const listed = await selvage('history');
  assert.equal(listed.code, 0, listed.stderr);
  const numbers = [...listed.stdout.matchAll(/^(\d+) /gm)].map(([, number]) => Number(number)).sort((a, b) => a - b);
  assert.ok(numbers.length >= 2, listed.stdout);
  const back = await selvage(`rollback ${numbers.at(-2)}`);
  assert.equal(back.code, 0, back.stderr);
  assert.match(back.stdout, /^rolled back to \d+/);
  assert.match((await selvage('graph sdl')).stdout, /a: Int/);
  assert.equal((await selvage('rollback 999999')).code, 1);
});

test('history reads the list whatever it is called, and rollback sends the number', async (t) => {
  const admin = await startAdminStandIn(t);
  const selvage = bindSelvage({ admin: admin.url });
  const changes = [{ criticality: 'breaking', path: 'Query.a', message: 'gone' }];
  const entry = { number: 4, at: '2026-11-21T10:00:00Z', author: 'ops', reason: 'release', graph: '9f31', changes };
  for (const body of [[entry], { entries: [entry] }, { generations: [entry] }]) {
    admin.script = () => ({ status: 200, body });
    assert.match((await selvage('history')).stdout, /\n4 .*ops +1 \(1 breaking\) +9f31 +release\n$/);
  }
  admin.script = () => ({ status: 200, body: { number: 5, id: 'a1b2', changes } });
  const { stdout } = await selvage('rollback 3');
  assert.equal(stdout, 'rolled back to 3, this is generation 5, graph a1b2\n  breaking   Query.a: gone\n');
  assert.deepEqual(admin.requests.at(-1)?.body, { to: 3 });
  await selvage('rollback 3 --force --dry-run --reason bad&worse');
  assert.deepEqual(admin.requests.at(-1)?.body, { to: 3, force: true });
  assert.equal(admin.lines.at(-1), 'POST /graph/rollback?dryRun=1&reason=bad%26worse');
});

test('the examples of docs/command-line.md run as they stand', async (t) => {
  const gateway = await startGateway(t);
  const directory = await makeFolder(t);
  await writeFile(join(directory, 'products.graphql'), 'type Query { products: Int }');
  await writeFile(join(directory, 'orders.yaml'), 'routes: [{ match: { path: /api/orders/* } }]\n');
  const page = await readFile(new URL('../../docs/command-line.md', import.meta.url), 'utf8');
  const scripts = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, script = '']) => script);
  assert.ok(scripts.length >= 3);
  const define = `selvage() { "${process.execPath}" "${binFile}" "$@"; }`;
  for (const script of scripts) {
    const env = { ...process.env, SELVAGE_ADMIN: gateway.adminUrl };
    await promisify(execFile)('sh', ['-ec', `${define}\n${script}`], { cwd: directory, env });
  }
  assert.match(await readFile(join(directory, 'schema.graphql'), 'utf8'), /products: Int/);
  assert.equal(JSON.parse(await readFile(join(directory, 'services.json'), 'utf8')).services[0].name, 'products');
});
