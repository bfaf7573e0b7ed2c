import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { redisControlSkipReason, redisSkipReason, startRedis } from '../support/redis.ts';
import { startServer } from '../support/subgraph.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

async function eventually(condition: () => Promise<boolean>): Promise<number> {
  const beganAtMs = performance.now();
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
  return performance.now() - beganAtMs;
}

test('what is revoked at one gateway is refused at both doors of the other, also when it was remembered', {
  skip: redisSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const issuer = await startTokenIssuer();
  t.after(() => issuer[Symbol.asyncDispose]());
  const service = await startServer(t, (_, response) => response.end('ok'));
  const config: GatewayConfig = {
    redis: redis.url,
    authentication: { jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri }], revocation: {} },
    services: {
      orders: {
        instances: [{ url: service.url }],
        routes: [{ match: { path: '/orders' }, authorize: { authenticated: true } }],
      },
    },
  };
  const one = await startGateway(t, config);
  const other = await startGateway(t, config);
  const asAda = { authorization: `Bearer ${await issuer.sign({ jti: crypto.randomUUID() })}` };
  const asGrace = { authorization: `Bearer ${await issuer.sign({ sub: 'grace' })}` };
  const status = async (headers: Record<string, string>) => (await fetch(`${other.url}/orders`, { headers })).status;
  assert.deepEqual([await status(asAda), await status(asGrace)], [200, 200]);

  const refused = await one.admin('POST', '/revocations', { subject: 'ada' });
  assert.equal(refused.status, 400, 'an issuer must be named');
  const future = { issuer: issuer.issuer, issuedUntil: new Date(Date.now() + 60_000).toISOString() };
  assert.equal((await one.admin('POST', '/revocations', future)).status, 400);

  const answer = await one.admin('POST', '/revocations', { issuer: issuer.issuer, subject: 'ada' });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  await eventually(async () => (await status(asAda)) === 401);
  assert.equal((await other.graphql('{ __typename }', { headers: asAda })).status, 401);
  assert.equal(await status(asGrace), 200);
  assert.match((await other.admin('GET', '/metrics')).body, /selvage_revocations_readable\{store="redis"\} 1/);
  assert.ok(one.lines.some(({ msg, author }) => msg === 'credentials were revoked' && author === 'local'));

  const later = await startGateway(t, config);
  assert.equal((await fetch(`${later.url}/orders`, { headers: asAda })).status, 401, 'a new gateway knows at once');

  const { revocations } = (await other.admin('GET', '/revocations')).body;
  assert.deepEqual(revocations, [
    {
      id: answer.body.id,
      revoked: 'subject',
      issuer: issuer.issuer,
      subject: 'ada',
      issuedUntil: answer.body.issuedUntil,
      until: answer.body.until,
    },
  ]);
  assert.equal((await other.admin('GET', '/revocations?limit=0')).status, 400);
  assert.equal((await other.admin('DELETE', `/revocations/${answer.body.id}?reason=a+mistake`)).status, 204);
  assert.equal((await other.admin('DELETE', `/revocations/${answer.body.id}`)).status, 404);
  await eventually(async () => (await status(asAda)) === 200);
  await eventually(async () => (await fetch(`${later.url}/orders`, { headers: asAda })).status === 200);
  assert.deepEqual((await one.admin('GET', '/revocations')).body.revocations, []);

  const auditOf = async (gateway: typeof one) =>
    (await gateway.admin('GET', '/audit')).body.entries.filter(({ action }: { action: string }) =>
      action.startsWith('revocation.'),
    );
  const [put] = await auditOf(one);
  assert.deepEqual([put.action, put.author, put.targets], ['revocation.put', 'local', [`subject/${answer.body.id}`]]);
  const [undone] = await auditOf(other);
  assert.deepEqual([undone.action, undone.reason], ['revocation.delete', 'a mistake']);
  assert.ok(!JSON.stringify([put, undone]).includes('ada'), 'subjects stay out of the audit');
});

test('without Redis, revocations do what the rule says', { skip: redisControlSkipReason }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const issuer = await startTokenIssuer();
  t.after(() => issuer[Symbol.asyncDispose]());
  await redis.stop();
  const start = (onStoreError: 'allow' | 'deny') =>
    startGateway(t, {
      redis: redis.url,
      authentication: { jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri }], revocation: { onStoreError } },
    });
  const [allow, deny] = await Promise.all([start('allow'), start('deny')]);
  const headers = { authorization: `Bearer ${await issuer.sign()}` };
  assert.equal((await fetch(`${allow.url}/nothing`, { headers })).status, 404);
  assert.equal((await allow.graphql('{ __typename }', { headers })).status, 200);
  assert.equal((await deny.graphql('{ __typename }', { headers })).status, 503);
  assert.equal((await deny.graphql('{ __typename }')).status, 200, 'anonymous requests have nothing to revoke');
  const failed = await allow.admin('POST', '/revocations', { issuer: issuer.issuer });
  assert.equal(failed.status, 503);
  await redis.start();
  await eventually(async () => (await deny.graphql('{ __typename }', { headers })).status === 200);
});
