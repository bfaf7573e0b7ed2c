import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bindSelvage } from '../support/command-line.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { redisControlSkipReason, redisSkipReason, startRedis } from '../support/redis.ts';
import { until } from '../support/registration.ts';

const slow = { bind: { services: ['orders'] }, timeout: '1s' };
const quick = { bind: { gateway: true, fields: ['Query.a'] }, timeout: '100ms', description: 'in a hurry' };

type Gateway = Pick<TestGateway, 'adminUrl'>;

/** The call, with headers of one's own. */
async function call({ adminUrl }: Gateway, method: string, path: string, body?: unknown, headers = {}) {
  const response = await fetch(adminUrl + path, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const etag = response.headers.get('etag') ?? '';
  return { status: response.status, etag, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

async function definitionAt(gateway: Gateway, name: string): Promise<unknown> {
  return (await call(gateway, 'GET', `/policies/${name}`)).body.definition;
}

test('a policy is put, looked at, changed under a condition, rolled back and deleted', async (t) => {
  const gateway = await startGateway(t);
  const graph = (await gateway.admin('GET', '/graph')).body.id;
  assert.deepEqual((await call(gateway, 'GET', '/policies')).body.policies, []);
  const dry = await call(gateway, 'PUT', '/policies/p?dryRun=1', slow);
  assert.deepEqual([dry.status, dry.body.created, dry.body.dryRun], [200, true, true]);
  assert.equal((await call(gateway, 'GET', '/policies/p')).status, 404);

  const made = await call(gateway, 'PUT', '/policies/p', slow);
  assert.equal(made.status, 201);
  assert.deepEqual(made.body, {
    policy: 'p',
    created: true,
    changed: true,
    dryRun: false,
    revision: made.body.revision,
  });
  assert.equal(made.etag, `"${made.body.revision}"`);
  assert.equal((await call(gateway, 'PUT', '/policies/p', quick, { 'if-match': '"0"' })).status, 412);
  const changed = await call(gateway, 'PUT', '/policies/p?reason=hurry', quick, { 'if-match': made.etag });
  assert.deepEqual([changed.status, changed.body.changed], [200, true]);
  const same = await call(gateway, 'PUT', '/policies/p', quick);
  assert.deepEqual([same.status, same.body.changed, same.etag], [200, false, changed.etag]);

  const shown = await call(gateway, 'GET', '/policies/p');
  assert.equal(shown.etag, changed.etag);
  assert.deepEqual([shown.body.definition, shown.body.author], [quick, 'local']);
  assert.deepEqual(
    shown.body.history.map(({ revision }: { revision: number }) => revision),
    [made.body.revision],
  );
  const [listed] = (await call(gateway, 'GET', '/policies')).body.policies;
  assert.deepEqual([listed.name, listed.bind, listed.description], ['p', quick.bind, 'in a hurry']);
  const { versions } = (await call(gateway, 'GET', '/policies/p/history')).body;
  assert.deepEqual(
    versions.map(({ definition }: { definition: unknown }) => definition),
    [quick, slow],
  );

  assert.equal((await call(gateway, 'POST', '/policies/p/rollback', { to: 'first' })).status, 400);
  assert.equal((await call(gateway, 'POST', '/policies/p/rollback', { to: 999 })).status, 404);
  const back = await call(gateway, 'POST', '/policies/p/rollback', { to: made.body.revision, reason: 'no hurry' });
  assert.equal(back.status, 200);
  assert.deepEqual(await definitionAt(gateway, 'p'), slow);

  const refused = await call(gateway, 'PUT', '/policies/p', { bind: { servces: [] }, description: 7 });
  assert.equal(refused.status, 422);
  assert.match(refused.headers.get('content-type') ?? '', /problem\+json/);
  assert.deepEqual(
    refused.body.reasons.map(({ path }: { path: string }) => path),
    ['/bind/servces', '/description'],
  );
  assert.deepEqual(await definitionAt(gateway, 'p'), slow);

  assert.equal((await call(gateway, 'DELETE', '/policies/p', undefined, { 'if-match': made.etag })).status, 412);
  assert.equal((await call(gateway, 'DELETE', '/policies/p?dryRun=1')).status, 204);
  assert.equal((await call(gateway, 'DELETE', '/policies/p')).status, 204);
  assert.equal((await call(gateway, 'DELETE', '/policies/p')).status, 404);
  assert.equal((await gateway.admin('GET', '/graph')).body.id, graph);
  const { entries } = (await gateway.admin('GET', '/audit')).body;
  assert.deepEqual(
    entries.map(({ action, outcome, reason, code }: Record<string, string>) => [action, outcome, reason ?? code]),
    [
      ['policy.put', 'accepted', undefined],
      ['policy.put', 'refused', 'PRECONDITION_FAILED'],
      ['policy.put', 'accepted', 'hurry'],
      ['policy.rollback', 'accepted', 'no hurry'],
      ['policy.put', 'refused', 'REGISTRATION_REFUSED'],
      ['policy.delete', 'refused', 'PRECONDITION_FAILED'],
      ['policy.delete', 'accepted', undefined],
    ],
  );
});

test('whoever is no admin may look at policies and not change them', async (t) => {
  const roles = ['admin', 'team', 'viewer'] as const;
  const tokens = roles.map((role) => ({
    name: role,
    role,
    sha256: createHash('sha256').update(`the-token-of-${role}`).digest('hex'),
    ...(role === 'team' && { services: ['orders'] }),
  }));
  const gateway = await startGateway(t, { admin: { tokens } });
  const as = (role: string) => ({ authorization: `Bearer the-token-of-${role}` });
  assert.equal((await call(gateway, 'PUT', '/policies/p', slow, as('admin'))).status, 201);
  for (const role of ['team', 'viewer']) {
    for (const path of ['/policies', '/policies/p', '/policies/p/history']) {
      assert.equal((await call(gateway, 'GET', path, undefined, as(role))).status, 200, `${role} ${path}`);
    }
    assert.equal((await call(gateway, 'PUT', '/policies/p', quick, as(role))).status, 403);
    assert.equal((await call(gateway, 'POST', '/policies/p/rollback', { to: 1 }, as(role))).status, 403);
    assert.equal((await call(gateway, 'DELETE', '/policies/p', undefined, as(role))).status, 403);
  }
  assert.deepEqual((await call(gateway, 'GET', '/policies/p', undefined, as('viewer'))).body.definition, slow);
  assert.equal((await call(gateway, 'GET', '/policies')).status, 401);
});

test('a policy survives kill -9 of a gateway with a file, and the reload of its configuration', async (t) => {
  const folder = await makeFolder(t);
  const first = await startGatewayProcess(t, folder);
  for (let i = 0; i < 5; i++) {
    assert.ok((await call(first, 'PUT', '/policies/p', { ...slow, timeout: `${i + 1}s` })).status < 300);
  }
  await first.end('SIGKILL');
  const second = await startGatewayProcess(t, folder);
  const { body } = await call(second, 'GET', '/policies/p');
  assert.deepEqual([body.definition.timeout, body.history.length], ['5s', 4]);

  const gateway = await startGateway(t);
  await call(gateway, 'PUT', '/policies/p', slow);
  await gateway.gateway.reload({ services: { a: { routes: [{ match: { path: '/a' } }] } } });
  assert.deepEqual(await definitionAt(gateway, 'p'), slow);
});

async function startShared(t: TestContext) {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const store = { redis: { url: redis.url, keyPrefix: `selvage-test:${randomUUID()}:` } };
  return { redis, store };
}

test('a policy put at one gateway is at all others, also at one with workers', {
  skip: redisSkipReason,
  timeout: 55_000,
}, async (t) => {
  const { store } = await startShared(t);
  const [one, two, many] = await Promise.all([
    startGateway(t, { store }),
    startGateway(t, { store }),
    startGatewayProcess(t, await makeFolder(t), { store, workers: 2 }),
  ]);
  const all: readonly Gateway[] = [one, two, many];
  let writes = 0;
  for (const writer of all) {
    const definition = { ...slow, timeout: `${++writes}s` };
    assert.ok((await call(writer, 'PUT', '/policies/p', definition)).status < 300);
    for (const reader of all) {
      await until(
        async () => JSON.stringify(await definitionAt(reader, 'p')) === JSON.stringify(definition),
        'every gateway has it',
      );
    }
  }
  assert.equal((await call(two, 'GET', '/policies/p')).body.history.length, 2);
  assert.equal((await call(many, 'DELETE', '/policies/p')).status, 204);
  for (const reader of all) {
    await until(async () => (await call(reader, 'GET', '/policies/p')).status === 404, 'it is gone everywhere');
  }
  const { entries } = (await one.admin('GET', '/audit')).body;
  assert.equal(entries.filter(({ action }: { action: string }) => action.startsWith('policy.')).length, 4);
});

test('who puts policies through two gateways at once loses no update', { skip: redisSkipReason }, async (t) => {
  const { store } = await startShared(t);
  const [one, two] = await Promise.all([startGateway(t, { store }), startGateway(t, { store })]);
  const gateways = [one, two];
  const rounds = 10;
  const statuses = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (name, index) => {
      const answers: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const gateway = gateways[(index + round) % 2] ?? one;
        // Two policies that say the same of one target would be refused.
        const definition = { bind: { services: [name] }, timeout: `${round + 1}s` };
        answers.push((await call(gateway, 'PUT', `/policies/${name}`, definition)).status);
      }
      return answers;
    }),
  );
  assert.deepEqual(statuses, Array(4).fill([201, ...Array(rounds - 1).fill(200)]));
  for (const gateway of gateways) {
    for (const name of ['a', 'b', 'c', 'd']) {
      const expected = Array.from({ length: rounds }, (_, i) => `${rounds - i}s`);
      let timeouts: readonly string[] = [];
      // What was put at the other gateway is heard of a moment later.
      while (timeouts[0] !== expected[0]) {
        const { body } = await call(gateway, 'GET', `/policies/${name}/history`);
        timeouts = body.versions.map(({ definition }: { definition: { timeout: string } }) => definition.timeout);
      }
      assert.deepEqual(timeouts, expected);
    }
  }
  // Of those who saw the same and change it, one is first and the other hears of it.
  const { etag } = await call(one, 'GET', '/policies/a');
  const raced = await Promise.all(
    gateways.map((gateway, i) =>
      call(gateway, 'PUT', '/policies/a', { ...quick, timeout: `${i + 1}s` }, { 'if-match': etag }),
    ),
  );
  assert.deepEqual(raced.map(({ status }) => status).toSorted(), [200, 412]);
});

