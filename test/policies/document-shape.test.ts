import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { getIntrospectionQuery } from 'graphql';
import { parseBounded } from '../../policies/document-bounds.ts';
import { createShapeMeasure } from '../../policies/document-shape.ts';
import { defaultQueryLimits, maxCount } from '../../policies/query-limits.ts';

function shapeOf(text: string, operationName?: string) {
  return createShapeMeasure()(parseBounded(text), operationName);
}

describe('the shape of an operation', () => {
  it('has the levels of its deepest field, through fragments of every kind', () => {
    assert.equal(shapeOf('{ a }').depth, 1);
    assert.equal(shapeOf('{ a { b { c } } d }').depth, 3);
    assert.equal(shapeOf('{ ... { a { ... on B { b } } } }').depth, 2);
    assert.equal(shapeOf('{ a { ...F } } fragment F on A { b { ...G } } fragment G on B { c { d } }').depth, 4);
  });

  it('has what its fragments have as often as they are used', () => {
    const text =
      '{ x: a { ...F @skip(if: false) ...F } ...R } fragment F on A { y: b @include(if: true) } fragment R on Q { c d }';
    const { aliases, directives, rootFields } = shapeOf(text);
    assert.deepEqual({ aliases, directives, rootFields }, { aliases: 3, directives: 3, rootFields: 3 });
  });

  it('counts directives of operations, variables and fragments', () => {
    const text = 'query ($v: Int @a) @b { ...F } fragment F on Q @c { x @d }';
    assert.equal(shapeOf(text).directives, 4);
  });

  it('counts what is below introspection fields apart', () => {
    const { depth, introspectionDepth } = shapeOf('{ a { b } __schema { types { name } } }');
    assert.deepEqual({ depth, introspectionDepth }, { depth: 2, introspectionDepth: 2 });
  });

  it('lets the full introspection of tools pass with what is the default', () => {
    const shape = shapeOf(
      getIntrospectionQuery({
        inputValueDeprecation: true,
        specifiedByUrl: true,
        schemaDescription: true,
        oneOf: true,
      }),
    );
    assert.ok(shape.introspectionDepth <= defaultQueryLimits.introspectionDepth, String(shape.introspectionDepth));
    assert.ok(shape.tokens <= defaultQueryLimits.tokens);
  });

  it('is that of the operation which is asked for, and the largest of all where that is not said', () => {
    const text = 'query A { a } query B { x: a { b } } query C { a { y: b z: b } }';
    assert.equal(shapeOf(text, 'A').depth, 1);
    assert.deepEqual([shapeOf(text).depth, shapeOf(text).aliases], [2, 2]);
    assert.equal(shapeOf(text, 'D').depth, 2);
  });

  it('ends at fragments that go in circles', () => {
    assert.equal(shapeOf('{ ...F } fragment F on Q { a { ...G } } fragment G on A { b { ...F } }').depth, 2);
    assert.equal(shapeOf('{ ...F } fragment F on Q { ...F }').depth, 0);
    assert.equal(shapeOf('{ ...Unknown }').depth, 0);
  });

  it('is found by looking at every node once, also where fragments multiply', () => {
    const levels = 300;
    const bomb = Array.from(
      { length: levels },
      (_, i) => `fragment F${i} on Q { ...F${i + 1} ...F${i + 1} ...F${i + 1} }`,
    );
    const text = `{ ...F0 } ${bomb.join(' ')} fragment F${levels} on Q { x: a @skip(if: true) }`;
    const document = parseBounded(text);
    let visits = 0;
    const measure = createShapeMeasure(() => visits++);
    const shape = measure(document);
    assert.deepEqual([shape.aliases, shape.directives, shape.rootFields], [maxCount, maxCount, maxCount]);
    assert.equal(visits, 1 + levels * 3 + 1);
    measure(document);
    assert.equal(visits, 1 + levels * 3 + 1, 'a document that is known is not looked at again');
  });
});
