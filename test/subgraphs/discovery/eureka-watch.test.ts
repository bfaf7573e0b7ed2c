import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createProviders } from '../../../subgraphs/discovery/providers.ts';
import { sendJson, startPlaneServer } from './plane-server.ts';
import { startSession, urlsOf } from './session.ts';

// There is no Eureka to be had where the tests run; this server answers as its REST operations are documented.

async function start(t: TestContext, application: () => unknown) {
  const server = await startPlaneServer(t, (_request, response) => {
    const answer = application();
    if (answer !== null) return sendJson(response, answer);
    response.writeHead(404).end();
  });
  const providers = createProviders({
    eureka: { urls: [`${server.url}/eureka`], username: 'selvage', password: 'p:ss', interval: '30s' },
  });
  t.after(() => providers[Symbol.asyncDispose]());
  const watch = providers.createWatch('eureka', { eureka: { app: 'ORDERS' } }, 'orders');
  assert.ok(watch);
  return { server, session: startSession(t, watch) };
}

function registered(name: string, more: object = {}) {
  return {
    instanceId: `${name}:orders:8080`,
    hostName: `${name}.internal`,
    ipAddr: '10.0.0.1',
    status: 'UP',
    port: { $: 8080, '@enabled': 'true' },
    securePort: { $: 443, '@enabled': 'false' },
    metadata: { '@class': 'java.util.Collections$EmptyMap' },
    ...more,
  };
}

describe('discovery by Eureka', () => {
  it('takes what is UP, and looks again after the interval', async (t) => {
    let instance: unknown = [
      registered('a', { metadata: { weight: '4', zone: 'eu-1', version: 2 } }),
      registered('b', { status: 'STARTING' }),
      registered('c', {
        ipAddr: '10.0.0.3',
        securePort: { $: '8443', '@enabled': 'true' },
        port: { $: 80, '@enabled': 'false' },
      }),
    ];
    const { server, session } = await start(t, () => ({ application: { name: 'ORDERS', instance } }));
    const found = await session.until((list) => list.length === 2);
    assert.deepEqual(JSON.parse(JSON.stringify(found)), [
      { id: 'a:orders:8080', url: 'http://10.0.0.1:8080', weight: 4, zone: 'eu-1', version: '2' },
      { id: 'c:orders:8080', url: 'https://c.internal:8443' },
    ]);
    instance = registered('d'); // its JSON writes a list of one so
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 1)), ['http://10.0.0.1:8080']);
    assert.equal(session.pauses[0], 30_000);
    assert.equal(server.requests[0]?.path, '/eureka/apps/ORDERS');
    assert.equal(server.requests[0]?.headers.accept, 'application/json');
    assert.equal(server.requests[0]?.headers.authorization, `Basic ${btoa('selvage:p:ss')}`);
  });

  it('does not believe at once that an application is gone: a server that just started knows none', async (t) => {
    let known: unknown = { application: { instance: [registered('a')] } };
    const { server, session } = await start(t, () => known);
    await session.until((list) => list.length === 1);
    known = null;
    const before = server.requests.length;
    await session.until((list) => list.length === 0);
    assert.ok(server.requests.length - before >= 3, `believed after ${server.requests.length - before} looks`);
  });

  it('refuses what is no application', async (t) => {
    const { session } = await start(t, () => ({ application: { instance: [{ status: 'UP' }] } }));
    assert.match(((await session.ended) as Error).message, /^Eureka answered what is no answer: .*hostName/);
  });
});
