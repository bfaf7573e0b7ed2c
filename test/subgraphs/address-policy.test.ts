import assert from 'node:assert/strict';
import type { LookupAddress, LookupAllOptions } from 'node:dns';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { Client } from 'undici';
import { createAddressPolicy } from '../../subgraphs/address-policy.ts';

const badRequest = { name: 'GatewayError', code: 'BAD_REQUEST' };
const forbidden = { name: 'GatewayError', code: 'FORBIDDEN' };

/** A resolver that knows these names. */
function resolving(names: Record<string, readonly string[]>) {
  return (
    hostname: string,
    _options: LookupAllOptions,
    callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
  ) => {
    const addresses = names[hostname] ?? [];
    callback(
      addresses.length === 0 ? Object.assign(new Error('not found'), { code: 'ENOTFOUND' }) : null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
}

function lookup(policy: ReturnType<typeof createAddressPolicy>, hostname: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    policy.lookup(hostname, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });
}

test('ordinary origins pass: names, private and loopback addresses, with and without a port', () => {
  const policy = createAddressPolicy();
  for (const url of [
    'http://orders',
    'http://orders.svc.example:8080/',
    'https://10.0.0.5',
    'http://127.0.0.1:4001',
    'http://[::1]:4001',
    'http://[fd12::5]:80',
    'http://192.168.1.1',
    'http://my_service:80',
  ]) {
    policy.assertAllowed(url);
  }
});

test('what is no origin of an HTTP service is a bad request', () => {
  const policy = createAddressPolicy();
  for (const url of [
    '',
    'orders:80',
    'ftp://a',
    'file:///etc/passwd',
    'unix:/run/docker.sock',
    'http://',
    'http://user@a',
    'http://user:pass@a',
    'http://@a',
    'http://a/b',
    'http://a\\b',
    'http://a?',
    'http://a#',
    'http://a/?x=1',
    'http://a:0',
    'http://a:99999',
    'http://a\tb',
    ' http://a',
    'http://a\n',
  ]) {
    assert.throws(() => policy.assertAllowed(url), badRequest, JSON.stringify(url));
  }
});

test('metadata, link-local, unspecified, multicast and broadcast addresses are refused in any spelling', () => {
  const policy = createAddressPolicy();
  for (const host of [
    '169.254.169.254',
    '2852039166',
    '0xa9fea9fe',
    '0251.0376.0251.0376',
    '0xa9.254.0251.254',
    '169.254.43518',
    '169.254.169.254.',
    '[::ffff:169.254.169.254]',
    '[::ffff:a9fe:a9fe]',
    '[::169.254.169.254]',
    '[64:ff9b::169.254.169.254]',
    '[2002:a9fe:a9fe::1]',
    '[fe80::1]',
    '[febf::1]',
    '[fd00:ec2::254]',
    '[fd00:0ec2:0:0:0:0:0:254]',
    '100.100.100.200',
    '168.63.129.16',
    'metadata.google.internal',
    'METADATA.google.internal.',
    'metadata.google%2einternal',
    '169。254。169。254',
    '0',
    '0.0.0.0',
    '[::]',
    '224.0.0.1',
    '239.255.255.255',
    '[ff02::1]',
    '255.255.255.255',
    '4294967295',
  ]) {
    assert.throws(() => policy.assertAllowed(`http://${host}:80`), forbidden, host);
  }
});

test('with a list nothing passes but what it names', () => {
  const policy = createAddressPolicy(['orders.example', '*.svc.example', '10.0.0.0/8', '192.168.7.7', 'fd12::/16']);
  for (const host of [
    'orders.example',
    'ORDERS.example.',
    'a.svc.example',
    'a.b.svc.example',
    '10.1.2.3',
    '192.168.7.7',
    '[fd12::9]',
  ]) {
    policy.assertAllowed(`http://${host}:8080`);
  }
  for (const host of [
    'svc.example',
    'evil-svc.example',
    'orders.example.evil',
    '192.168.7.8',
    '127.0.0.1',
    '[::1]',
    '169.254.169.254',
  ]) {
    assert.throws(() => policy.assertAllowed(`http://${host}:8080`), forbidden, host);
  }
});

test('an address that is refused by default passes when the list names it', () => {
  createAddressPolicy(['169.254.7.7']).assertAllowed('http://169.254.7.7');
});

test('a list with a mistake in it is refused at birth', () => {
  for (const entry of ['http://a', '10.0.0.0/33', '10.0.0.0/x', 'a/8', '*', 'a.*.b', '']) {
    assert.throws(() => createAddressPolicy([entry]), badRequest, entry);
  }
});

test('a name that resolves to a metadata address leads nowhere, and loses only that one among others', async () => {
  const policy = createAddressPolicy(
    undefined,
    resolving({ bad: ['169.254.169.254', 'fe80::1%eth0'], mixed: ['169.254.169.254', '10.0.0.5'] }),
  );
  await assert.rejects(lookup(policy, 'bad'), { code: 'ERR_ADDRESS_REFUSED' });
  assert.deepEqual(await lookup(policy, 'mixed'), [{ address: '10.0.0.5', family: 4 }]);
  await assert.rejects(lookup(policy, 'nobody'), { code: 'ENOTFOUND' });
});

test('a host that the list names may be anywhere; one that a wildcard covers may not', async () => {
  const names = { 'a.example': ['169.254.7.7'], 'b.svc.example': ['169.254.7.7'] };
  const policy = createAddressPolicy(['a.example', '*.svc.example'], resolving(names));
  assert.deepEqual(await lookup(policy, 'a.example'), [{ address: '169.254.7.7', family: 4 }]);
  await assert.rejects(lookup(policy, 'b.svc.example'), { code: 'ERR_ADDRESS_REFUSED' });
});

test('the lookup serves a real connection, and stops one to a name that was rebound', async (t) => {
  const server = createServer((socket) => {
    socket.end('HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const addresses = ['127.0.0.1'];
  const policy = createAddressPolicy(undefined, resolving({ 'orders.example': addresses }));
  const ask = async () => {
    const client = new Client(`http://orders.example:${port}`, { connect: { lookup: policy.lookup } });
    try {
      return (await client.request({ path: '/', method: 'GET' })).statusCode;
    } finally {
      await client.close();
    }
  };
  assert.equal(await ask(), 204);
  addresses[0] = '169.254.169.254';
  await assert.rejects(ask(), { code: 'ERR_ADDRESS_REFUSED' });
});
