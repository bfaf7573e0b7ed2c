import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../gateway/config.ts';
import { GatewayError } from '../../policies/errors.ts';

const introspection = { endpoint: 'http://idp.example/introspect', clientId: 'gateway', clientSecret: 'secret' };
const session = { cookie: 'sid', url: 'http://sessions.example/{session}' };

function reasonsFor(authentication: object): string[] {
  try {
    parseConfig({ authentication });
    return [];
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    return (error.reasons ?? []).map(({ message }) => message);
  }
}

describe('authentication in a configuration', () => {
  it('may be by introspection, by session, or by cookie', () => {
    assert.deepEqual(reasonsFor({ required: true, introspection, session, cookies: { token: '__Host-token' } }), []);
    assert.deepEqual(reasonsFor({ required: true, session }), []);
    const batch = { method: 'POST', body: '{"ids": {sessions}}', maxBatchSize: 50 };
    assert.deepEqual(reasonsFor({ session: { ...session, url: 'http://sessions.example/', ...batch } }), []);
  });

  const wrong: Record<string, [object, RegExp]> = {
    'a secret that is missing': [
      { introspection: { ...introspection, clientSecret: undefined } },
      /needs `clientSecret`/,
    ],
    'a cookie with a token that nobody judges': [{ cookies: { token: 't' } }, /neither `jwt` nor `introspection`/],
    'one cookie for two things': [{ introspection, session, cookies: { token: 'sid' } }, /same cookie/],
    'a session from nowhere': [{ session: { url: session.url } }, /`cookie`, `header` or both/],
    'a session that is not told': [{ session: { ...session, url: 'http://sessions.example/' } }, /which session/],
    'a session that chooses the host': [
      { session: { ...session, url: 'http://{session}.example/' } },
      /choose the host/,
    ],
    'a body in a GET': [{ session: { ...session, body: '{}' } }, /needs `method: POST`/],
    'a body that is no JSON': [{ session: { ...session, method: 'POST', body: '{"id": "{session}"}' } }, /no JSON/],
    'a batch without a list': [{ session: { ...session, maxBatchSize: 5 } }, /`\{sessions\}` in `body`/],
    'a session in Authorization': [{ session: { ...session, header: 'Authorization' } }, /another meaning/],
    'keys from two places': [
      { jwt: [{ issuer: 'i', jwksUri: 'https://idp.example/keys', jwksFile: 'keys.json' }] },
      /expected one of/,
    ],
    'a private key': [{ jwt: [{ issuer: 'i', jwks: { keys: [{ kty: 'EC', d: 'x' }] } }] }, /only public keys/],
    'a secret without algorithms': [{ jwt: [{ issuer: 'i', secret: 's'.repeat(32) }] }, /and nothing else/],
    'a secret and algorithms of keys': [
      { jwt: [{ issuer: 'i', secret: 's'.repeat(32), algorithms: ['HS256', 'RS256'] }] },
      /and nothing else/,
    ],
    'a secret and keys': [
      { jwt: [{ issuer: 'i', secret: 's'.repeat(32), algorithms: ['HS256'], jwksFile: 'keys.json' }] },
      /never both/,
    ],
    'a secret that is too short': [
      { jwt: [{ issuer: 'i', secret: 's'.repeat(32), algorithms: ['HS512'] }] },
      /at least 64 bytes/,
    ],
    'a secret that is much too short': [
      { jwt: [{ issuer: 'i', secret: 'hunter2', algorithms: ['HS256'] }] },
      /^[^:]+: expected at least 32 characters, got fewer$/,
    ],
    'HS256 without a secret': [{ jwt: [{ issuer: 'i', algorithms: ['RS256', 'HS256'] }] }, /HS256 needs `secret`/],
    'certificates that never come': [{ clientCertificates: [{ san: 'a.example' }] }, /no certificate would ever come/],
    'a certificate header from nobody': [
      { clientCertificates: [{ san: 'a.example' }], clientCertificateHeader: { ca: 'ca.pem' } },
      /there are no `trustedProxies`/,
    ],
    'a rule about any certificate': [
      { clientCertificates: [{ name: 'all' }], clientCertificateHeader: { ca: 'ca.pem' } },
      /needs `san`, `subject` or `fingerprint`/,
    ],
    'a DNS name that ends in anything': [
      { clientCertificates: [{ san: 'orders.*' }] },
      /expected text that matches|san/,
    ],
    'a URI whose host ends in anything': [{ clientCertificates: [{ san: 'spiffe://shop*' }] }, /san/],
    'a client that is called like the key of another': [
      {
        apiKeys: [
          { name: 'a', sha256: 'a'.repeat(64) },
          { name: 'b', sha256: 'b'.repeat(64), client: 'a' },
        ],
      },
      /another client with the name `a`/,
    ],
    'a key that expires on no day': [
      { apiKeys: [{ name: 'a', sha256: 'a'.repeat(64), expires: '2027-02-41' }] },
      /is no date/,
    ],
    'revocation without Redis': [{ revocation: {} }, /needs `redis`/],
    'required without any way to pass': [{ required: true }, /nobody could pass/],
  };
  for (const [what, [authentication, message]] of Object.entries(wrong)) {
    it(`cannot have ${what}`, () => {
      const reasons = reasonsFor(JSON.parse(JSON.stringify(authentication)));
      assert.match(reasons.join('\n'), message);
    });
  }
});

describe('what services are told of a viewer', () => {
  for (const [what, token, message] of [
    ['without a key', {}, /one of `secret` and `privateKey`/],
    ['with two keys', { secret: 's'.repeat(32), privateKey: 'x' }, /one of/],
    ['with a key that is none', { privateKey: 'my private key' }, /expected a private key in PEM/],
  ] as const) {
    it(`cannot be a token ${what}, and the mistake shows no key`, () => {
      assert.throws(
        () => parseConfig({ viewer: { token } }),
        (error: GatewayError) => {
          const text = JSON.stringify(error.reasons);
          assert.match(text, message);
          assert.doesNotMatch(text, /my private key/);
          return true;
        },
      );
    });
  }
});
