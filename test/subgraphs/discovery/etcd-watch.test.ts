import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createProviders } from '../../../subgraphs/discovery/providers.ts';
import { etcdSkipReason, startEtcd } from '../../support/etcd.ts';
import { sendJson, startPlaneServer } from './plane-server.ts';
import { startSession, urlsOf } from './session.ts';

function createWatch(t: TestContext, urls: string[], more: object = {}) {
  const providers = createProviders({ etcd: { urls, ...more } });
  t.after(() => providers[Symbol.asyncDispose]());
  const watch = providers.createWatch('etcd', { etcd: {} }, 'orders');
  assert.ok(watch);
  return watch;
}

describe('discovery by etcd', { skip: etcdSkipReason }, () => {
  it('makes an instance of every key of the service, and follows changes and leases', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.put('/selvage/orders/a', 'http://10.0.0.1:8080');
    await etcd.put('/selvage/orders/b', '{"url":"http://10.0.0.2:8080","weight":3,"zone":"eu-1","version":"1.4.0"}');
    await etcd.put('/selvage/orders-old/x', 'http://10.0.0.9:8080');
    await etcd.put('/selvage/orders', 'http://10.0.0.9:8080');
    const session = startSession(t, createWatch(t, [etcd.url]));
    assert.deepEqual(JSON.parse(JSON.stringify(await session.until((list) => list.length === 2))), [
      { id: 'a', url: 'http://10.0.0.1:8080' },
      { id: 'b', url: 'http://10.0.0.2:8080', weight: 3, zone: 'eu-1', version: '1.4.0' },
    ]);
    const lease = String((await etcd.call('/v3/lease/grant', { TTL: 30 }))['ID']);
    await etcd.put('/selvage/orders/c', 'http://10.0.0.3:8080', lease);
    await session.until((list) => list.length === 3);
    await etcd.call('/v3/lease/revoke', { ID: lease });
    await session.until((list) => list.length === 2);
    await etcd.remove('/selvage/orders/a');
    await etcd.remove('/selvage/orders/b');
    await session.until((list) => list.length === 0);
  });

  it('fails when etcd goes away, and finds everything when it is back', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.put('/selvage/orders/a', 'http://10.0.0.1:8080');
    const watch = createWatch(t, [etcd.url]);
    const session = startSession(t, watch);
    await session.until((list) => list.length === 1);
    await etcd.stop();
    assert.ok((await session.ended) instanceof Error);
    assert.ok(session.reports.every((list) => list.length === 1));
    await etcd.start();
    await startSession(t, watch).until((list) => list.length === 1);
  });

  it('authenticates, and says so when it is refused', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.put('/selvage/orders/a', 'http://10.0.0.1:8080');
    await etcd.call('/v3/auth/user/add', { name: 'root', password: 'secret' });
    await etcd.call('/v3/auth/user/grant', { user: 'root', role: 'root' });
    await etcd.call('/v3/auth/enable', {});
    const session = startSession(t, createWatch(t, [etcd.url], { username: 'root', password: 'secret' }));
    await session.until((list) => list.length === 1);
    const refused = startSession(t, createWatch(t, [etcd.url], { username: 'root', password: 'wrong' }));
    assert.equal(((await refused.ended) as Error).message, 'etcd refused user and password');
    const nobody = startSession(t, createWatch(t, [etcd.url]));
    assert.match(((await nobody.ended) as Error).message, /^etcd answered \d+/);
    assert.deepEqual([...refused.reports, ...nobody.reports], []);
  });

  it('asks the next URL when one fails', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.put('/selvage/orders/a', 'http://10.0.0.1:8080');
    const watch = createWatch(t, ['http://127.0.0.1:1', etcd.url]);
    assert.equal(((await startSession(t, watch).ended) as NodeJS.ErrnoException).code, 'ECONNREFUSED');
    await startSession(t, watch).until((list) => list.length === 1);
  });
});

describe('an answer that is none of etcd', () => {
  it('is refused, whatever it is', async (t) => {
    const answers: [unknown, RegExp][] = [
      [{ kvs: [] }, /the key `header` is missing/],
      [{ header: { revision: 'x' } }, /\/header\/revision/],
      [{ header: { revision: '1' }, kvs: [{ value: 'x' }] }, /\/kvs\/0: the key `key` is missing/],
      [{ header: { revision: '1' }, more: true }, /^etcd has more than 2000 keys there$/],
      ['<html>', /^etcd answered what is not JSON$/],
    ];
    let answer: unknown;
    const server = await startPlaneServer(t, (_request, response) => sendJson(response, answer));
    for (const [body, message] of answers) {
      answer = body;
      const session = startSession(t, createWatch(t, [server.url]));
      assert.match(((await session.ended) as Error).message, message);
      assert.deepEqual(session.reports, []);
    }
  });

  it('is refused where the stream of changes is something else', async (t) => {
    const server = await startPlaneServer(t, ({ url }, response) =>
      sendJson(response, url === '/v3/watch' ? '{"result":{"events":5}}\n' : { header: { revision: '1' } }),
    );
    const session = startSession(t, createWatch(t, [server.url]));
    assert.match(((await session.ended) as Error).message, /\/result\/events: expected a list, got the number 5$/);
  });

  it('makes instances of odd values that are refused later', async (t) => {
    const values = ['{', '{"url":5}', '', '{"url":"http://10.0.0.1","weight":"9","zone":7}'];
    const kvs = values.map((value, at) => ({ key: btoa(`/selvage/orders/${at}`), value: btoa(value) }));
    const server = await startPlaneServer(t, ({ url }, response) => {
      if (url === '/v3/watch') response.writeHead(200).flushHeaders();
      else sendJson(response, { header: { revision: '1' }, kvs });
    });
    const found = await startSession(t, createWatch(t, [server.url])).until((list) => list.length === 4);
    assert.deepEqual(urlsOf(found), ['', '', '', 'http://10.0.0.1']);
    assert.equal(found[3]?.weight, 9);
  });
});
