import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Schema from 'typebox/schema';
import { checkRequirement } from '../../policies/authorize.ts';
import { AuthorizeOptions } from '../../policies/authorize-options.ts';
import type { Viewer } from '../../policies/request-context.ts';
import { buildRequirement, mergeRequirements } from '../../policies/requirement.ts';

function viewerWith(...scopes: string[]): Viewer {
  return { id: 'ada', kind: 'jwt', issuer: 'https://idp', scopes: new Set(scopes), roles: [], claims: {} };
}

describe('a requirement', () => {
  it('that asks for nothing lets everybody pass', () => {
    assert.equal(checkRequirement(buildRequirement({ authenticated: false }), null), null);
  });

  it('of a viewer refuses only the anonymous, with 401 and a challenge without error code', () => {
    const requirement = buildRequirement({ authenticated: true });
    const refusal = checkRequirement(requirement, null);
    assert.equal(refusal?.status, 401);
    assert.equal(refusal?.challenge, 'Bearer');
    assert.equal(checkRequirement(requirement, viewerWith()), null);
  });

  it('of scopes wants all of them, and says which, with 403', () => {
    const requirement = buildRequirement({ scopes: ['orders:read', 'orders:write'] });
    assert.equal(checkRequirement(requirement, null)?.status, 401);
    const refusal = checkRequirement(requirement, viewerWith('orders:read'));
    assert.equal(refusal?.code, 'FORBIDDEN');
    assert.equal(refusal?.message, 'Missing scope: this needs orders:read and orders:write');
    assert.equal(refusal?.challenge, 'Bearer error="insufficient_scope", scope="orders:read orders:write"');
    assert.equal(checkRequirement(requirement, viewerWith('orders:write', 'orders:read')), null);
  });

  it('of alternatives wants one of them whole', () => {
    const requirement = buildRequirement({ anyScopes: [['a', 'b'], ['c']] });
    assert.equal(checkRequirement(requirement, viewerWith('a', 'b')), null);
    assert.equal(checkRequirement(requirement, viewerWith('c')), null);
    const refusal = checkRequirement(requirement, viewerWith('a'));
    assert.equal(refusal?.message, 'Missing scope: this needs a and b, or c');
  });

  it('of scopes and alternatives wants both', () => {
    const requirement = buildRequirement({ scopes: ['a'], anyScopes: [['b'], ['c']] });
    assert.equal(checkRequirement(requirement, viewerWith('a'))?.status, 403);
    assert.equal(checkRequirement(requirement, viewerWith('b'))?.status, 403);
    assert.equal(checkRequirement(requirement, viewerWith('a', 'c')), null);
  });

  it('with no alternative at all lets nobody pass', () => {
    assert.equal(checkRequirement({ authenticated: true, scopes: [[]] }, viewerWith('a'))?.status, 403);
  });

  it('puts no scope into a header that a header cannot hold', () => {
    for (const scope of ['a"b', 'a\r\nset-cookie: x', 'ü', 'a b', 'a\\']) {
      const refusal = checkRequirement(buildRequirement({ scopes: [scope] }), viewerWith());
      assert.equal(refusal?.challenge, 'Bearer error="insufficient_scope"');
    }
  });

  it('merges with another to one that is met where both are, and counts what is equal once', () => {
    const read = buildRequirement({ scopes: ['read'] });
    const both = mergeRequirements(mergeRequirements(read, buildRequirement({ scopes: ['read'] })), {
      authenticated: false,
      scopes: [[['write'], ['admin']]],
    });
    assert.deepEqual(both, { authenticated: true, scopes: [[['read']], [['write'], ['admin']]] });
    assert.equal(checkRequirement(both, viewerWith('read'))?.status, 403);
    assert.equal(checkRequirement(both, viewerWith('read', 'admin')), null);
  });

  it('cannot be configured empty', () => {
    assert.equal(Schema.Check(AuthorizeOptions, {}), false);
    assert.equal(Schema.Check(AuthorizeOptions, { scopes: ['a'] }), true);
  });
});
