import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createConsulWatch } from '../../../subgraphs/discovery/consul-watch.ts';
import { createProviders } from '../../../subgraphs/discovery/providers.ts';
import type { ConsulLookup } from '../../../subgraphs/discovery/service-discovery.ts';
import { makeTestFolder, openPlane, sendJson, startPlaneServer } from './plane-server.ts';
import { startSession, until, urlsOf } from './session.ts';

// There is no Consul to be had where the tests run. This server does what its API documents of health queries: it holds a
// query until the index has passed the one that was asked with, and answers with the index of the answer.

interface Consul {
  index: number;
  entries: unknown;
  status: number;
  /** Changes the entries, and answers who waits for it. */
  set(entries: unknown, index?: number): void;
}

interface Query {
  readonly index: number | null;
  readonly response: ServerResponse;
}

async function startConsul(t: TestContext) {
  const waiting = new Set<Query>();
  const consul: Consul = {
    index: 7,
    entries: [],
    status: 200,
    set(entries, index = consul.index + 1) {
      consul.entries = entries;
      consul.index = index;
      for (const one of [...waiting]) answer({ ...one, index: null });
      waiting.clear();
    },
  };
  function answer(one: Query): void {
    if (one.index !== null && one.index >= consul.index && consul.status === 200) return void waiting.add(one);
    one.response.statusCode = consul.status;
    if (consul.status !== 200) return void one.response.end('rpc error');
    sendJson(one.response, consul.entries, { 'x-consul-index': String(consul.index) });
  }
  const server = await startPlaneServer(t, (request, response) => {
    const index = new URL(request.url ?? '', 'http://consul').searchParams.get('index');
    answer({ index: index === null ? null : Number(index), response });
  });
  return { consul, server };
}

async function start(t: TestContext, lookup: ConsulLookup = {}, service = 'orders') {
  const { consul, server } = await startConsul(t);
  const plane = openPlane(t, { name: 'Consul', url: server.url });
  const watch = createConsulWatch(plane, { url: server.url }, lookup, service);
  return { consul, server, watch };
}

function entry(id: string, address: string, more: object = {}, node: object = {}) {
  return { Node: { Address: '10.9.9.9', ...node }, Service: { ID: id, Address: address, Port: 8080, ...more } };
}

