/** `@authenticated`, `@requiresScopes` and `@policy`: what of them reaches the gateway. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, link, refuseFixture } from './fixture.ts';

const requirement = (...scopes: string[][][]) => ({ authenticated: true, scopes });

test('requirements of fields and types are known to the gateway, whatever the service calls the directives', () => {
  const { requirements, policyNames, publicSdl } = composeFixture({
    a: {
      sdl: `${link('2.6', '@key', '@authenticated', '{ name: "@requiresScopes", as: "@scopes" }', '@policy')}
        type Query { me: User @authenticated users: [User!]! @scopes(scopes: [["users:read"], ["admin"]]) open: Int }
        type User @key(fields: "id") @authenticated { id: ID! mail: String @scopes(scopes: [["mail", "users:read"]]) rank: Int @policy(policies: [["is_boss"]]) }
        enum Level @authenticated { LOW } scalar Secret @authenticated extend type Query { level: Level secret: Secret }`,
    },
    b: {
      sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@key"])
        type User @key(fields: "id") { id: ID! salary: Int @federation__requiresScopes(scopes: [["pay"]]) }`,
    },
  });
  assert.deepEqual(requirements.get('Query.me'), requirement());
  assert.deepEqual(requirements.get('Query.users'), requirement([['users:read'], ['admin']]));
  assert.deepEqual(requirements.get('User'), requirement());
  assert.deepEqual(requirements.get('User.mail'), requirement([['mail', 'users:read']]));
  assert.deepEqual(requirements.get('User.salary'), requirement([['pay']]));
  assert.deepEqual(requirements.get('User.rank'), { authenticated: false, scopes: [], policies: [[['is_boss']]] });
  assert.deepEqual(policyNames, new Map([['is_boss', ['a']]]));
  assert.deepEqual(requirements.get('Level'), requirement());
  assert.deepEqual(requirements.get('Secret'), requirement());
  assert.equal(requirements.get('Query.open'), undefined);
  assert.doesNotMatch(publicSdl, /@|requiresScopes__Scope|policy__/);
});

test('what two services ask of one field must both be met', () => {
  const service = (directive: string) => ({
    sdl: `${link('2.6', '@key', '@shareable', '@requiresScopes', '@authenticated')}
      type Query { a: Thing @shareable } type Thing @key(fields: "id") { id: ID! x: Int @shareable ${directive} }`,
  });
  const { requirements } = composeFixture({
    a: service('@requiresScopes(scopes: [["p"], ["q"]])'),
    b: service('@requiresScopes(scopes: [["r"]])'),
  });
  const [scopes = []] = requirements.get('Thing.x')?.scopes ?? [];
  assert.deepEqual(scopes.map((all) => all.toSorted().join()).toSorted(), ['p,r', 'q,r']);
  const weaker = composeFixture({ a: service('@authenticated'), b: service('') });
  assert.deepEqual(weaker.requirements.get('Thing.x'), requirement());
});

test('an interface is closed when its types are', () => {
  const { requirements } = composeFixture({
    a: {
      sdl: `${link('2.6', '@authenticated')}
        type Query { i: I } interface I { x: Int } type A implements I { x: Int @authenticated } type B implements I { x: Int }`,
    },
  });
  assert.deepEqual(requirements.get('A.x'), requirement());
  assert.deepEqual(requirements.get('I.x'), requirement());
});

test('a field that requires a closed one must be closed itself', () => {
  const services = (directive: string) => ({
    a: {
      sdl: `${link('2.6', '@key', '@requiresScopes')} type Query { t: T } type T @key(fields: "id") { id: ID! x: Int @requiresScopes(scopes: [["s"]]) }`,
    },
    b: {
      sdl: `${link('2.6', '@key', '@requiresScopes', '@external', '@requires')}
        type T @key(fields: "id") { id: ID! x: Int @external y: Int @requires(fields: "x") ${directive} }`,
    },
  });
  const [reason] = refuseFixture(services(''));
  assert.equal(reason?.code, 'MISSING_TRANSITIVE_AUTH_REQUIREMENTS');
  assert.deepEqual([reason?.type, reason?.field], ['T', 'y']);
  composeFixture(services('@requiresScopes(scopes: [["s"]])'));
});
