import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endToEndHeaders, endToEndResponseHeaders, gatewayHeaders } from '../../subgraphs/forwarding.ts';
import { createRequestContext } from '../support/request-context.ts';

const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

function asObject(headers: readonly string[]): Record<string, string> {
  const object: Record<string, string> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) object[headers[i] ?? ''] = headers[i + 1] ?? '';
  return object;
}

test('end-to-end fields of a request stay, in order, spelling and number', () => {
  const fields = [
    'Accept',
    'a',
    'X-B',
    'caf\xe9',
    'accept',
    'c',
    'Content-Length',
    '5',
    'Cookie',
    'd=e',
    'X-Userland',
    'f',
  ];
  assert.deepEqual(endToEndHeaders(fields), fields);
  assert.deepEqual(endToEndHeaders([]), []);
});

test('"a proxy MUST remove the fields for one hop, and those that Connection names" (RFC 9110 section 7.6.1)', () => {
  const fields = [
    ...['Connection', 'close, X-Private ,X-Other', 'Keep-Alive', 'timeout=5', 'TE', 'trailers', 'Upgrade', 'h2c'],
    ...['Transfer-Encoding', 'chunked', 'Proxy-Connection', 'keep-alive', 'Proxy-Authorization', 'Basic x'],
    ...['x-private', '1', 'X-OTHER', '2', 'X-Kept', '3', 'CONNECTION', 'x-third', 'x-third', '4'],
  ];
  assert.deepEqual(endToEndHeaders(fields), ['X-Kept', '3']);
  assert.deepEqual(endToEndResponseHeaders(fields), ['X-Kept', '3']);
});

test('a client cannot say what the gateway says, in whatever spelling', () => {
  for (const name of [
    ...['Host', 'Expect', 'Via', 'Forwarded', 'X-Forwarded-For', 'x-forwarded-prefix', 'X_Forwarded_For', 'X-Real-IP'],
    ...[
      'X-User-Id',
      'x-user-roles',
      'X-User-Scopes',
      'x_user_id',
      'Client-Cert',
      'client_cert',
      'Client-Cert-Chain',
      'X-Forwarded-Client-Cert',
      'X-User_Roles',
      'X-Request-Id',
      'x_request_id',
    ],
    ...['X-Request-Timeout-Ms', 'Trailer', 'HTTP2-Settings'],
  ]) {
    assert.deepEqual(endToEndHeaders([name, 'value']), [], name);
  }
});

test('a trace goes on when it is well-formed', () => {
  assert.deepEqual(endToEndHeaders(['traceparent', trace]), ['traceparent', trace]);
  for (const value of [
    '',
    'x',
    trace.toUpperCase(),
    `ff${trace.slice(2)}`,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
  ]) {
    assert.deepEqual(endToEndHeaders(['traceparent', value]), [], value);
  }
});

test('an answer keeps what is end-to-end, every Set-Cookie by itself', () => {
  const fields = ['Set-Cookie', 'a=1', 'ETag', '"x"', 'set-cookie', 'b=2', 'Via', '1.1 other', 'Trailer', 'x-sum'];
  assert.deepEqual(endToEndResponseHeaders(['Connection', 'keep-alive', ...fields]), fields);
});

test('the gateway names itself, the client, the request and the time that is left', () => {
  assert.deepEqual(asObject(gatewayHeaders(createRequestContext(), 1_234.9)), {
    via: '1.1 selvage',
    forwarded: 'for=192.0.2.1;host=shop.example;proto=http',
    'x-forwarded-for': '192.0.2.1',
    'x-forwarded-host': 'shop.example',
    'x-forwarded-proto': 'http',
    'x-request-id': 'request-1',
    'x-request-timeout-ms': '1234',
  });
  assert.equal(asObject(gatewayHeaders(createRequestContext(), -3))['x-request-timeout-ms'], '0');
});

test('an empty Via, or one of several, leaves no empty element (RFC 9110 section 5.6.1)', () => {
  const viaOf = (via: string) => asObject(gatewayHeaders(createRequestContext({ headers: { via } }), 1))['via'];
  for (const via of ['', ' ', ',', ', ,']) assert.equal(viaOf(via), '1.1 selvage', via);
  for (const via of [', 1.0 a', '1.0 a, ', ',1.0 a,, ']) assert.equal(viaOf(via), '1.0 a, 1.1 selvage', via);
  assert.equal(viaOf('1.0 a, , 1.1 b (x)'), '1.0 a, 1.1 b (x), 1.1 selvage');
});

test('Via is continued, and Forwarded quotes what needs quotes (RFC 7239 section 4)', () => {
  const context = createRequestContext({
    headers: { via: '1.0 first, 1.1 second' },
    client: {
      address: '2001:db8::1',
      protocol: 'https',
      host: 'shop.example:8443',
      forwardedFor: '2001:db8::1, 192.0.2.7, ha"ck',
    },
  });
  const headers = asObject(gatewayHeaders(context, 1));
  assert.equal(headers['via'], '1.0 first, 1.1 second, 1.1 selvage');
  assert.equal(
    headers['forwarded'],
    'for="[2001:db8::1]";host="shop.example:8443";proto=https, for=192.0.2.7, for=unknown',
  );
});

test('the viewer goes along', () => {
  const viewer = {
    id: 'ann',
    kind: 'jwt',
    issuer: 'https://idp.example',
    scopes: new Set(['orders:read']),
    roles: ['buyer', 'admin'],
    claims: {},
  } as const;
  const headers = asObject(gatewayHeaders(createRequestContext({ viewer }), 1));
  assert.equal(headers['x-user-id'], 'ann');
  assert.equal(headers['x-user-roles'], 'buyer,admin');
});
