/** Expressions: read once, typed, bounded, and blind to everything but what they are given. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createExpressionEnvironment,
  ExpressionMistake,
  fromExpressionValue,
  toExpressionValue,
} from '../../policies/expression.ts';

const environment = createExpressionEnvironment({
  claims: 'map<string, dyn>',
  request: { method: 'string', headers: 'map<string, string>' },
});

const claims = { tenant: 'acme', level: 3, rate: 1.5, groups: ['a', 'b'], sizes: [1, 2], at: { street: 'x' } };
const variables = {
  claims: toExpressionValue(claims),
  request: { method: 'GET', headers: { 'x-a': '1' } },
};
const evaluate = (source: string): unknown => environment.parse(source, 'dyn').evaluate(variables);

describe('an expression', () => {
  const truths = [
    "claims.tenant == 'acme' && request.method == 'GET'",
    'claims.level >= 3 && claims.level == 3.0 && claims.level + 1 == 4',
    'claims.rate + 1 == 2.5 && claims.level * 0.5 < 2',
    '2 in claims.sizes && !(3 in claims.sizes)',
    "claims.groups.exists(group, group == 'b')",
    "'a' in claims.groups && size(claims.groups) == 2",
    "!has(claims.nothing) && claims.at.street.startsWith('x')",
    "request.headers['x-a'] == '1' && !('x-b' in request.headers)",
    "claims.groups.filter(group, group != 'a').all(group, group == 'b')",
  ];
  for (const source of truths) it(source, () => assert.equal(evaluate(source), true));

  const failures = ['claims.nothing', 'claims.constructor', 'claims.__proto__', "request.headers['x-b']"];
  for (const source of failures) {
    it(`${source} is not there`, () => assert.throws(() => evaluate(`${source} == 'x'`), /No such key/));
  }

  it('says which variables it looks at', () => {
    const { variables: used } = environment.parse("request.method == 'GET'", 'bool');
    assert.deepEqual([...used], ['request']);
  });
});

describe('a mistake in an expression is found when it is read', () => {
  const mistakes: Record<string, RegExp> = {
    "claims.tenant = 'acme'":
      /expected a CEL expression over `claims`, `request`: Unexpected character: = at character 15/,
    'tenant == 1': /Unknown variable: tenant/,
    'request.nothing': /No such key: nothing/,
    "'a' == 1": /no such overload/,
    'request.method': /expected an expression that gives a bool, got one that gives string/,
    'process.exit()': /expected a CEL expression/,
    [`'${'x'.repeat(3_000)}' == ''`]: /at most 2000 characters/,
    [`${'('.repeat(200)}true${')'.repeat(200)}`]: /expected a CEL expression/,
    "request.method.matches('(a+)+$')": /`matches` is not allowed/,
    'claims.groups.all(a, claims.groups.all(b, a == b))': /not allowed within another loop/,
    'cel.bind(a, claims.groups + claims.groups, size(a) > 1)': /`cel.bind` is not allowed/,
  };
  for (const [source, expected] of Object.entries(mistakes)) {
    it(source.slice(0, 60), () => {
      assert.throws(
        () => environment.parse(source, 'bool'),
        (error) => (error instanceof ExpressionMistake && expected.test(error.message)) || assert.fail(String(error)),
      );
    });
  }
});

it('values come back as JSON', () => {
  assert.deepEqual(fromExpressionValue(evaluate("{'n': claims.level + 1, 'l': claims.sizes, 'r': claims.rate}")), {
    n: 4,
    l: [1, 2],
    r: 1.5,
  });
  assert.equal(fromExpressionValue(2n ** 60n), '1152921504606846976');
  assert.deepEqual(fromExpressionValue(toExpressionValue(claims)), claims);
});
