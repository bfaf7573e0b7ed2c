/** Nobody can choose the address by which limits and logs know him. */
import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { createClientResolver } from '../../policies/client-address.ts';
import type { Client } from '../../policies/request-context.ts';

const trusted = ['10.0.0.0/8', '192.0.2.7', '2001:db8:1::/48'];

function resolve(peer: string | undefined, headers: Record<string, string> = {}, proxies = trusted): Client {
  return createClientResolver(proxies)({ socket: { remoteAddress: peer }, headers: { host: 'shop', ...headers } });
}

describe('the client', () => {
  it('is the peer where no proxy is trusted, whatever it says', () => {
    const headers = {
      'x-forwarded-for': '1.1.1.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      forwarded: 'for=1.1.1.1',
    };
    const peer = {
      address: '10.0.0.1',
      protocol: 'http',
      host: 'shop',
      forwardedFor: '10.0.0.1',
      forwarded: 'for=10.0.0.1;host=shop;proto=http',
    };
    assert.deepEqual(resolve('10.0.0.1', headers, []), peer);
    assert.deepEqual(resolve('198.51.100.1', headers), {
      ...peer,
      address: '198.51.100.1',
      forwardedFor: '198.51.100.1',
      forwarded: 'for=198.51.100.1;host=shop;proto=http',
    });
  });

  it('is another one where a connection asks for another host', () => {
    const resolver = createClientResolver([]);
    const socket = { remoteAddress: '10.0.0.1' };
    const ask = (host: string) => resolver({ socket, headers: { host } });
    assert.deepEqual([ask('a').host, ask('b').host, ask('a').host], ['a', 'b', 'a']);
    assert.equal(ask('b').forwarded, 'for=10.0.0.1;host=b;proto=http');
    assert.equal(ask('b'), ask('b'));
  });

  it('is whom the trusted peer names', () => {
    const headers = {
      'x-forwarded-for': '198.51.100.9',
      'x-forwarded-proto': 'HTTPS',
      'x-forwarded-host': 'a.example:8443',
    };
    assert.deepEqual(resolve('10.0.0.1', headers), {
      address: '198.51.100.9',
      protocol: 'https',
      host: 'a.example:8443',
      forwardedFor: '198.51.100.9, 10.0.0.1',
    });
  });

  const walks: [title: string, forwardedFor: string, address: string, chain: string][] = [
    [
      'the first untrusted from the right',
      '1.1.1.1, 198.51.100.9, 10.2.2.2',
      '198.51.100.9',
      '198.51.100.9, 10.2.2.2, 10.0.0.1',
    ],
    ['the leftmost where all are trusted', '10.3.3.3,10.2.2.2', '10.3.3.3', '10.3.3.3, 10.2.2.2, 10.0.0.1'],
    ['the last good one before garbage', '1.1.1.1, unknown, 10.2.2.2', '10.2.2.2', '10.2.2.2, 10.0.0.1'],
    ['the peer where all is garbage', 'a"b\u0000, ,', '10.0.0.1', '10.0.0.1'],
    ['the peer where the field is empty', '', '10.0.0.1', '10.0.0.1'],
    ['an address without its port', '198.51.100.9:4711', '198.51.100.9', '198.51.100.9, 10.0.0.1'],
    ['an IPv6 address without brackets and port', '[2001:DB8:0:0::1]:443', '2001:db8::1', '2001:db8::1, 10.0.0.1'],
    ['one spelling of an IPv6 address', '2001:DB8:0000::0001', '2001:db8::1', '2001:db8::1, 10.0.0.1'],
    ['the IPv4 address that IPv6 wraps', '1.1.1.1, ::ffff:0a02:0202', '1.1.1.1', '1.1.1.1, 10.2.2.2, 10.0.0.1'],
    ['no address with leading zeros', '010.1.1.1', '10.0.0.1', '10.0.0.1'],
  ];
  for (const [title, forwardedFor, address, chain] of walks) {
    it(`is ${title}: ${JSON.stringify(forwardedFor)}`, () => {
      const client = resolve('10.0.0.1', { 'x-forwarded-for': forwardedFor });
      assert.equal(client.address, address);
      assert.equal(client.forwardedFor, chain);
    });
  }

  it('is recognized behind trusted peers of every family', () => {
    for (const peer of ['10.9.9.9', '::ffff:10.9.9.9', '192.0.2.7', '2001:db8:1:2::3']) {
      assert.equal(resolve(peer, { 'x-forwarded-for': '1.1.1.1' }).address, '1.1.1.1', peer);
    }
    for (const peer of ['11.0.0.1', '192.0.2.8', '2001:db8:2::1', '::ffff:11.0.0.1']) {
      assert.notEqual(resolve(peer, { 'x-forwarded-for': '1.1.1.1' }).address, '1.1.1.1', peer);
    }
  });

  it('keeps what its own connection says where a trusted proxy says nonsense', () => {
    for (const host of ['a b', 'a/b', 'a@b', 'a,', '"', 'a:b', 'x\u0000']) {
      const headers = { 'x-forwarded-host': host, 'x-forwarded-proto': 'gopher' };
      const { protocol, host: found } = resolve('10.0.0.1', headers);
      assert.deepEqual([protocol, found], ['http', 'shop'], host);
    }
  });

  it('takes what the nearest proxy wrote where several wrote', () => {
    const headers = { 'x-forwarded-host': 'evil.example, a.example', 'x-forwarded-proto': 'http, https' };
    assert.deepEqual(
      [resolve('10.0.0.1', headers).host, resolve('10.0.0.1', headers).protocol],
      ['a.example', 'https'],
    );
  });

  it('of a socket that is gone has no address, and is not trusted', () => {
    assert.equal(resolve(undefined, { 'x-forwarded-for': '1.1.1.1' }, ['0.0.0.0/0', '::/0']).address, '0.0.0.0');
  });

  it('came by TLS if the socket did', () => {
    const client = createClientResolver([])({ socket: { remoteAddress: '::1', encrypted: true }, headers: {} });
    assert.deepEqual(client, {
      address: '::1',
      protocol: 'https',
      host: '',
      forwardedFor: '::1',
      forwarded: 'for="[::1]";host="";proto=https',
    });
  });

  it('is found over a real socket', async () => {
    const resolver = createClientResolver(['127.0.0.0/8']);
    const server = createServer((request, response) => response.end(JSON.stringify(resolver(request))));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const headers = ['host', 'shop', 'x-forwarded-for', '1.1.1.1', 'x-forwarded-for', '198.51.100.9'];
    const body = await new Promise<string>((done, reject) => {
      get({ port, host: '127.0.0.1', headers, agent: false }, async (response) => {
        done(Buffer.concat(await response.toArray()).toString());
      }).on('error', reject);
    });
    await new Promise((done) => server.close(done));
    const expected = {
      address: '198.51.100.9',
      protocol: 'http',
      host: 'shop',
      forwardedFor: '198.51.100.9, 127.0.0.1',
    };
    assert.deepEqual(JSON.parse(body), expected);
  });
});

describe('trustedProxies', () => {
  for (const entry of [
    'localhost',
    '10.0.0.0/33',
    '10.0.0.0/',
    '::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '',
    '10.0/8',
    'fe80::1%lo',
  ]) {
    it(`refuses "${entry}" and names it`, () => {
      assert.throws(
        () => createClientResolver([entry]),
        (error) => error instanceof TypeError && error.message.includes(`"${entry}"`),
      );
    });
  }
});
