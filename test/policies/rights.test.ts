/** Roles, permissions, expressions and policies: what they let pass. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkRequirement } from '../../policies/authorize.ts';
import { findAuthorizeMistakes } from '../../policies/authorize-mistakes.ts';
import type { AuthorizationOptions, AuthorizeOptions } from '../../policies/authorize-options.ts';
import type { Viewer } from '../../policies/request-context.ts';
import { buildRequirement, mergeRequirements } from '../../policies/requirement.ts';
import { createRights } from '../../policies/rights.ts';
import { createRequestContext } from '../support/request-context.ts';

const rights: AuthorizationOptions = {
  permissions: { editor: ['articles:write', 'articles:read'], auditor: '*' },
  adminRole: 'admin',
  rolesClaim: 'groups',
};

function viewer(claims: Record<string, unknown> = {}, roles: string[] = []): Viewer {
  return { id: 'ada', kind: 'jwt', issuer: 'https://idp', scopes: new Set(), roles, claims };
}

function ask(options: AuthorizeOptions, who: Viewer | null, more: AuthorizationOptions = rights): string {
  const request = createRequestContext({ headers: { 'x-region': 'eu' } });
  return checkRequirement(buildRequirement(options), who, { rights: createRights(more), request })?.code ?? 'passes';
}

describe('roles', () => {
  it('let pass who has one of them, by the token or by a claim', () => {
    assert.equal(ask({ roles: ['a', 'b'] }, viewer({}, ['b'])), 'passes');
    assert.equal(ask({ roles: ['a', 'b'] }, viewer({ groups: ['a'] })), 'passes');
    assert.equal(ask({ roles: ['a', 'b'] }, viewer({}, ['c'])), 'FORBIDDEN');
    assert.equal(ask({ roles: ['a'] }, null), 'UNAUTHENTICATED');
  });
  it('of an admin are all, and only where there is such a role', () => {
    assert.equal(ask({ roles: ['a'], permissions: ['x'] }, viewer({}, ['admin'])), 'passes');
    assert.equal(ask({ roles: ['a'] }, viewer({}, ['admin']), {}), 'FORBIDDEN');
    assert.equal(ask({ scopes: ['s'] }, viewer({}, ['admin'])), 'FORBIDDEN', 'a scope is what was granted');
  });
});

describe('permissions', () => {
  it('must all be held, by the claim or by roles', () => {
    const both = { permissions: ['articles:write', 'mail'] };
    assert.equal(ask(both, viewer({ permissions: ['mail'] }, ['editor'])), 'passes');
    assert.equal(ask(both, viewer({ permissions: 'mail articles:write' })), 'passes');
    assert.equal(ask(both, viewer({}, ['editor'])), 'FORBIDDEN');
    assert.equal(ask(both, viewer({}, ['auditor'])), 'passes');
    assert.equal(ask(both, null), 'UNAUTHENTICATED');
  });
  it('of a claim are words: a star there is none', () => {
    assert.equal(ask({ permissions: ['mail'] }, viewer({ permissions: ['*'] })), 'FORBIDDEN');
    assert.equal(ask({ permissions: ['mail'] }, viewer({ permissions: { mail: true } })), 'FORBIDDEN');
  });
  it('are found under another claim, and never on the prototype', () => {
    const other = { permissionsClaim: 'constructor' };
    assert.equal(ask({ permissions: ['mail'] }, viewer(), other), 'FORBIDDEN');
    assert.equal(ask({ permissions: ['mail'] }, viewer({ can: ['mail'] }), { permissionsClaim: 'can' }), 'passes');
  });
});

describe('an expression', () => {
  it('sees claims, the viewer and the request', () => {
    const expression =
      "claims.tenant == 'acme' && viewer.id == 'ada' && 'mail' in viewer.permissions && request.method == 'GET' && request.headers['x-region'] == 'eu' && request.address == '192.0.2.1'";
    assert.equal(ask({ expression }, viewer({ tenant: 'acme', permissions: ['mail'] })), 'passes');
    assert.equal(ask({ expression }, viewer({ tenant: 'other', permissions: ['mail'] })), 'FORBIDDEN');
  });
  it('that fails refuses, and is no error of the gateway', () => {
    assert.equal(ask({ expression: "claims.tenant == 'acme'" }, viewer()), 'FORBIDDEN');
    assert.equal(ask({ expression: 'claims.tenant > 3' }, viewer({ tenant: 'acme' })), 'FORBIDDEN');
    assert.equal(ask({ expression: 'claims.tenant' }, viewer({ tenant: 'acme' })), 'FORBIDDEN', 'no boolean');
  });
  it('decides about anonymous requests only where it says so', () => {
    const expression = "request.address.startsWith('192.0.2.')";
    assert.equal(ask({ expression }, null), 'UNAUTHENTICATED');
    assert.equal(ask({ authenticated: false, expression }, null), 'passes');
    assert.equal(ask({ authenticated: false, expression: "viewer.kind != 'anonymous'" }, null), 'UNAUTHENTICATED');
  });
  it('has no challenge: another scope would not help', () => {
    const refusal = checkRequirement(buildRequirement({ roles: ['secret-role'] }), viewer());
    assert.equal(refusal?.challenge, undefined);
    assert.doesNotMatch(refusal?.message ?? '', /secret-role/);
  });
});

it('requirements add up, and the stricter mode holds', () => {
  const both = mergeRequirements(buildRequirement({ roles: ['a', 'b'], expression: 'claims.x == 1' }), {
    ...buildRequirement({ roles: ['c'], permissions: ['p'] }),
    mode: 'filter',
  });
  assert.deepEqual(both.roles, [['a', 'b'], ['c']]);
  assert.deepEqual(both.permissions, ['p']);
  assert.equal(both.expressions?.length, 1);
  assert.equal(both.mode, 'filter');
  assert.equal(mergeRequirements(both, { ...both, mode: 'reject' }).mode, 'reject');
});

describe('policies', () => {
  const named = {
    policies: {
      boss: { roles: ['boss'] },
      local: { authenticated: false, expression: "request.address == '192.0.2.1'" },
    },
  };
  const check = (policies: string[][], who: Viewer | null) =>
    checkRequirement({ authenticated: false, scopes: [], policies: [policies] }, who, {
      rights: createRights(named),
      request: createRequestContext(),
    })?.code ?? 'passes';

  it('stand for what the configuration says: one of the lists, whole', () => {
    assert.equal(check([['boss', 'local']], viewer({}, ['boss'])), 'passes');
    assert.equal(check([['boss', 'nobody'], ['local']], null), 'passes');
    assert.equal(check([['boss']], viewer()), 'FORBIDDEN');
    assert.equal(check([['boss']], null), 'UNAUTHENTICATED');
  });
  it('that nobody configured, or none at all, let nobody pass', () => {
    assert.equal(check([['nobody']], viewer({}, ['boss'])), 'FORBIDDEN');
    assert.equal(check([], viewer({}, ['boss'])), 'FORBIDDEN');
    assert.equal(check([['constructor']], viewer()), 'FORBIDDEN');
  });
});

it('mistakes are found beforehand', () => {
  const messages = (options: AuthorizeOptions, atRoute = false) =>
    findAuthorizeMistakes(options, { atRoute }).map(({ path, message }) => `${path.join('.')}: ${message}`);
  assert.match(messages({ expression: 'claims.' })[0] ?? '', /^expression: expected a CEL expression/);
  assert.match(messages({ expression: 'args.id == 1' }, true)[0] ?? '', /expected no `args`/);
  assert.deepEqual(messages({ expression: 'args.id == 1' }), []);
  assert.match(messages({ roles: ['a'], authenticated: false })[0] ?? '', /^authenticated: /);
  assert.match(messages({ authenticated: false })[0] ?? '', /asks for nothing/);
  assert.deepEqual(messages({ authenticated: false, expression: 'true' }), []);
});
