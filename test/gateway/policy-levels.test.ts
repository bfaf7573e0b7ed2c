import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../gateway/config.ts';
import { checkPolicy } from '../../gateway/policy-levels.ts';
import type { PolicyDefinition } from '../../policies/policy-definition.ts';

const route = { service: 'shop', path: '/items/:id' };
const idRule = { request: [{ set: 'x-id', value: '{route.params.id}' }] };

/** What would be a mistake at the target itself, with the place of it. */
const refused: readonly (readonly [PolicyDefinition, string])[] = [
  [{ bind: { services: ['shop'] }, cors: { origins: ['*'], credentials: true } }, '/cors/credentials'],
  [{ bind: { gateway: true }, cors: { origins: ['*'], credentials: true } }, '/cors/credentials'],
  [{ bind: { services: ['shop'] }, headers: { request: [{ set: 'host', value: 'x' }] } }, '/headers/request/0/set'],
  [{ bind: { gateway: true }, headers: { response: [{ set: 'x', value: '{nobody}' }] } }, '/headers/response/0/value'],
  [{ bind: { gateway: true }, headers: { response: [{ set: 'x' }] } }, '/headers/response/0'],
  [{ bind: { gateway: true }, headers: idRule }, '/headers/request/0/value'],
  [{ bind: { routes: [{ ...route, path: '/items/*' }] }, headers: idRule }, '/headers/request/0/value'],
  [{ bind: { routes: [route] }, upgrade: { protocols: ['h2c'] } }, '/upgrade/protocols/0'],
  [{ bind: { services: ['shop'] }, loadBalancing: { algorithm: 'consistent-hash' } }, '/loadBalancing/hash'],
];

for (const [definition, path] of refused) {
  test(`a policy is refused for what a target may not say itself: ${JSON.stringify(definition)}`, () => {
    const reasons = checkPolicy('p', definition, []);
    assert.deepEqual(
      reasons.map((reason) => reason.path),
      [path],
    );
    assert.throws(
      () => parseConfig({ policies: { named: { p: definition } } }),
      ({ reasons: [reason] }: { reasons: { path: string }[] }) => reason?.path === `/policies/named/p${path}`,
    );
  });
}

test('variables of a policy are those of the places that it is bound to', () => {
  const ofService = { request: [{ set: 'x-service', value: '{service}' }] };
  assert.deepEqual(checkPolicy('p', { bind: { routes: [route] }, headers: idRule }, []), []);
  assert.deepEqual(checkPolicy('p', { bind: { services: ['shop'], routes: [route] }, headers: ofService }, []), []);
});
