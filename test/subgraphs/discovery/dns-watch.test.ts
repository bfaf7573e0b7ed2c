import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createDnsWatch } from '../../../subgraphs/discovery/dns-watch.ts';
import type { DnsLookup } from '../../../subgraphs/discovery/service-discovery.ts';
import { type DnsRecord, startDnsServer } from './dns-server.ts';
import { startSession, urlsOf } from './session.ts';

async function start(t: TestContext, lookup: DnsLookup, zone: Record<string, readonly DnsRecord[]>) {
  const server = await startDnsServer(t);
  for (const [name, records] of Object.entries(zone)) server.zone.set(name, records);
  const watch = createDnsWatch({ servers: [server.address], timeout: '100ms' }, lookup);
  return { server, session: startSession(t, watch) };
}

const a = (address: string, ttl = 60): DnsRecord => ({ type: 'A', address, ttl });
const srv = (target: string, port: number, priority = 0, weight = 0): DnsRecord => ({
  type: 'SRV',
  target,
  port,
  priority,
  weight,
});

describe('discovery by DNS', () => {
  it('makes an instance of every address, and follows the zone', async (t) => {
    const { server, session } = await start(
      t,
      { name: 'orders.test', port: 8080 },
      { 'orders.test': [a('10.0.0.1'), a('10.0.0.2')] },
    );
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 2)), [
      'http://10.0.0.1:8080',
      'http://10.0.0.2:8080',
    ]);
    server.zone.set('orders.test', [a('10.0.0.2')]);
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 1)), ['http://10.0.0.2:8080']);
  });

  it('looks again when the TTL is over, at the latest after the interval, and never without a pause', async (t) => {
    const { server, session } = await start(
      t,
      { name: 'orders.test', port: 80, interval: '20s' },
      { 'orders.test': [a('10.0.0.1', 300), a('10.0.0.2', 7)] },
    );
    await session.until(() => session.pauses.length >= 1);
    server.zone.set('orders.test', [a('10.0.0.1', 300)]);
    await session.until((list) => list.length === 1);
    server.zone.set('orders.test', [a('10.0.0.3', 0)]);
    await session.until(([first]) => first?.id === '10.0.0.3:80' && session.pauses.at(-1) === 1_000);
    assert.deepEqual([...new Set(session.pauses)], [7_000, 20_000, 1_000]);
    assert.equal(server.asked.filter((question) => question === 'A orders.test').length, session.reports.length);
  });

  it('reads AAAA records', async (t) => {
    const { session } = await start(
      t,
      { name: 'orders.test', type: 'AAAA', port: 80 },
      { 'orders.test': [{ type: 'AAAA', address: 'fd00::5' }] },
    );
    assert.deepEqual(await session.until((list) => list.length === 1), [
      { id: 'fd00::5:80', url: 'http://[fd00::5]:80' },
    ]);
  });

  it('takes port, weight and the lowest priority of SRV records', async (t) => {
    const { session } = await start(
      t,
      { name: '_http._tcp.orders.test', type: 'SRV' },
      {
        '_http._tcp.orders.test': [
          srv('a.test', 8081, 10, 60),
          srv('b.test', 8082, 10, 0),
          srv('spare.test', 8083, 20, 60),
        ],
        'a.test': [a('10.0.0.1')],
        'b.test': [a('10.0.0.2')],
        'spare.test': [a('10.0.0.9')],
      },
    );
    const found = await session.until((list) => list.length === 2);
    assert.deepEqual(
      found.toSorted((x, y) => (x.id < y.id ? -1 : 1)),
      [
        { id: 'a.test:8081', url: 'http://10.0.0.1:8081', weight: 60 },
        { id: 'b.test:8082', url: 'http://10.0.0.2:8082', weight: 1 },
      ],
    );
  });

  it('falls to the next priority when no target of the first has an address', async (t) => {
    const { session } = await start(
      t,
      { name: '_http._tcp.orders.test', type: 'SRV' },
      {
        '_http._tcp.orders.test': [srv('gone.test', 80, 1), srv('spare.test', 80, 2, 65_535)],
        'spare.test': [a('10.0.0.9'), a('10.0.0.10')],
      },
    );
    const found = await session.until((list) => list.length === 2);
    assert.deepEqual(urlsOf(found), ['http://10.0.0.10:80', 'http://10.0.0.9:80']);
    assert.deepEqual(new Set(found.map(({ weight }) => weight)), new Set([1_000]));
  });

  it('connects to the names of SRV targets where a certificate is for a name', async (t) => {
    const { session } = await start(
      t,
      { name: '_https._tcp.orders.test', type: 'SRV', scheme: 'https' },
      { '_https._tcp.orders.test': [srv('a.test', 443)] },
    );
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 1)), ['https://a.test:443']);
  });

  it('believes that a name does not exist, and that a target is decidedly not there', async (t) => {
    const gone = await start(t, { name: 'gone.test', port: 80 }, {});
    assert.deepEqual(await gone.session.until(() => true), []);
    const empty = await start(t, { name: 'empty.test', port: 80 }, { 'empty.test': [] });
    assert.deepEqual(await empty.session.until(() => true), []);
    const dot = await start(t, { name: 'dot.test', type: 'SRV' }, { 'dot.test': [srv('.', 0)] });
    assert.deepEqual(await dot.session.until(() => true), []);
  });

  for (const trouble of ['silent', 'servfail', 'refused'] as const) {
    it(`fails, and reports nothing, when the server is in trouble: ${trouble}`, async (t) => {
      const { server, session } = await start(t, { name: 'orders.test', port: 80 }, { 'orders.test': [a('10.0.0.1')] });
      await session.until((list) => list.length === 1);
      server.trouble = trouble;
      const error = (await session.ended) as NodeJS.ErrnoException;
      assert.match(error.code ?? '', /^E(TIMEOUT|SERVFAIL|REFUSED)$/);
      assert.ok(session.reports.every((list) => list.length === 1));
    });
  }
});
