import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildLayers,
  buildOptions,
  findConflicts,
  findUnmatched,
  isBound,
  type PolicyLayer,
  type PolicyTarget,
  resolveKinds,
  resolveRules,
} from '../../policies/policy-binding.ts';
import type { NamedPolicy, PolicyDefinition, PolicyLevel } from '../../policies/policy-definition.ts';

function layer(level: PolicyLevel, options: object, policy: string | null = null): PolicyLayer {
  return { level, target: level, policy, options: { ...options } };
}

function policy(name: string, definition: PolicyDefinition): NamedPolicy {
  return { name, definition };
}

const rule = (name: string, limit: number) => ({ name, limit, window: '1m' });

const pairs: readonly (readonly [PolicyLevel, PolicyLevel])[] = [
  ['service', 'gateway'],
  ['route', 'gateway'],
  ['route', 'service'],
  ['type', 'gateway'],
  ['type', 'service'],
  ['field', 'gateway'],
  ['field', 'service'],
  ['field', 'type'],
];

for (const [specific, general] of pairs) {
  test(`what a ${specific} says wins over what the ${general} says, kind by kind and whole`, () => {
    const layers = [
      layer(specific, { retry: { attempts: 1 } }),
      layer(general, { retry: { attempts: 5, budget: '50%' }, timeout: '9s' }),
    ];
    assert.deepEqual(buildOptions(layers), { retry: { attempts: 1 }, timeout: '9s' });
    const resolved = resolveKinds(layers).get('retry');
    assert.deepEqual(
      [resolved?.from.level, resolved?.overrode],
      [specific, [{ level: general, target: general, policy: null }]],
    );
  });
}

test('what stands at a target itself wins over the named policies that are bound to it', () => {
  const target = { level: 'service', service: 's' } as const;
  const named = [
    policy('calm', { bind: { services: ['s'] }, timeout: '1s', concurrency: 5, description: 'for people' }),
    policy('elsewhere', { bind: { services: ['t'] }, timeout: '7s' }),
  ];
  const layers = buildLayers(target, { timeout: '2s' }, named);
  assert.deepEqual(buildOptions(layers), { timeout: '2s', concurrency: 5 });
  assert.deepEqual(resolveKinds(layers).get('timeout')?.overrode, [{ level: 'service', target: 's', policy: 'calm' }]);
});

test('public and authorize are one kind, so that either of them puts the other aside', () => {
  const scopes = { authorize: { scopes: ['a'] } };
  assert.deepEqual(buildOptions([layer('route', { public: true }), layer('service', scopes)]), { public: true });
  assert.deepEqual(buildOptions([layer('route', scopes), layer('service', { public: true })]), scopes);
  assert.deepEqual(buildOptions([layer('route', { public: false }), layer('service', { public: true })]), {
    public: false,
  });
});

test('rate limits of all levels hold together, the general first; of one name the most specific holds', () => {
  const layers = [
    layer('route', { rateLimit: [rule('a', 1), rule('own', 2)] }),
    layer('service', { rateLimit: [rule('a', 10), rule('b', 20)] }),
    layer('gateway', { rateLimit: [rule('b', 20), rule('c', 300)] }),
  ];
  const resolved = resolveRules(layers);
  assert.deepEqual(
    resolved.map(({ rule: { name, limit }, from }) => [name, limit, from.level]),
    [
      ['c', 300, 'gateway'],
      ['b', 20, 'service'],
      ['a', 1, 'route'],
      ['own', 2, 'route'],
    ],
  );
  assert.deepEqual(
    resolved.map(({ overrode }) => overrode.map(({ level }) => level)),
    [[], [], ['service'], []],
    'an equal rule is the same rule',
  );
});

test('a policy is bound to a route by service, path and, where it names any, methods', () => {
  const target = (more: object): PolicyTarget => ({ level: 'route', service: 's', path: '/a/:id', ...more });
  const bind = { routes: [{ service: 's', path: '/a/:id', methods: ['GET'] }] };
  assert.equal(isBound(bind, target({})), true);
  assert.equal(isBound(bind, target({ methods: ['GET', 'PUT'] })), true);
  assert.equal(isBound(bind, target({ methods: ['PUT'] })), false);
  assert.equal(isBound(bind, target({ service: 't' })), false);
  assert.equal(isBound(bind, target({ path: '/a/*' })), false);
  assert.equal(isBound({ gateway: false }, { level: 'gateway' }), false);
});

test('two policies with one kind for one target are in conflict, and access is one kind', () => {
  const bind = { services: ['x', 's'] };
  const kindsOf = (a: object, b: object) =>
    findConflicts(
      policy('a', { bind, ...a }),
      policy('b', { bind: { services: ['s'], routes: [{ service: 's', path: '/' }] }, ...b }),
    ).map(({ kind, path }) => `${kind} ${path.join('.')}`);
  assert.deepEqual(kindsOf({ timeout: '1s', retry: {} }, { timeout: '2s' }), ['timeout services.1']);
  assert.deepEqual(kindsOf({ public: true }, { authorize: { scopes: ['a'] } }), ['public services.1']);
  assert.deepEqual(kindsOf({ timeout: '1s' }, { retry: {} }), []);
  assert.deepEqual(kindsOf({ rateLimit: [rule('a', 1)] }, { rateLimit: [rule('b', 1)] }), []);
  assert.deepEqual(kindsOf({ rateLimit: [rule('a', 1)] }, { rateLimit: [rule('a', 2)] }), ['rateLimit services.1']);
});

test('bindings that nothing matches are found', () => {
  const named = [policy('calm', { bind: { gateway: true, services: ['s', 'later'], fields: ['Query.a'] } })];
  const found = findUnmatched(named, (target) => target.level !== 'service' || target.service === 's');
  assert.deepEqual(found, [{ level: 'service', target: 'later', policy: 'calm' }]);
});
