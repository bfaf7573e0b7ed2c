import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createSecureServer, type Http2SecureServer, type SecureClientSessionOptions } from 'node:http2';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import type { ServiceTlsOptions } from '../../subgraphs/service-tls-options.ts';
import { createAuthority, certificatesSkipReason as skip, type TestCertificate } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { makeFolder } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const servername = 'gateway.example';
const orders = 'spiffe://shop.example/ns/orders';

/** A gateway with TLS whose clients show certificates, and requests to it in either version of HTTP. */
async function startFront(t: TestContext, clientCertificates: 'request' | 'require') {
  const authority = await createAuthority(t);
  const own = await authority.issue('gateway', { usage: 'serverAuth', san: `DNS:${servername}` });
  const folder = await makeFolder(t);
  const clientCa = join(folder, 'clients.pem');
  await writeFile(clientCa, authority.certificate);
  const rest = await startServer(t, ({ headers }, response) => response.end(String(headers['x-user-id'] ?? 'nobody')));
  const gateway = await startGateway(t, {
    listen: { tls: { certificate: own.certificateFile, key: own.keyFile, clientCa, clientCertificates } },
    authentication: { clientCertificates: [{ san: `${orders}/*` }] },
    services: { rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/*' } }] } },
  });
  const by = (made?: TestCertificate) => ({
    ca: authority.certificate,
    servername,
    ...(made && { cert: made.certificate, key: made.key }),
  });
  const versions: Record<string, (made?: TestCertificate) => Promise<{ status: number; text: string }>> = {
    async 'HTTP/1.1'(made) {
      const [response] = await once(request(`${gateway.url}/a`, { agent: false, ...by(made) }).end(), 'response');
      let text = '';
      for await (const chunk of response) text += chunk;
      assert.equal(response.httpVersion, '1.1');
      return { status: response.statusCode, text };
    },
    async 'HTTP/2'(made) {
      const session = await connectHttp2(t, gateway.url, by(made) as SecureClientSessionOptions);
      try {
        return await askHttp2(session, '/a', { ':authority': servername });
      } finally {
        session.destroy();
      }
    },
  };
  const strangers = await createAuthority(t, 'stranger');
  const san = `URI:${orders}/a`;
  const wrong = {
    'of another CA': await strangers.issue('foreign', { san }),
    'that has ended': await authority.issue('ended', { san, seconds: -1 }),
    'that is for servers': await authority.issue('server', { san, usage: 'serverAuth' }),
  };
  const right = await authority.issue('orders', { san });
  const handshakeFailures = async () => {
    const { body } = await gateway.admin('GET', '/metrics');
    const lines = String(body).matchAll(/^selvage_tls_handshake_failures_total\{reason="\w+"\} (\d+)/gm);
    return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  return { authority, gateway, clientCa, strangers, versions, right, wrong, handshakeFailures };
}

test('where certificates are required, nobody gets further than the handshake without a valid one', {
  skip,
}, async (t) => {
  const { versions, right, wrong, gateway, handshakeFailures } = await startFront(t, 'require');
  for (const [version, ask] of Object.entries(versions)) {
    assert.deepEqual(Object.values(await ask(right)).includes(`${orders}/a`), true, version);
    const before = await handshakeFailures();
    await assert.rejects(ask(), `${version} without one`);
    for (const [what, made] of Object.entries(wrong)) await assert.rejects(ask(made), `${version} with one ${what}`);
    await until(async () => (await handshakeFailures()) === before + 4, 'all are counted');
  }
  assert.equal(gateway.lines.filter(({ msg }) => msg === 'request').length, 2, 'none of them became a request');
});

test('where they are asked for, none is an anonymous client, and one that is not valid a 401', { skip }, async (t) => {
  const { versions, right, wrong } = await startFront(t, 'request');
  for (const [version, ask] of Object.entries(versions)) {
    const good = await ask(right);
    assert.deepEqual([good.status, good.text], [200, `${orders}/a`], version);
    const none = await ask();
    assert.deepEqual([none.status, none.text], [200, 'nobody'], version);
    for (const [what, made] of Object.entries(wrong)) {
      const { status, text } = await ask(made);
      assert.equal(status, 401, `${version} with one ${what}`);
      assert.match(text, /"code":"UNAUTHENTICATED"/);
    }
  }
});

test('another CA for clients holds from its file on', { skip }, async (t) => {
  const { versions, right, wrong, gateway, clientCa, strangers } = await startFront(t, 'require');
  await writeFile(`${clientCa}.new`, strangers.certificate);
  await rename(`${clientCa}.new`, clientCa);
  await until(() => gateway.lines.some(({ msg }) => msg === 'certificates were read again'), 'it is read');
  for (const [version, ask] of Object.entries(versions)) {
    assert.equal((await ask(wrong['of another CA'])).status, 200, version);
    await assert.rejects(ask(right), version);
  }
});

/** A service that speaks HTTP/2 and HTTP/1.1 by TLS, and lets in whom its CA knows. */
async function startService(t: TestContext, own: TestCertificate, ca: string) {
  const seen: string[] = [];
  const options = { cert: own.certificate, key: own.key, ca, requestCert: true, rejectUnauthorized: true };
  const sockets = new Set<TLSSocket>();
  const server: Http2SecureServer = createSecureServer({ ...options, allowHTTP1: true }, (incoming, response) => {
    seen.push(`${incoming.httpVersion} ${incoming.url}`);
    incoming.resume().on('end', () => response.end('ok'));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const show = (made: TestCertificate) =>
    server.setSecureContext({ ...options, cert: made.certificate, key: made.key });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, show };
}

async function setUpServices(t: TestContext) {
  const authority = await createAuthority(t);
  const own = await authority.issue('gateway');
  const issue = (name: string, san: string, seconds = 3_600) =>
    authority.issue(name, { usage: 'serverAuth', san, seconds });
  const tls: ServiceTlsOptions = {
    ca: authority.certificateFile,
    certificate: own.certificateFile,
    key: own.keyFile,
    subjectAltName: [orders],
  };
  return { authority, issue, tls };
}

for (const http2 of [false, true]) {
  const version = http2 ? 'HTTP/2' : 'HTTP/1.1';

  test(`a service with a certificate that has ended, or with another name, gets nothing by ${version}`, {
    skip,
  }, async (t) => {
    const { authority, issue, tls } = await setUpServices(t);
    const good = await issue('orders', `URI:${orders}`);
    const bad: Record<string, { made: TestCertificate; why: string }> = {
      ended: { made: await issue('ended', `URI:${orders}`, -1), why: 'CERT_HAS_EXPIRED' },
      below: { made: await issue('below', `URI:${orders}/eu`), why: 'ERR_TLS_CERT_ALTNAME_INVALID' },
      // A name of another kind says nothing, however it reads.
      kind: { made: await issue('kind', `email:${orders}`), why: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    };
    const services: NonNullable<GatewayConfig['services']> = {};
    const running: Record<string, Awaited<ReturnType<typeof startService>>> = {};
    for (const [name, { made }] of Object.entries(bad)) {
      const service = await startService(t, made, authority.certificate);
      running[name] = service;
      services[name] = {
        ...{ tls, http2, instances: [{ url: service.url }], routes: [{ match: { path: `/${name}` } }] },
        health: { interval: '1s' },
      };
    }
    const gateway = await startGateway(t, { services });
    for (const [name, { why }] of Object.entries(bad)) {
      const answer = await fetch(`${gateway.url}/${name}`);
      assert.equal(answer.status, 503, name);
      assert.doesNotMatch(await answer.text(), /spiffe|127\.0\.0\.1|CERT_/);
      const told = () =>
        gateway.lines.find((line) => line['service'] === name && line.msg === 'health of an instance')?.['why'];
      await until(() => told() !== undefined, 'the log says why');
      assert.equal(told(), why);
      assert.deepEqual(running[name]?.seen, []);
    }
    running['ended']?.show(good);
    await until(async () => (await fetch(`${gateway.url}/ended`)).status === 200, 'a new certificate is enough');
    assert.equal(running['ended']?.seen.at(-1), `${http2 ? '2.0' : '1.1'} /ended`);
  });

  test(`CA and certificate of a service change under load, and no request by ${version} fails`, {
    skip,
  }, async (t) => {
    const { authority, issue, tls } = await setUpServices(t);
    const next = await createAuthority(t, 'next');
    const first = await issue('first', `URI:${orders}`);
    const second = await next.issue('second', { usage: 'serverAuth', san: `URI:${orders}` });
    const service = await startService(t, first, authority.certificate);
    const ca = join(await makeFolder(t), 'ca.pem');
    const believe = async (...certificates: string[]) => {
      await writeFile(`${ca}.new`, certificates.join('\n'));
      await rename(`${ca}.new`, ca);
    };
    await believe(authority.certificate);
    assert.match(await readFile(ca, 'utf8'), /BEGIN CERTIFICATE/);
    const gateway = await startGateway(t, {
      services: {
        orders: {
          ...{ tls: { ...tls, ca }, http2, instances: [{ url: service.url }] },
          routes: [{ match: { path: '/*' } }],
        },
      },
    });
    const statuses: Record<string, number> = {};
    let goesOn = true;
    t.after(() => {
      goesOn = false;
    });
    const running = Array.from({ length: 4 }, async () => {
      // A request that may not be sent twice shows what a retry would hide.
      while (goesOn) {
        const { status } = await fetch(`${gateway.url}/a`, { method: 'POST', body: 'body' });
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    });
    const readAgain = () =>
      gateway.lines.filter(({ msg }) => msg === 'the certificates of a service were read again').length;
    const goOn = async () => {
      const before = service.seen.length;
      await until(() => service.seen.length > before + 20, 'requests go on');
    };
    await goOn();
    await believe(authority.certificate, next.certificate);
    await until(() => readAgain() === 1, 'both are believed');
    service.show(second);
    await goOn();
    await believe(next.certificate);
    await until(() => readAgain() === 2, 'the new one alone is believed');
    await goOn();
    goesOn = false;
    await Promise.all(running);
    assert.deepEqual(Object.keys(statuses), ['200'], JSON.stringify(statuses));
  });
}
