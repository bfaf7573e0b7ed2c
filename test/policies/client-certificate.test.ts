import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createAuthenticator } from '../../policies/authenticate.ts';
import { createCertificateHeaderReader } from '../../policies/certificate-header.ts';
import {
  type ClientCertificate,
  type ClientCertificateRule,
  createCertificateViewers,
  readClientCertificate,
} from '../../policies/client-certificate.ts';
import { createRevocationList, type RevokedKey } from '../../policies/revocation.ts';
import { createAuthority, certificatesSkipReason as skip, type TestCertificate } from '../support/certificates.ts';

const nowMs = Date.now();

function certificateOf(names: ClientCertificate['names'], more: Partial<ClientCertificate> = {}): ClientCertificate {
  return {
    subject: 'O=Shop, CN=orders',
    names,
    fingerprint: 'ab'.repeat(32),
    issuerFingerprint: 'cd'.repeat(32),
    validFromMs: nowMs - 1_000,
    validToMs: nowMs + 1_000,
    ...more,
  };
}

function identify(rules: ClientCertificateRule[], certificate: ClientCertificate) {
  return createCertificateViewers(rules, () => nowMs).identify(certificate);
}

const uri = (value: string) => ({ kind: 'uri', value }) as const;

test('a rule fits a whole name, or the beginning of a URI', () => {
  const rules = [{ san: 'spiffe://shop/ns/orders/*', scopes: ['read'], roles: ['service'] }];
  const viewer = identify(rules, certificateOf([uri('https://x'), uri('spiffe://shop/ns/orders/a')]));
  assert.equal(viewer?.id, 'spiffe://shop/ns/orders/a');
  assert.equal(viewer.kind, 'certificate');
  assert.equal(viewer.issuer, 'certificate');
  assert.deepEqual([...viewer.scopes], ['read']);
  assert.deepEqual(viewer.roles, ['service']);
  assert.equal(viewer.claims['jti'], 'ab'.repeat(32));
  for (const other of ['spiffe://shop/ns/orders', 'spiffe://shop/ns/ordersx/a', 'SPIFFE://shop/ns/orders/a', 'x']) {
    assert.equal(identify(rules, certificateOf([uri(other)])), null, other);
  }
  assert.equal(identify([{ san: 'spiffe://shop/a' }], certificateOf([uri('spiffe://shop/ab')])), null);
});

test('a name of another kind does not fit, however it reads', () => {
  for (const [san, kind] of [
    ['spiffe://shop/a', 'uri'],
    ['orders.example', 'dns'],
    ['ops@example', 'email'],
  ] as const) {
    for (const given of ['uri', 'dns', 'email'] as const) {
      const viewer = identify([{ san }], certificateOf([{ kind: given, value: san }]));
      assert.equal(viewer?.id, given === kind ? san : undefined, `${san} as ${given}`);
    }
  }
});

test('the case of a DNS name does not matter, and everything that a rule says must fit', () => {
  const dns = certificateOf([{ kind: 'dns', value: 'orders.example' }]);
  assert.equal(identify([{ san: 'Orders.Example' }], dns)?.id, 'orders.example');
  const whole = {
    san: 'orders.example',
    subject: 'O=Shop, CN=orders',
    fingerprint: 'ab'.repeat(32),
    issuerFingerprint: `${'CD:'.repeat(31)}CD`,
    name: 'orders',
  };
  assert.equal(identify([whole], dns)?.id, 'orders');
  for (const wrong of [
    { subject: 'CN=orders' },
    { fingerprint: 'ac'.repeat(32) },
    { issuerFingerprint: 'ce'.repeat(32) },
  ]) {
    assert.equal(identify([{ ...whole, ...wrong }], dns), null, JSON.stringify(wrong));
  }
  assert.equal(identify([whole], certificateOf([], {})), null);
  assert.equal(identify([{ subject: 'O=Shop, CN=orders' }], dns)?.id, 'O=Shop, CN=orders');
  assert.equal(
    identify(
      [
        { ...whole, subject: 'CN=x' },
        { san: 'orders.example', name: 'second' },
      ],
      dns,
    )?.id,
    'second',
  );
});

test('a certificate out of its time is refused, whoever verified it', () => {
  const rules = [{ san: 'x.example' }];
  const late = { validToMs: nowMs };
  const early = { validFromMs: nowMs + 1 };
  for (const time of [late, early, { validToMs: Number.NaN }]) {
    assert.throws(() => identify(rules, certificateOf([], time)), { code: 'UNAUTHENTICATED' });
  }
});