describe('discovery by Consul', () => {
  it('asks for passing instances, and takes over every change as it happens', async (t) => {
    const { consul, server, watch } = await start(t);
    consul.entries = [entry('orders-1', '10.0.0.1'), entry('orders-2', '')];
    const session = startSession(t, watch);
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 2)), [
      'http://10.0.0.1:8080',
      'http://10.9.9.9:8080', // that of its node
    ]);
    consul.set([entry('orders-2', '')]);
    await session.until((list) => list.length === 1);
    consul.set([]);
    await session.until((list) => list.length === 0);
    assert.deepEqual(
      server.requests.map(({ path }) => path),
      [
        '/v1/health/service/orders?passing=1',
        '/v1/health/service/orders?passing=1&index=7&wait=60s',
        '/v1/health/service/orders?passing=1&index=8&wait=60s',
        ...(server.requests.length > 3 ? ['/v1/health/service/orders?passing=1&index=9&wait=60s'] : []),
      ],
    );
  });

  it('reads weight, zone, version and scheme from metadata, else from tags', async (t) => {
    const { consul, watch } = await start(t, { scheme: 'http' });
    consul.entries = [
      entry('by-meta', '10.0.0.1', { Meta: { version: '1.4.0', weight: '3', zone: 'eu-1', scheme: 'https' } }),
      entry('by-tag', '10.0.0.2', {
        Meta: null,
        Tags: ['http', 'version=1.5.0', 'zone=eu-2'],
        Weights: { Passing: 5 },
      }),
      entry('by-node', '10.0.0.3', { Tags: null }, { Meta: { zone: 'eu-3' } }),
    ];
    const found = await startSession(t, watch).until((list) => list.length === 3);
    assert.deepEqual(JSON.parse(JSON.stringify(found)), [
      { id: 'by-meta', url: 'https://10.0.0.1:8080', weight: 3, zone: 'eu-1', version: '1.4.0' },
      { id: 'by-tag', url: 'http://10.0.0.2:8080', weight: 5, zone: 'eu-2', version: '1.5.0' },
      { id: 'by-node', url: 'http://10.0.0.3:8080', zone: 'eu-3' },
    ]);
  });

  it('begins anew when the index goes back', async (t) => {
    const { consul, server, watch } = await start(t, { service: 'shop', tag: 'blue', datacenter: 'dc2' });
    const session = startSession(t, watch);
    await until(() => server.requests.length === 2);
    consul.set([entry('a', '10.0.0.1')], 3);
    await session.until((list) => list.length === 1);
    consul.set([entry('a', '10.0.0.1'), entry('b', '10.0.0.2')], 4);
    await session.until((list) => list.length === 2);
    const base = '/v1/health/service/shop?passing=1&tag=blue&dc=dc2';
    assert.deepEqual(
      server.requests.slice(0, 3).map(({ path }) => path),
      [base, `${base}&index=7&wait=60s`, base],
    );
  });

  it('does not become a busy loop over an index of 0', async (t) => {
    const { consul, server, watch } = await start(t);
    consul.index = 0;
    consul.entries = [entry('a', '10.0.0.1')];
    const session = startSession(t, watch);
    await session.until((list) => list.length === 1);
    for (const expected of [2, 3]) {
      await until(() => server.requests.length === expected);
      assert.match(server.requests.at(-1)?.path ?? '', /index=1&wait=60s/);
      consul.set(consul.entries, 0);
    }
  });

  for (const [what, body, message] of [
    ['an object', { services: [] }, /^Consul answered what is no answer: expected a list/],
    ['a port that is text', [entry('a', '10.0.0.1', { Port: '80' })], /\/0\/Service\/Port: expected a whole number/],
    ['a service without id', [entry('', '10.0.0.1')], /\/0\/Service\/ID/],
    ['nothing', '', /^Consul answered what is not JSON$/],
    ['deeply nested lists', '['.repeat(100_000), /^Consul answered what is not JSON$/],
    ['too many', Array.from({ length: 2_001 }, (_, i) => entry(`a${i}`, '10.0.0.1')), /of at most 2000/],
    ['too much', `"${'x'.repeat(16_000_001)}"`, /^Consul answered with more than 16000000 bytes$/],
  ] as const) {
    it(`refuses an answer that is ${what}`, async (t) => {
      const { consul, watch } = await start(t);
      consul.entries = body;
      const session = startSession(t, watch);
      const error = (await session.ended) as Error;
      assert.equal(error.name, 'DiscoveryError');
      assert.match(error.message, message);
      assert.deepEqual(session.reports, []);
    });
  }

  it('says what a status means, and does not take an error for an empty list', async (t) => {
    const { consul, watch } = await start(t);
    consul.status = 403;
    const session = startSession(t, watch);
    assert.match(((await session.ended) as Error).message, /^Consul answered 403 \(forbidden/);
    assert.deepEqual(session.reports, []);
  });

  it('sends the token, and reads it again when its file changes', async (t) => {
    const { consul, server } = await startConsul(t);
    const tokenFile = join(makeTestFolder(t), 'token');
    writeFileSync(tokenFile, 'first\n');
    await using providers = createProviders({ consul: { url: server.url, tokenFile } });
    const watch = providers.createWatch('consul', { consul: {} }, 'orders');
    assert.ok(watch);
    const session = startSession(t, watch);
    await session.until(() => true);
    writeFileSync(tokenFile, 'second\n');
    await until(() => server.requests.length === 2);
    consul.set([entry('a', '10.0.0.1')]);
    await session.until((list) => list.length === 1);
    await until(() => server.requests.length === 3);
    assert.equal(server.requests[0]?.headers['x-consul-token'], 'first');
    assert.equal(server.requests[2]?.headers['x-consul-token'], 'second');
    session.stop();
  });
});
