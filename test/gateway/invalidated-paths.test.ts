import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findKeptPaths } from '../../gateway/invalidated-paths.ts';
import { buildPathTag, buildPrefixTag, foreignAnswers, serviceTag, tagsOfPath } from '../../subgraphs/cache-tags.ts';
import { buildRewrite } from '../../subgraphs/route-rewrite.ts';

const find = (wanted: string, path: string, rewrite?: string) =>
  findKeptPaths(wanted, [
    {
      service: 's',
      route: { match: { path } },
      rewrite: rewrite === undefined ? (own) => own : buildRewrite({ path }, rewrite),
      alsoAt: [],
    },
  ]).tags;

test('a path is found at the service, however its route rewrites it', () => {
  assert.deepEqual(find('/api/a', '/api/*', '/v1/*'), [buildPathTag('s', '/v1/a')]);
  assert.deepEqual(find('/api/a/b', '/api/*'), [buildPathTag('s', '/api/a/b')]);
  assert.deepEqual(find('/users/7', '/users/:id', '/u/:id/card'), [buildPathTag('s', '/u/7/card')]);
  assert.deepEqual(find('/fixed', '/fixed', '/else'), [buildPathTag('s', '/else')]);
  for (const path of ['/other/*', '/api', '/api/a/b', '/api/:id/x']) assert.deepEqual(find('/api/a', path), [], path);
});

test('what a route of any case, with an expression or with a split keeps is found as well', () => {
  const of = (match: object, rewrite: (path: string) => string, alsoAt: string[] = []) => [
    { service: 's', route: { match: { path: '/api/*', ...match }, rewrite: '/v1/:1' }, rewrite, alsoAt },
  ];
  const anyCase = { path: '/API/*', ignoreCase: true };
  assert.deepEqual(
    findKeptPaths(
      '/api/a',
      of(anyCase, (own) => own),
    ).tags,
    [serviceTag('s')],
  );
  const byGroup = buildRewrite({ path: '/api/*', regex: '/api/(x.*)' }, '/:1/y');
  assert.deepEqual(findKeptPaths('/api/*', of({ regex: '/api/(x.*)' }, byGroup)).tags, [serviceTag('s')]);
  const split = findKeptPaths(
    '/api/a',
    of({}, (own) => own, ['canary']),
  );
  assert.deepEqual(split, {
    tags: [buildPathTag('s', '/api/a'), buildPathTag(foreignAnswers('canary', 's'), '/api/a')],
    services: ['s'],
  });
});

test('what the replacement of a retired route keeps is found as well, at another service only that of this route', () => {
  for (const service of ['s', 'next']) {
    const retired = { replacement: { service, rewrite: buildRewrite({ path: '/api/*' }, '/v2/*') } };
    const route = { match: { path: '/api/*' }, rewrite: '/v1/*' };
    const rewrite = buildRewrite(route.match, route.rewrite);
    const place = service === 's' ? 's' : foreignAnswers('next', 's');
    assert.deepEqual(findKeptPaths('/api/a', [{ service: 's', route, rewrite, alsoAt: [], retired }]), {
      tags: [buildPathTag('s', '/v1/a'), buildPathTag(place, '/v2/a')],
      services: ['s'],
    });
  }
});

test('all below a path is found by what its route makes of the beginning', () => {
  assert.deepEqual(find('/api/catalog/*', '/api/*', '/v1/*'), [buildPrefixTag('s', '/v1/catalog/')]);
  assert.deepEqual(find('/api/catalog/*', '/api/catalog/*'), [buildPrefixTag('s', '/api/catalog/')]);
  assert.deepEqual(find('/api/*', '/api/:kind/:id', '/v1/:id/:kind'), [buildPrefixTag('s', '/v1/')]);
  assert.deepEqual(find('/api/shoes/*', '/api/:kind/:id', '/v1/:kind/:id'), [buildPrefixTag('s', '/v1/shoes/')]);
  assert.deepEqual(find('/api/*', '/api/fixed', '/else'), [buildPathTag('s', '/else')]);
  assert.deepEqual(find('/*', '/api/*', '/*'), [serviceTag('s')]);
  assert.deepEqual(find('/api/a/*', '/api/a'), []);
});

test('answers have the tags that these look-ups lead to', () => {
  const tags = tagsOfPath('s', '/v1/catalog/shoes/7?x=/y/');
  for (const prefix of ['/v1/', '/v1/catalog/', '/v1/catalog/shoes/'])
    assert.ok(tags.includes(buildPrefixTag('s', prefix)), prefix);
  assert.ok(tags.includes(buildPathTag('s', '/v1/catalog/shoes/7')));
  assert.ok(!tags.includes(buildPrefixTag('s', '/v1/catalog/shoes/7/')));
  const deep = `/${'d/'.repeat(20)}`;
  assert.ok(tagsOfPath('s', `${deep}end`).includes(buildPrefixTag('s', deep)));
  assert.ok(tagsOfPath('s', `${deep}end`).length <= 10);
});
