/** What services are told by a token they can verify with a library of their own. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { jwtVerify } from 'jose';
import { buildClaimsViewer } from '../../policies/claims-viewer.ts';
import type { Viewer } from '../../policies/request-context.ts';
import { createViewerDescription, type ViewerOptions } from '../../policies/viewer-token.ts';
import { describeAsker } from '../../schema/request-sharing.ts';
import { buildCacheRequest, variantKey } from '../../subgraphs/http-cache-key.ts';
import { createRequestContext } from '../support/request-context.ts';

const secret = 'a secret of at least thirty-two characters';
const nowMs = Date.UTC(2030, 0, 1);
const viewerOf = (claims: Record<string, unknown>) =>
  buildClaimsViewer({ id: 'ada', kind: 'jwt', issuer: 'https://idp', scopes: 'a b', roles: ['r'], claims });

const receiver = { onHead() {}, onData: () => true, onEnd() {} };

function tokenOf(fields: readonly string[]): string {
  return fields[fields.indexOf('x-user-token') + 1] ?? '';
}

describe('the token about a viewer', () => {
  const ed25519 = generateKeyPairSync('ed25519');
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = (key: typeof ed25519.privateKey) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  for (const [algorithm, token, key] of [
    ['HS256', { secret }, Buffer.from(secret)],
    ['EdDSA', { privateKey: pem(ed25519.privateKey) }, ed25519.publicKey],
    ['ES256', { privateKey: pem(p256.privateKey) }, p256.publicKey],
  ] as const) {
    it(`signed with ${algorithm} can be verified and says who asks`, async () => {
      const describeViewer = createViewerDescription(
        { headers: false, token: { ...token, claims: ['tenant', 'exp'] } },
        () => nowMs,
      );
      const fields = describeViewer(viewerOf({ tenant: 't1', secret: 'x' }));
      assert.equal(fields.length, 2, 'no other header');
      const { payload } = await jwtVerify(tokenOf(fields), key, {
        algorithms: [algorithm],
        issuer: 'selvage',
        audience: 'services',
        typ: 'viewer+jwt',
        currentDate: new Date(nowMs),
      });
      const { iat, exp, ...said } = payload;
      assert.deepEqual([iat, exp], [nowMs / 1_000, nowMs / 1_000 + 60]);
      assert.deepEqual(said, {
        tenant: 't1',
        iss: 'selvage',
        aud: 'services',
        sub: 'ada',
        idp: 'https://idp',
        scope: 'a b',
        roles: ['r'],
      });
    });
  }

  it('is made anew when half its life is over, and not before', () => {
    let atMs = nowMs;
    const describeViewer = createViewerDescription({ token: { secret } }, () => atMs);
    const viewer = viewerOf({});
    const first = tokenOf(describeViewer(viewer));
    atMs += 29_000;
    assert.equal(tokenOf(describeViewer(viewer)), first);
    atMs += 1_000;
    assert.notEqual(tokenOf(describeViewer(viewer)), first);
  });

  it('does not outlive the credential that it stands for', async () => {
    const describeViewer = createViewerDescription({ token: { secret } }, () => nowMs);
    const token = tokenOf(describeViewer(viewerOf({ exp: nowMs / 1_000 + 20 })));
    const { payload } = await jwtVerify(token, Buffer.from(secret), { currentDate: new Date(nowMs) });
    assert.equal(payload.exp, nowMs / 1_000 + 20);
  });

  it('keeps apart in shared requests whom only its claims tell apart', () => {
    const options: ViewerOptions = { token: { secret, claims: ['tenant'] } };
    const describeViewer = createViewerDescription(options, () => nowMs);
    const askers = ['t1', 't2'].map((tenant) => {
      const viewer = viewerOf({ tenant });
      return describeAsker(createRequestContext({ viewer, viewerFields: describeViewer(viewer) }), []);
    });
    assert.notEqual(askers[0], askers[1]);
  });

  it('makes a viewer no other one when it is renewed, neither for shared requests nor for what is kept by `Vary`', () => {
    let atMs = nowMs;
    const describeViewer = createViewerDescription(
      { headers: false, token: { secret, claims: ['tenant'] } },
      () => atMs,
    );
    const identify = (viewer: Viewer) => {
      const context = createRequestContext({ viewer, viewerFields: describeViewer(viewer) });
      const request = { service: 's', method: 'GET', path: '/', headers: [], body: null, idempotent: true, receiver };
      const { primaryKey, headers } = buildCacheRequest(request, context);
      const vary = variantKey(primaryKey, ['x-user-token'], headers);
      return { token: tokenOf(describeViewer(viewer)), asker: describeAsker(context, []), vary };
    };
    const first = identify(viewerOf({ tenant: 't1', jti: '1' }));
    atMs += 40_000;
    const renewed = identify(viewerOf({ tenant: 't1', jti: '2' }));
    assert.notEqual(renewed.token, first.token);
    assert.deepEqual([renewed.asker, renewed.vary], [first.asker, first.vary]);
    const other = identify(viewerOf({ tenant: 't2', jti: '1' }));
    assert.notEqual(other.asker, first.asker);
    assert.notEqual(other.vary, first.vary);
  });

  it('is told from a viewer who is named like its header', () => {
    const viewer = { ...viewerOf({}), id: 'x-user-token' };
    assert.match(describeAsker(createRequestContext({ viewer }), []), /"x-user-id","x-user-token"/);
  });
});
