import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createGateway } from '../../gateway/gateway.ts';
import { startGateway } from '../support/gateway.ts';
import { makeFolder } from '../support/process.ts';
import { redisControlSkipReason, redisSkipReason, startRedis } from '../support/redis.ts';

const sha256 = createHash('sha256').update('configured').digest('hex');

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

function buildConfig(redis: string): GatewayConfig {
  return {
    redis,
    authentication: { required: true, managedApiKeys: true, apiKeys: [{ name: 'fixed', sha256 }] },
    services: {
      none: {
        instances: [{ url: 'http://127.0.0.1:1' }],
        routes: [{ match: { path: '/closed' }, authorize: { scopes: ['a'] } }],
      },
    },
  };
}

test('API keys are made and removed at one gateway and hold at the other', { skip: redisSkipReason }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const config = buildConfig(redis.url);
  const one = await startGateway(t, config);
  const other = await startGateway(t, config);
  /** 401 for no viewer, 403 for one without the scope; beyond that the service is down. */
  const status = async (key: string) => (await fetch(`${other.url}/closed`, { headers: { 'x-api-key': key } })).status;
  assert.equal(await status('unknown'), 401);
  assert.equal(await status('configured'), 403);

  const made = await one.admin('POST', '/api-keys', { name: 'k1', client: 'partner', scopes: ['a'] });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const second = await one.admin('POST', '/api-keys', { name: 'k2', client: 'partner', scopes: ['b'] });
  await eventually(async () => (await status(made.body.key)) >= 500);
  assert.equal(await status(second.body.key), 403, 'each key of a client has scopes of its own');
  for (const name of ['k1', 'fixed']) assert.equal((await one.admin('POST', '/api-keys', { name })).status, 409);
  for (const body of [
    {},
    { name: 'x', sha256 },
    { name: 'x', expires: 'soon' },
    { name: 'x', expires: '2027-02-41' },
  ]) {
    assert.equal((await one.admin('POST', '/api-keys', body)).status, 400, JSON.stringify(body));
  }
  const listed = await other.admin('GET', '/api-keys');
  assert.deepEqual(listed.body.apiKeys, [
    { name: 'k1', client: 'partner', scopes: ['a'] },
    { name: 'k2', client: 'partner', scopes: ['b'] },
  ]);

  assert.equal((await one.admin('DELETE', '/api-keys/k1')).status, 204);
  assert.equal((await one.admin('DELETE', '/api-keys/k1')).status, 404);
  await eventually(async () => (await status(made.body.key)) === 401);
  assert.equal(await status(second.body.key), 403);
  assert.ok(!JSON.stringify(one.lines).includes(made.body.key), 'no line holds the key');
  const { entries } = (await one.admin('GET', '/audit')).body;
  assert.deepEqual(
    entries.map(({ action, targets, outcome }: Record<string, unknown>) => [action, targets, outcome]),
    [
      ['api-key.put', ['k1'], 'accepted'],
      ['api-key.put', ['k2'], 'accepted'],
      ['api-key.put', ['k1'], 'refused'],
      ['api-key.put', ['fixed'], 'refused'],
      ['api-key.delete', ['k1'], 'accepted'],
    ],
  );
});

test('without Redis the keys of the configuration work, and others get 503, not 401', {
  skip: redisControlSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  await redis.stop();
  const gateway = await startGateway(t, buildConfig(redis.url));
  const status = async (key: string) =>
    (await fetch(`${gateway.url}/closed`, { headers: { 'x-api-key': key } })).status;
  assert.equal(await status('configured'), 403);
  assert.equal(await status('unknown'), 503);
  assert.equal((await gateway.admin('POST', '/api-keys', { name: 'k1' })).status, 503);
});

test('without managedApiKeys the admin API says so', async (t) => {
  const gateway = await startGateway(t);
  assert.equal((await gateway.admin('POST', '/api-keys', { name: 'k1' })).status, 409);
});

test('without Redis managed keys are in a file, and outlive the gateway', async (t) => {
  const folder = await makeFolder(t);
  const { redis: _, ...config } = buildConfig('');
  const start = () => startGateway(t, { ...config, store: `file:${folder}` });
  const before = await start();
  const made = await before.admin('POST', '/api-keys', { name: 'k1', scopes: ['b'] });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const status = async (url: string) =>
    (await fetch(`${url}/closed`, { headers: { 'x-api-key': made.body.key } })).status;
  await eventually(async () => (await status(before.url)) === 403);
  await before.gateway.stop();
  const after = await start();
  assert.equal(await status(after.url), 403);
  assert.equal((await after.admin('DELETE', '/api-keys/k1')).status, 204);
  await eventually(async () => (await status(after.url)) === 401);
});

test('without Redis and without a file managed keys are in memory, which several workers do not share', async (t) => {
  const { redis: _, ...config } = buildConfig('');
  const gateway = await startGateway(t, config);
  const made = await gateway.admin('POST', '/api-keys', { name: 'k1', scopes: ['b'] });
  const status = async () => (await fetch(`${gateway.url}/closed`, { headers: { 'x-api-key': made.body.key } })).status;
  await eventually(async () => (await status()) === 403);
  assert.throws(() => createGateway({ ...config, store: 'memory', workers: 2 }), /mistake/);
});
