import assert from 'node:assert/strict';
import { validateHeaderValue } from 'node:http';
import { describe, it } from 'node:test';
import type { Viewer } from '../../policies/request-context.ts';
import { isViewerHeader, viewerHeaders } from '../../policies/viewer-headers.ts';

const ada: Viewer = {
  id: 'ada',
  kind: 'jwt',
  issuer: 'https://idp.example',
  scopes: new Set(['orders:read', 'profile:read']),
  roles: ['buyer', 'staff'],
  claims: {},
};

describe('viewer headers', () => {
  it('say who asks and what the viewer holds', () => {
    assert.deepEqual(viewerHeaders(ada), [
      'x-user-id',
      'ada',
      'x-user-issuer',
      'https://idp.example',
      'x-user-roles',
      'buyer,staff',
      'x-user-scopes',
      'orders:read profile:read',
    ]);
  });

  it('are none for nobody, and only the id where there is no more', () => {
    assert.deepEqual(viewerHeaders(null), []);
    const key: Viewer = { ...ada, kind: 'api-key', issuer: undefined, scopes: new Set(), roles: [] };
    assert.deepEqual(viewerHeaders(key), ['x-user-id', 'ada']);
  });

  it('hold any text safely, and it can be read back', () => {
    for (const id of ['a\r\nx-user-roles: admin', 'Ada Löw', '100%', 'a,b', '\u0000\u007f', '名前 🧵', 'auth0|5f']) {
      const [, encodedId = '', , , , roles = ''] = viewerHeaders({ ...ada, id, roles: [id, 'b'] });
      assert.match(encodedId, /^[\x21-\x7e]+$/);
      validateHeaderValue('x-user-id', encodedId);
      assert.equal(decodeURIComponent(encodedId), id);
      assert.deepEqual(roles.split(',').map(decodeURIComponent), [id, 'b']);
    }
    assert.equal(viewerHeaders({ ...ada, id: '\ud800' })[1], '%EF%BF%BD', 'half a surrogate pair is no text');
  });

  it('are recognized, also as CGI would fold them', () => {
    for (const name of ['x-user-id', 'x_user_id', 'x-user_roles', 'x.user.scopes', 'x-user-issuer']) {
      assert.equal(isViewerHeader(name), true, name);
    }
    for (const name of ['x-user-agent', 'user-id', 'x-user-idx', 'ax-user-id', 'x-user-id-2']) {
      assert.equal(isViewerHeader(name), false, name);
    }
  });

  it('are all recognized that are sent', () => {
    for (const [index, name] of viewerHeaders(ada).entries()) {
      if (index % 2 === 0) assert.ok(isViewerHeader(name), name);
    }
  });
});
