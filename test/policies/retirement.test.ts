import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRetirement, findRetireMistakes } from '../../policies/retirement.ts';

test('dates become the fields of RFC 9745 and RFC 8594, and links say what they lead to', () => {
  const { headers } = compileRetirement({
    deprecated: '2023-06-30T23:59:59Z',
    sunset: '2024-06-30',
    link: 'https://developer.example/deprecation',
    successor: '/v2/orders',
  });
  assert.deepEqual(headers, [
    'deprecation',
    '@1688169599',
    'sunset',
    'Sun, 30 Jun 2024 00:00:00 GMT',
    'link',
    '<https://developer.example/deprecation>; rel="deprecation"',
    'link',
    '<https://developer.example/deprecation>; rel="sunset"',
    'link',
    '</v2/orders>; rel="successor-version"',
  ]);
});

test('days that are not in the calendar and steps in the wrong order are mistakes', () => {
  assert.deepEqual(findRetireMistakes({ sunset: '2025-02-30' }), [
    { path: ['sunset'], message: 'expected a date, got "2025-02-30"' },
  ]);
  assert.deepEqual(findRetireMistakes({ deprecated: '2025-03-01', sunset: '2025-02-01', gone: '2025-01-01' }), [
    { path: ['sunset'], message: 'must not be earlier than `deprecated`' },
    { path: ['gone'], message: 'must not be earlier than `sunset`' },
  ]);
  assert.deepEqual(findRetireMistakes({ deprecated: '2025-03-01', gone: '2025-03-01' }), []);
});
