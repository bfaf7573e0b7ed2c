/** Several workers are one gateway: whichever of them a connection meets, a credential is worth the same. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { ask } from '../support/connections.ts';
import { startOpenIdProvider } from '../support/openid-provider.ts';
import { type GatewayProcess, makeFolder, startGatewayProcess } from '../support/process.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';
import { until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

type Fields = Readonly<Record<string, string>>;

interface Workers {
  readonly gateway: GatewayProcess;
  /** What both workers answer at both doors, as a set of statuses. */
  statuses(fields: Fields): Promise<number[]>;
  admin(method: string, path: string, body?: object): Promise<{ status: number; text: string }>;
}

async function startWorkers(t: TestContext, config: GatewayConfig): Promise<Workers> {
  const rest = await startServer(t, (_, response) => response.end('ok'));
  const graph = await startSubgraph(t, 'type Query { a: String }', { Query: { a: () => 'a' } });
  const gateway = await startGatewayProcess(t, await makeFolder(t), {
    workers: 2,
    ...config,
    services: {
      rest: { routes: [{ match: { path: '/read' } }], instances: [{ url: rest.url }] },
      graph: { graphql: {}, instances: [{ url: graph.url }] },
    },
  });
  const json = { 'content-type': 'application/json' };
  let round = 0;

  /** Each over a connection of its own, which goes to the workers in turn. */
  async function askBoth(path: string, options: object, fields: Fields): Promise<number[]> {
    const id = `round-${round++}`;
    const once = () => ask(gateway.url + path, { headers: { ...json, ...fields, 'x-request-id': id }, ...options });
    const answers = [await once()];
    const answered = () => new Set(gateway.lines.filter((line) => line['id'] === id).map(({ worker }) => worker)).size;
    await until(async () => {
      answers.push(await once());
      return answered() === 2;
    }, 'both workers answered');
    return answers.map(({ status }) => status);
  }

  return {
    gateway,
    async statuses(fields) {
      const graphql = { method: 'POST', body: JSON.stringify({ query: '{ a }' }) };
      const { 'content-type': _, ...plain } = fields;
      return [...new Set([...(await askBoth('/graphql', graphql, fields)), ...(await askBoth('/read', {}, plain))])];
    },
    admin: (method, path, body) =>
      ask(gateway.adminUrl + path, { method, headers: json, ...(body && { body: JSON.stringify(body) }) }),
  };
}

const bearer = (token: string): Fields => ({ authorization: `Bearer ${token}` });

test('tokens, sessions and API keys are worth the same at every worker', async (t) => {
  const issuer = await startTokenIssuer();
  t.after(() => issuer[Symbol.asyncDispose]());
  const provider = await startOpenIdProvider();
  t.after(() => provider.close());
  const sessions = await startServer(t, (request, response) => {
    response.writeHead(request.url === '/good' ? 200 : 404).end('{"sub":"ada"}');
  });
  const { statuses, admin, gateway } = await startWorkers(t, {
    authentication: {
      required: true,
      jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri, audience: 'shop' }],
      introspection: {
        ...provider.introspection,
        issuer: provider.issuer,
        audience: provider.audience,
        cacheFor: '1ms',
      },
      session: { header: 'x-session', url: `${sessions.url}/{session}` },
      apiKeys: [{ name: 'fixed', sha256: hash('sha256', 'fixed key') }],
      managedApiKeys: true,
    },
  });
  const token = await issuer.sign();
  assert.deepEqual(await statuses(bearer(token)), [200]);
  assert.deepEqual(await statuses(bearer(`${token.slice(0, -8)}AAAAAAAA`)), [401]);
  assert.deepEqual(await statuses(bearer(await issuer.sign({ aud: 'warehouse' }))), [401]);

  const opaque = await provider.token({ opaque: true });
  assert.deepEqual(await statuses(bearer(opaque)), [200]);
  await provider.revoke(opaque);
  assert.deepEqual(await statuses(bearer(opaque)), [401]);

  assert.deepEqual(await statuses({ 'x-session': 'good' }), [200]);
  assert.deepEqual(await statuses({ 'x-session': 'bad' }), [401]);
  assert.deepEqual(await statuses({ 'x-api-key': 'fixed key' }), [200]);
  assert.deepEqual(await statuses({ 'x-api-key': 'other key' }), [401]);
  assert.deepEqual(await statuses({}), [401]);

  const made = await admin('POST', '/api-keys', { name: 'managed' });
  assert.equal(made.status, 201, made.text);
  const managed = { 'x-api-key': JSON.parse(made.text).key as string };
  await until(async () => (await statuses(managed)).join() === '200', 'both workers know the key');
  assert.equal((await admin('DELETE', '/api-keys/managed')).status, 204);
  await until(async () => (await statuses(managed)).join() === '401', 'both workers have forgotten the key');
  const log = JSON.stringify(gateway.lines);
  for (const secret of [token, opaque, managed['x-api-key']]) assert.ok(!log.includes(secret), 'the log holds none');
});

test('what is revoked is refused by every worker, also where it was remembered', {
  skip: redisSkipReason,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis[Symbol.asyncDispose]());
  const issuer = await startTokenIssuer();
  t.after(() => issuer[Symbol.asyncDispose]());
  const { statuses, admin } = await startWorkers(t, {
    redis: redis.url,
    authentication: {
      required: true,
      jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri, audience: 'shop' }],
      managedApiKeys: true,
      revocation: {},
    },
  });
  const [ada, grace] = [bearer(await issuer.sign()), bearer(await issuer.sign({ sub: 'grace' }))];
  assert.deepEqual(await statuses(ada), [200]);
  assert.deepEqual(await statuses(grace), [200]);
  assert.equal((await admin('POST', '/revocations', { issuer: issuer.issuer, subject: 'ada' })).status, 201);
  await until(async () => (await statuses(ada)).join() === '401', 'both workers refuse it');
  assert.deepEqual(await statuses(grace), [200]);

  const made = await admin('POST', '/api-keys', { name: 'managed' });
  const managed = { 'x-api-key': JSON.parse(made.text).key as string };
  await until(async () => (await statuses(managed)).join() === '200', 'both workers know the key');
});
