import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { buildInstancesOfSlices } from '../../../subgraphs/discovery/endpoint-slices.ts';
import { createProviders } from '../../../subgraphs/discovery/providers.ts';
import type { KubernetesLookup } from '../../../subgraphs/discovery/service-discovery.ts';
import { makeCertificate, makeTestFolder, sendJson, startPlaneServer } from './plane-server.ts';
import { startSession, until, urlsOf } from './session.ts';

// An HTTPS server that lists and watches EndpointSlices as the API of Kubernetes documents it.

interface Slice {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly addressType: string;
  readonly endpoints: unknown;
  readonly ports: unknown;
}

async function start(t: TestContext, lookup: KubernetesLookup = {}) {
  const folder = makeTestFolder(t);
  const certificate = makeCertificate(folder, 'first');
  const caFile = join(folder, 'ca.crt');
  const tokenFile = join(folder, 'token');
  copyFileSync(certificate.certFile, caFile);
  writeFileSync(tokenFile, 'token-1\n');
  const watches = new Set<ServerResponse>();
  const cluster = {
    folder,
    tokenFile,
    caFile,
    slices: [] as readonly Slice[],
    version: 100,
    /** Answers of watches from now on. */
    watchStatus: 200,
    /** Slices of one page; without it, all. */
    pageSize: 500,
    watches,
    send(type: string, object: object) {
      for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`);
    },
    end() {
      for (const watch of watches) watch.end();
    },
  };
  const answer = (request: { url?: string | undefined }, response: ServerResponse): unknown => {
    const query = new URL(request.url ?? '', 'https://cluster').searchParams;
    if (query.get('watch') === null) {
      const from = Number(query.get('continue') ?? 0);
      const items = cluster.slices.slice(from, from + cluster.pageSize);
      const next = from + cluster.pageSize < cluster.slices.length ? String(from + cluster.pageSize) : '';
      return sendJson(response, { metadata: { resourceVersion: String(cluster.version), continue: next }, items });
    }
    response.writeHead(cluster.watchStatus, { 'content-type': 'application/json' }).flushHeaders();
    if (cluster.watchStatus !== 200) return response.end('{"code":410,"reason":"Expired"}');
    watches.add(response);
    return response.on('close', () => watches.delete(response));
  };
  const server = await startPlaneServer(t, answer, { certificate });
  const providers = createProviders({ kubernetes: { url: server.url, caFile, tokenFile, namespace: 'shop' } }, {});
  t.after(() => providers[Symbol.asyncDispose]());
  const watch = providers.createWatch('kubernetes', { kubernetes: lookup }, 'orders');
  assert.ok(watch);
  return { cluster, server, answer, watch };
}

function slice(name: string, endpoints: unknown, more: Partial<Slice> = {}): Slice {
  return {
    metadata: { name, resourceVersion: '1' },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    ...more,
  };
}

function pod(name: string, address: string, conditions: object = { ready: true }, more: object = {}) {
  return { addresses: [address], conditions, targetRef: { kind: 'Pod', name }, ...more };
}

const build = (slices: readonly unknown[], lookup: KubernetesLookup = {}) =>
  buildInstancesOfSlices(slices as Parameters<typeof buildInstancesOfSlices>[0], lookup);

describe('discovery by Kubernetes', () => {
  it('lists the slices of the Service, and follows them from the version of the list', async (t) => {
    const { cluster, server, watch } = await start(t);
    cluster.slices = [slice('orders-x', [pod('orders-1', '10.1.0.1', { ready: true }, { zone: 'eu-1' })])];
    const session = startSession(t, watch);
    assert.deepEqual(await session.until((list) => list.length === 1), [
      { id: 'orders-1:8080', url: 'http://10.1.0.1:8080', zone: 'eu-1' },
    ]);
    await until(() => cluster.watches.size === 1);
    cluster.send('ADDED', slice('orders-y', [pod('orders-2', '10.1.0.2')]));
    await session.until((list) => list.length === 2);
    cluster.send('MODIFIED', slice('orders-x', null));
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 1)), ['http://10.1.0.2:8080']);
    cluster.send('DELETED', slice('orders-y', []));
    await session.until((list) => list.length === 0);
    const [list, watched] = server.requests.map(({ path }) => new URL(path, 'https://cluster'));
    assert.equal(list?.pathname, '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices');
    assert.equal(list?.searchParams.get('labelSelector'), 'kubernetes.io/service-name=orders');
    assert.equal(watched?.searchParams.get('resourceVersion'), '100');
    assert.equal(watched?.searchParams.get('allowWatchBookmarks'), 'true');
  });

  it('goes on from the last bookmark when the server ends a watch, without another list', async (t) => {
    const { cluster, server, watch } = await start(t);
    cluster.slices = [slice('orders-x', [pod('orders-1', '10.1.0.1')])];
    const session = startSession(t, watch);
    await until(() => cluster.watches.size === 1);
    cluster.send('BOOKMARK', { metadata: { resourceVersion: '170' } });
    cluster.end();
    await until(() => server.requests.length === 3 && cluster.watches.size === 1);
    assert.match(server.requests[2]?.path ?? '', /watch=1.*resourceVersion=170$/);
    assert.equal(session.reports.length, 1);
  });

  for (const how of ['an event', 'a status'] as const) {
    it(`lists anew when the version is gone, told by ${how}`, async (t) => {
      const { cluster, server, watch } = await start(t);
      cluster.slices = [slice('orders-x', [pod('orders-1', '10.1.0.1')])];
      const session = startSession(t, watch);
      await until(() => cluster.watches.size === 1);
      cluster.slices = [slice('orders-z', [pod('orders-7', '10.1.0.7')])];
      cluster.version = 900;
      if (how === 'an event') cluster.send('ERROR', { kind: 'Status', code: 410, reason: 'Expired' });
      else {
        cluster.watchStatus = 410;
        cluster.end();
      }
      assert.deepEqual(urlsOf(await session.until(([first]) => first?.id === 'orders-7:8080')), [
        'http://10.1.0.7:8080',
      ]);
      cluster.watchStatus = 200;
      await until(() => server.requests.at(-1)?.path.includes('resourceVersion=900') === true);
    });
  }

  it('reads a long list page by page', async (t) => {
    const { cluster, server, watch } = await start(t);
    cluster.pageSize = 2;
    cluster.slices = Array.from({ length: 5 }, (_, at) => slice(`s${at}`, [pod(`orders-${at}`, `10.1.0.${at}`)]));
    const session = startSession(t, watch);
    await session.until((list) => list.length === 5);
    assert.equal(server.requests.filter(({ path }) => !path.includes('watch=1')).length, 3);
  });

  it('sends the token of the moment, and checks by the certificates of the moment', async (t) => {
    const { cluster, server, answer, watch } = await start(t);
    cluster.slices = [slice('orders-x', [pod('orders-1', '10.1.0.1')])];
    startSession(t, watch);
    await until(() => cluster.watches.size === 1);
    writeFileSync(cluster.tokenFile, 'token-2\n');
    cluster.end();
    await until(() => server.requests.length === 3);
    assert.deepEqual(
      server.requests.map(({ headers }) => headers.authorization),
      ['Bearer token-1', 'Bearer token-1', 'Bearer token-2'],
    );

    const rotated = makeCertificate(cluster.folder, 'second');
    const other = await startPlaneServer(t, answer, { certificate: rotated });
    const { tokenFile, caFile } = cluster;
    await using providers = createProviders({ kubernetes: { url: other.url, caFile, tokenFile } }, {});
    const next = providers.createWatch('kubernetes', { kubernetes: {} }, 'orders') ?? watch;
    const distrusted = (await startSession(t, next).ended) as NodeJS.ErrnoException;
    assert.match(distrusted.code ?? '', /SELF_SIGNED|UNABLE_TO_VERIFY/);
    assert.equal(other.requests.length, 0, 'no token goes to a server that cannot be checked');
    copyFileSync(rotated.certFile, caFile);
    const trusted = startSession(t, next);
    await trusted.until((list) => list.length === 1);
    trusted.stop();
    await trusted.ended;
  });

  it('sends the token of its pod to its own cluster only, and says when it is in none', async (t) => {
    await using elsewhere = createProviders({}, {});
    const watch = elsewhere.createWatch('kubernetes', { kubernetes: {} }, 'orders');
    assert.ok(watch);
    assert.match(((await startSession(t, watch).ended) as Error).message, /^not in a cluster/);
    const server = await startPlaneServer(t, (_request, response) => sendJson(response, 'no'));
    await using foreign = createProviders({ kubernetes: { url: server.url } }, { KUBERNETES_SERVICE_HOST: '10.0.0.1' });
    await startSession(t, foreign.createWatch('kubernetes', { kubernetes: {} }, 'orders') ?? watch).ended;
    assert.equal(server.requests[0]?.headers.authorization, undefined);
    assert.match(server.requests[0]?.path ?? '', /namespaces\/default/);
  });

  it('fails on an event that is none, and on an answer that is none', async (t) => {
    const { cluster, watch } = await start(t);
    const session = startSession(t, watch);
    await until(() => cluster.watches.size === 1);
    cluster.send('ADDED', { metadata: { name: 'x' }, addressType: 'IPv4', endpoints: [{ addresses: 'all' }] });
    assert.match(((await session.ended) as Error).message, /\/endpoints\/0\/addresses: expected a list/);
    cluster.slices = { length: 1, slice: () => 'many' } as never;
    assert.match(((await startSession(t, watch).ended) as Error).message, /\/items: expected/);
  });
});

describe('the instances of EndpointSlices', () => {
  it('are the ready pods; who is on the way out comes in only when nobody else is left', () => {
    const leaving = pod('b', '10.1.0.2', { ready: false, serving: true, terminating: true });
    const dead = pod('c', '10.1.0.3', { ready: false, serving: false, terminating: true });
    const starting = pod('d', '10.1.0.4', { ready: false, serving: false });
    const published = pod('e', '10.1.0.5', { ready: true, serving: true, terminating: true });
    const unknown = pod('f', '10.1.0.6', {});
    const idsOf = (endpoints: unknown) => build([slice('s', endpoints)]).map(({ id }) => id);
    assert.deepEqual(idsOf([pod('a', '10.1.0.1'), leaving, dead, starting, published, unknown]), ['a:8080', 'f:8080']);
    assert.deepEqual(idsOf([leaving, dead, starting]), ['b:8080']);
    assert.deepEqual(idsOf([dead, starting]), []);
  });

  it('have the port that is named, numbered, or the only one', () => {
    const ports = [
      { name: 'metrics', port: 9090 },
      { name: 'web', port: 8080 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const slices = [slice('s', [pod('a', '10.1.0.1')], { ports })];
    assert.deepEqual(urlsOf(build(slices, { port: 'web' })), ['http://10.1.0.1:8080']);
    assert.deepEqual(urlsOf(build(slices, { port: 9090, scheme: 'https' })), ['https://10.1.0.1:9090']);
    assert.throws(() => build(slices), /no port/);
    assert.throws(() => build(slices, { port: 'dns' }), /no port dns/);
    assert.deepEqual(urlsOf(build([slice('s', [pod('a', '10.1.0.1')], { ports: [{ name: '', port: 80 }] })])), [
      'http://10.1.0.1:80',
    ]);
  });

  it('are one per pod where there are slices of both address families, by IPv4', () => {
    const slices = [
      slice('v6', [pod('a', 'fd00::1'), pod('b', 'fd00::2')], { addressType: 'IPv6' }),
      slice('v4', [pod('a', '10.1.0.1')]),
    ];
    assert.deepEqual(urlsOf(build(slices)), ['http://10.1.0.1:8080', 'http://[fd00::2]:8080']);
  });
});
