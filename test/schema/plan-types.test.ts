import assert from 'node:assert/strict';
import test from 'node:test';
import { buildSchema } from 'graphql';
import { buildPossibleTypes, createFitsType } from '../../schema/plan-types.ts';

const publicSchema = buildSchema(
  'type Query { a: Open } interface Open { id: ID } type Book implements Open { id: ID }',
);
const supergraph = buildSchema(
  'type Query { a: Open } interface Open { id: ID } interface Hidden { id: ID } type Book implements Open & Hidden { id: ID }',
);

test('type conditions hold for the type itself and for the types that an abstract type stands for', () => {
  const fits = createFitsType(publicSchema, undefined);
  assert.ok(fits('Book', 'Book') && fits('Book', 'Open') && fits('Unknown', 'Unknown'));
  assert.ok(!fits('Open', 'Book') && !fits('Book', 'Hidden') && !fits('__proto__', 'Open'));
});

test('plans may name types that clients do not know, where the types of the supergraph are given', () => {
  const fits = createFitsType(publicSchema, buildPossibleTypes(supergraph));
  assert.ok(fits('Book', 'Hidden') && fits('Book', 'Open') && !fits('Query', 'Hidden'));
});
