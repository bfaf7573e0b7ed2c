import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createAuthority, certificatesSkipReason as skip, type TestCertificate } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { makeFolder } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

async function setUp(t: TestContext) {
  const authority = await createAuthority(t);
  const issue = (name: string, san = `DNS:${name}`, seconds?: number) =>
    authority.issue(name.replaceAll('*', 'any'), {
      usage: 'serverAuth',
      san,
      ...(seconds !== undefined && { seconds }),
    });
  const rest = await startServer(t, (_incoming, response) => response.end('ok'));
  const services: GatewayConfig['services'] = {
    rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/a' } }] },
  };
  return { authority, issue, services };
}

const pair = ({ certificateFile, keyFile }: TestCertificate) => ({ certificate: certificateFile, key: keyFile });

/** The serial number of the certificate that a client gets. */
async function serialOf(url: string, servername?: string): Promise<string> {
  const socket = connect({
    port: Number(new URL(url).port),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...(servername && { servername }),
  });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

test('clients get the certificate for the name they ask for', { skip }, async (t) => {
  const { authority, issue, services } = await setUp(t);
  const [main, shop, any] = [await issue('main.example'), await issue('shop.example'), await issue('*.shop.example')];
  const gateway = await startGateway(t, {
    services,
    listen: { tls: { ...pair(main), certificates: [pair(shop), pair(any)] } },
  });
  const asked = async (name?: string) => serialOf(gateway.url, name);
  const [ofMain, ofShop, ofAny] = [
    await asked('main.example'),
    await asked('shop.example'),
    await asked('a.shop.example'),
  ];
  assert.equal(new Set([ofMain, ofShop, ofAny]).size, 3);
  assert.equal(await asked('SHOP.example'), ofShop);
  assert.equal(await asked('a.b.shop.example'), ofMain, 'a wildcard is one label');
  assert.equal(await asked('other.example'), ofMain);
  assert.equal(await asked(), ofMain);

  const session = await connectHttp2(t, gateway.url, { ca: authority.certificate, servername: 'shop.example' });
  assert.equal((await askHttp2(session, '/a', { ':authority': 'shop.example:443' })).status, 200);
  assert.equal((await askHttp2(session, '/a', { ':authority': 'main.example' })).status, 421, 'sent again elsewhere');
  const metrics = String((await gateway.admin('GET', '/metrics')).body);
  assert.equal(metrics.match(/selvage_tls_certificate_end_timestamp_seconds\{/g)?.length, 3);
});

test('certificates that change are taken, bad ones are refused, and connections go on', { skip }, async (t) => {
  const { authority, issue, services } = await setUp(t);
  const folder = await makeFolder(t);
  // As Kubernetes mounts a Secret: the files are links into a folder that is swapped as a whole.
  const put = async (version: string, certificate: string, key: string) => {
    await mkdir(join(folder, version));
    await copyFile(certificate, join(folder, version, 'tls.crt'));
    await copyFile(key, join(folder, version, 'tls.key'));
    await symlink(version, join(folder, 'next'));
    await rename(join(folder, 'next'), join(folder, '..data'));
  };
  const first = await issue('gateway.example', 'DNS:gateway.example', 86_400);
  await put('1', first.certificateFile, first.keyFile);
  for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(folder, name));
  const gateway = await startGateway(t, {
    services,
    listen: { tls: { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') } },
  });
  const logged = (message: string) => gateway.lines.filter(({ msg }) => msg === message).length;
  assert.equal(logged('a certificate ends soon'), 1);
  const session = await connectHttp2(t, gateway.url, { ca: authority.certificate, servername: 'gateway.example' });
  const before = await serialOf(gateway.url, 'gateway.example');

  await put('2', first.certificateFile, authority.keyFile);
  await until(() => logged('certificates are bad: the old ones serve on') === 1, 'it says so');
  assert.equal(await serialOf(gateway.url, 'gateway.example'), before);

  const second = await issue('second.example', 'DNS:gateway.example', 30 * 86_400);
  await put('3', second.certificateFile, second.keyFile);
  await until(async () => (await serialOf(gateway.url, 'gateway.example')) !== before, 'the new one serves');
  assert.notEqual(await serialOf(gateway.url), before, 'also without a name');
  assert.equal((await askHttp2(session, '/a', { ':authority': 'gateway.example' })).status, 200);
  assert.equal(logged('a certificate ends soon'), 1);
});

test('the oldest version of TLS is chosen, and failed handshakes are counted', { skip }, async (t) => {
  const { issue, services } = await setUp(t);
  const tls = { ...pair(await issue('gateway.example')), minVersion: 'TLSv1.3' as const };
  const gateway = await startGateway(t, { services, listen: { tls } });
  const port = Number(new URL(gateway.url).port);
  const old = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  await assert.rejects(once(old, 'secureConnect'));
  await until(async () => {
    const { body } = await gateway.admin('GET', '/metrics');
    return /selvage_tls_handshake_failures_total\{reason="protocol"\} 1/.test(String(body));
  }, 'it is counted');
});

test('plain HTTP is led to HTTPS, for hosts that a certificate is for', { skip }, async (t) => {
  const { issue, services } = await setUp(t);
  const folder = await makeFolder(t);
  await writeFile(join(folder, 'token-1'), 'token-1.thumb');
  const gateway = await startGateway(t, {
    services,
    listen: {
      tls: pair(await issue('gateway.example')),
      redirect: { port: 0, toPort: 443, acmeChallenges: folder },
    },
  });
  const from = String(gateway.lines.find(({ msg }) => msg === 'redirecting to HTTPS')?.['url']);
  const ask = async (path: string, host: string, method = 'GET') => {
    const sent = request(from, { path, method, headers: { host }, agent: false }).end();
    const [response] = await once(sent, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    return [response.statusCode, response.headers.location, text];
  };
  const to = 'https://gateway.example/a?b=c';
  assert.deepEqual(await ask('/a?b=c', 'gateway.example:80'), [308, to, '']);
  assert.deepEqual(await ask('/a?b=c', 'gateway.example', 'POST'), [308, to, '']);
  assert.equal((await ask('/a', 'evil.example'))[0], 421);
  assert.equal((await ask('/a', 'gateway.example@evil.example'))[0], 400);
  assert.equal((await ask('http://evil.example/', 'gateway.example'))[0], 400);
  const challenges = '/.well-known/acme-challenge/';
  assert.deepEqual(await ask(`${challenges}token-1`, 'gateway.example'), [200, undefined, 'token-1.thumb']);
  assert.equal((await ask(`${challenges}missing`, 'gateway.example'))[0], 404);
  assert.equal((await ask(`${challenges}..%2f..%2fpasswd`, 'evil.example'))[0], 421);
});