test('while Redis is away policies stay as they were, and one that comes back empty gets them again', {
  skip: redisControlSkipReason,
  timeout: 55_000,
}, async (t) => {
  const { redis, store } = await startShared(t);
  const [one, two] = await Promise.all([startGateway(t, { store }), startGateway(t, { store })]);
  await call(one, 'PUT', '/policies/p', slow);
  await until(async () => (await call(two, 'GET', '/policies/p')).status === 200, 'the other has it');
  await redis.stop();
  const away = await call(one, 'PUT', '/policies/p', quick);
  assert.deepEqual([away.status, away.body.code], [503, 'SERVICE_UNAVAILABLE']);
  assert.match(away.headers.get('retry-after') ?? '', /^\d+$/);
  for (const gateway of [one, two]) assert.deepEqual(await definitionAt(gateway, 'p'), slow);
  await redis.start();
  await until(async () => (await call(two, 'PUT', '/policies/q', quick)).status < 300, 'it is taken again');
  const late = await startGateway(t, { store });
  assert.deepEqual([await definitionAt(late, 'p'), await definitionAt(late, 'q')], [slow, quick]);
  await until(async () => (await call(one, 'GET', '/policies/q')).status === 200, 'the first has it, too');
});

test('policies are put, listed, shown, rolled back and deleted on the command line', async (t) => {
  const gateway = await startGateway(t);
  const folder = await makeFolder(t);
  const selvage = bindSelvage({ admin: gateway.adminUrl, directory: folder });
  assert.equal((await selvage('policies')).stdout, 'There are no policies of the admin API\n');
  await writeFile(join(folder, 'p.yaml'), 'bind: { services: [orders] }\ntimeout: 1s\n');
  assert.equal((await selvage('policies put p p.yaml --dry-run')).stdout, 'p would be new\n');
  const put = await selvage('policies put p p.yaml');
  assert.match(put.stdout, /^p is new, revision \d+\n$/);
  const revision = /\d+/.exec(put.stdout)?.[0] ?? '';
  const changed = await selvage(`policies put p - --revision ${revision}`, { stdin: JSON.stringify(quick) });
  assert.match(changed.stdout, /^p is changed, revision/, changed.stderr);
  assert.match((await selvage('policies list')).stdout, /\np +\d+ +\S+ +local +gateway, fields Query\.a\n$/);
  assert.deepEqual(JSON.parse((await selvage('policies show p')).stdout), quick);
  const stale = await selvage(`policies delete p --revision ${revision}`);
  assert.deepEqual([stale.code, stale.stderr], [1, `p is at "${Number(revision) + 1}" now\n`]);
  const bad = await selvage('policies put p -', { stdin: '{}' });
  assert.deepEqual([bad.code, /`bind` is missing/.test(bad.stderr)], [1, true]);
  assert.match((await selvage('policies history p')).stdout, new RegExp(`\\n${revision} .* services orders\\n$`));
  assert.match((await selvage(`policies rollback p ${revision}`)).stdout, /^p is changed/);
  assert.equal((await selvage('policies delete p')).stdout, 'p is removed\n');
  for (const line of ['policies look', 'policies put p', 'policies show', 'policies list p', 'policies rollback p x']) {
    assert.equal((await selvage(line)).code, 2, line);
  }
});
