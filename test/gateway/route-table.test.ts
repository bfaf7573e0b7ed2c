import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildRouteTable, type RouteTableOptions } from '../../gateway/route-table.ts';
import { buildRewrite } from '../../subgraphs/route-rewrite.ts';
import type { Route } from '../../subgraphs/service-definition.ts';
import type { Snapshot } from '../../subgraphs/snapshot.ts';

const options: RouteTableOptions = { maxBodyBytes: 1_000, authenticationRequired: false, rateLimit: [] };

function snapshotOf(services: Record<string, Route[]>): Snapshot {
  return {
    revision: 1,
    services: Object.entries(services).map(([name, routes]) => ({
      name,
      definition: { routes },
      schema: null,
      quarantine: null,
      instances: [],
      revision: 1,
      origin: 'admin',
    })),
  };
}

function find(services: Record<string, Route[]>, method: string, path: string, host = 'any.example') {
  const match = buildRouteTable(snapshotOf(services), options).find(method, path, host);
  return match.kind === 'found' ? match.target.service : match.kind === 'wrong-method' ? match.allow : null;
}

test('the more specific path wins, whatever the order of services', () => {
  const services = {
    a: [{ match: { path: '/x/*' } }],
    b: [{ match: { path: '/x/:id' } }],
    c: [{ match: { path: '/x/fixed' } }],
  };
  assert.equal(find(services, 'GET', '/x/fixed'), 'c');
  assert.equal(find(services, 'GET', '/x/other'), 'b');
  assert.equal(find(services, 'GET', '/x/other/deep'), 'a');
  assert.equal(find(services, 'GET', '/y'), null);
});

test('a host narrows, and is compared without regard to case', () => {
  const services = { a: [{ match: { path: '/x', host: 'Shop.example' } }], b: [{ match: { path: '/x' } }] };
  assert.equal(find(services, 'GET', '/x', 'sHOP.example'), 'a');
  assert.equal(find(services, 'GET', '/x', 'other.example'), 'b');
});

test('GET brings HEAD with it; other methods say what is allowed', () => {
  const services = { a: [{ match: { path: '/x', methods: ['GET' as const] } }] };
  assert.equal(find(services, 'HEAD', '/x'), 'a');
  assert.deepEqual(find(services, 'POST', '/x'), ['GET', 'HEAD']);
  assert.deepEqual(find(services, 'PROPFIND', '/x'), ['GET', 'HEAD']);
});

test('what a client percent-encoded matches what it stands for, so that no spelling goes around a route', () => {
  const services = { open: [{ match: { path: '/x/*' } }], guarded: [{ match: { path: '/x/admin/*' } }] };
  assert.equal(find(services, 'GET', '/x/admin/y'), 'guarded');
  assert.equal(find(services, 'GET', '/x/%61dmin/y'), 'guarded');
});

test('a colon inside a segment is meant as it stands', () => {
  const services = { a: [{ match: { path: '/items:all' } }] };
  assert.equal(find(services, 'GET', '/items:all'), 'a');
  assert.equal(find(services, 'GET', '/itemsx'), null);
});

test('rewrites take what was captured byte by byte', () => {
  assert.equal(buildRewrite({ path: '/a/*' }, '/b/*')('/a/c%20d/e'), '/b/c%20d/e');
  assert.equal(buildRewrite({ path: '/a/*' }, '/*')('/a/'), '/');
  assert.equal(buildRewrite({ path: '/:x/:y' }, '/:y/:x')('/1%2C/2'), '/2/1%2C');
  assert.equal(buildRewrite({ path: '/a/:id' }, '/fixed')('/a/7'), '/fixed');
  assert.equal(buildRewrite({ path: '/u/:id/*' }, '/v/:id.json/*')('/u/7/x/y'), '/v/7.json/x/y');
});
