import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { credentials, ServerCredentials, status } from '@grpc/grpc-js';
import { createAuthority, certificatesSkipReason as skip } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { ask, compileOrders, connectOrders, startOrders } from './orders.ts';

test('gRPC passes over TLS on both sides, with the certificates that both ask for', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const issue = (name: string) => authority.issue(name, { usage: 'serverAuth', san: `DNS:${name}.example` });
  const [outer, inner] = [await issue('shop'), await issue('orders')];
  const own = await authority.issue('gateway');
  const ca = Buffer.from(authority.certificate);
  const pair = { private_key: Buffer.from(inner.key), cert_chain: Buffer.from(inner.certificate) };
  const orders = await startOrders(t, {}, ServerCredentials.createSsl(ca, [pair], true));
  const gateway = await startGateway(t, {
    // HTTP/2 is chosen by ALPN: nothing else says it.
    listen: { tls: { certificate: outer.certificateFile, key: outer.keyFile } },
    services: {
      shop: {
        grpc: { descriptors: await compileOrders() },
        tls: {
          ca: authority.certificateFile,
          certificate: own.certificateFile,
          key: own.keyFile,
          serverName: 'orders.example',
        },
        instances: [{ url: orders.url.replace('http:', 'https:') }],
      },
    },
  });
  const client = connectOrders(t, gateway, credentials.createSsl(ca), {
    'grpc.ssl_target_name_override': 'shop.example',
    'grpc.default_authority': 'shop.example',
  });
  const good = await ask(client, 'Get', { orderId: '7' });
  assert.equal(good.error, null);
  assert.equal(good.message.orderId, '7');
  assert.equal((await ask(client, 'Get', { orderId: 'fail-5' })).error?.code, status.NOT_FOUND);
  const chat = client['Chat']?.();
  for (const text of ['one', 'two']) {
    chat.write({ text });
    const [answer] = await once(chat, 'data');
    assert.equal(answer.text, `re: ${text}`);
  }
  const ended = once(chat, 'status');
  chat.end();
  assert.equal((await ended)[0].code, status.OK);

  const session = await connectHttp2(t, gateway.url, { ca: authority.certificate, servername: 'shop.example' });
  const rest = await askHttp2(session, '/v1/orders/8', { ':authority': 'shop.example' });
  assert.deepEqual([rest.status, JSON.parse(rest.text).orderId], [200, '8']);
});

test('an instance that shows another name gets no calls, and clients learn UNAVAILABLE', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const inner = await authority.issue('orders', { usage: 'serverAuth', san: 'DNS:orders.example' });
  const pair = { private_key: Buffer.from(inner.key), cert_chain: Buffer.from(inner.certificate) };
  const orders = await startOrders(t, {}, ServerCredentials.createSsl(null, [pair]));
  const gateway = await startGateway(t, {
    listen: { http2: { clear: true } },
    services: {
      shop: {
        grpc: { services: ['shop.v1.Orders'] },
        tls: { ca: authority.certificateFile, serverName: 'other.example' },
        instances: [{ url: orders.url.replace('http:', 'https:') }],
      },
    },
  });
  const { error } = await ask(connectOrders(t, gateway), 'Get', { orderId: '7' });
  assert.equal(error?.code, status.UNAVAILABLE);
  assert.equal(orders.seen.length, 0);
});