test('names are read as they stand in a certificate, also those made to be misread', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const issuer = new X509Certificate(authority.certificate);
  const read = (made: TestCertificate) => readClientCertificate(new X509Certificate(made.certificate), issuer);
  const plain = read(
    await authority.issue('orders', { san: 'URI:spiffe://shop/a,DNS:Orders.Example,email:ops@example,IP:10.0.0.1' }),
  );
  assert.equal(plain.subject, 'O=Shop, CN=orders');
  assert.deepEqual(plain.names, [
    { kind: 'uri', value: 'spiffe://shop/a' },
    { kind: 'dns', value: 'orders.example' },
    { kind: 'email', value: 'ops@example' },
  ]);
  assert.match(plain.fingerprint, /^[0-9a-f]{64}$/);
  assert.match(plain.issuerFingerprint ?? '', /^[0-9a-f]{64}$/);
  // The comma in hex (ASN.1), because openssl's own list would split at it.
  const forged = '@names\n[names]\nURI.1=http://x/\\, DNS:admin.example\nDNS.1=a.example';
  const misread = read(await authority.issue('forged', { san: forged }));
  assert.deepEqual(misread.names, [
    { kind: 'uri', value: 'http://x/, DNS:admin.example' },
    { kind: 'dns', value: 'a.example' },
  ]);
  assert.deepEqual(read(await authority.issue('bare')).names, []);
});

test('a header of a proxy is a certificate of the CA, or nothing', { skip }, async (t) => {
  const authority = await createAuthority(t);
  const stranger = await createAuthority(t, 'ca');
  const good = await authority.issue('orders', { san: 'URI:spiffe://shop/a' });
  const der = (made: TestCertificate) => new X509Certificate(made.certificate).raw.toString('base64');
  const field = (made: TestCertificate) => `:${der(made)}:`;
  const read = createCertificateHeaderReader('client-cert', authority.certificate);
  assert.deepEqual(read(field(good)).names, [uri('spiffe://shop/a')]);
  assert.equal(read(field(good)), read(field(good)), 'verified once');
  const refused = { code: 'UNAUTHENTICATED' };
  const foreign = await stranger.issue('orders', { san: 'URI:spiffe://shop/a' });
  assert.throws(() => read(field(foreign)), refused, 'of a CA of the same name');
  const server = await authority.issue('server', { san: 'URI:spiffe://shop/a', usage: 'serverAuth' });
  assert.throws(() => read(field(server)), refused, 'for servers');
  const tampered = new X509Certificate(good.certificate).raw;
  tampered[tampered.indexOf('spiffe://shop/a') + 14] = 'b'.charCodeAt(0);
  assert.throws(() => read(`:${tampered.toString('base64')}:`), refused, 'with another name');
  const broken = [der(good), `:${der(good)}`, `:${der(good)}:, :${der(good)}:`, '::', ':AAAA:', good.certificate, ''];
  for (const value of broken) assert.throws(() => read(value), refused, value.slice(0, 20));

  const forwarded = createCertificateHeaderReader('x-forwarded-client-cert', authority.certificate);
  const pem = encodeURIComponent(good.certificate);
  const names = [uri('spiffe://shop/a')];
  assert.deepEqual(forwarded(pem).names, names);
  assert.deepEqual(forwarded(`By=spiffe://proxy;Hash=00;Cert="${pem}";Subject="CN=a;b, c";URI=x`).names, names);
  const first = encodeURIComponent(foreign.certificate);
  assert.deepEqual(forwarded(`Cert="${first}",By=x;Cert="${pem}"`).names, names, 'the last element counts');
  for (const value of [
    `By=x;Cert="${pem}",Cert="${first}"`,
    'By=x;Hash=00;URI=spiffe://shop/a',
    `Cert="${pem}";Cert="${pem}"`,
    `Subject="Cert=${pem}"`,
    'Cert="%"',
  ]) {
    assert.throws(() => forwarded(value), refused, value.slice(0, 20));
  }
  assert.throws(() => createCertificateHeaderReader('client-cert', 'nothing'), TypeError);
  assert.throws(() => createCertificateHeaderReader('client-cert', good.certificate), /none of a CA/);
});

test('a certificate can be revoked, by its fingerprint or with all that its viewer had so far', () => {
  const issuedAt = Math.floor((nowMs - 1_000) / 1_000);
  const certificate = certificateOf([uri('spiffe://shop/a')]);
  const renewed = certificateOf([uri('spiffe://shop/a')], { fingerprint: 'ee'.repeat(32), validFromMs: nowMs + 5_000 });
  const atMs = nowMs + 6_000;
  const judge = (key: RevokedKey, shown: ClientCertificate) => {
    const revocations = createRevocationList({}, () => atMs);
    revocations.add([{ key, issuedUntil: issuedAt, expiresAtMs: atMs + 60_000 }]);
    const options = { clientCertificates: [{ san: 'spiffe://shop/a' }] };
    const { authenticate } = createAuthenticator(options, { revocations, now: () => atMs });
    const lasting = { ...shown, validToMs: atMs + 1_000 };
    return authenticate({}, { method: 'GET', client: { host: 'x' }, certificate: () => lasting });
  };
  const refused = { code: 'UNAUTHENTICATED' };
  assert.throws(() => judge(['token', 'certificate', 'ab'.repeat(32)], certificate), refused);
  assert.throws(() => judge(['subject', 'certificate', 'spiffe://shop/a'], certificate), refused);
  assert.throws(() => judge(['issuer', 'certificate'], certificate), refused);
  for (const key of [
    ['token', 'certificate', 'ab'.repeat(32)],
    ['subject', 'certificate', 'spiffe://shop/a'],
  ] as const) {
    assert.ok(judge(key, renewed), 'a new one is in again');
  }
});
