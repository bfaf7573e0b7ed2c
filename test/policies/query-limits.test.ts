import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GraphQLError } from 'graphql';
import { findGatewayError } from '../../gateway/graphql-errors.ts';
import { parseBounded } from '../../policies/document-bounds.ts';
import { createQueryLimiter, findTextExcess } from '../../policies/query-limits.ts';
import type { Viewer } from '../../policies/request-context.ts';

const viewer: Viewer = {
  id: 'ada',
  kind: 'jwt',
  issuer: 'https://idp.example',
  scopes: new Set(['orders:read']),
  roles: ['editor'],
  claims: {},
};
const partner: Viewer = {
  ...viewer,
  id: 'partner-a',
  kind: 'api-key',
  issuer: undefined,
  scopes: new Set(),
  roles: [],
};

describe('the limits of a viewer', () => {
  const { limitsFor } = createQueryLimiter({
    depth: 5,
    classes: [
      { for: 'role:editor', depth: 50 },
      { for: 'api-key:partner-a', aliases: 7, documentSize: '1kb' },
      { for: 'scope:orders:read', depth: 40 },
      { for: 'client:ios', depth: 30 },
      { for: 'anonymous', depth: 3 },
    ],
  });

  it('are those of the first class that the viewer belongs to', () => {
    const depthOf = (who: Viewer | null, headers = {}) => limitsFor({ viewer: who, headers }).depth;
    assert.equal(depthOf(viewer), 50);
    assert.equal(depthOf({ ...viewer, roles: [] }), 40);
    assert.equal(depthOf(partner), 5);
    assert.equal(depthOf(partner, { 'graphql-client-name': 'ios' }), 5);
    assert.equal(depthOf(null, { 'graphql-client-name': 'ios' }), 30);
    assert.equal(depthOf(null), 3);
    assert.equal(depthOf({ ...partner, id: 'partner-b' }), 5);
  });

  it('are as for everyone where the class does not say otherwise', () => {
    const limits = limitsFor({ viewer: partner, headers: {} });
    assert.deepEqual(
      [limits.depth, limits.aliases, limits.documentBytes, limits.className],
      [5, 7, 1_024, 'api-key:partner-a'],
    );
  });

  it('do not take the subject of a token for an API key', () => {
    assert.equal(limitsFor({ viewer: { ...partner, kind: 'jwt' }, headers: {} }).className, 'default');
  });

  it('let the parser go as far as the most generous class, and never further than it can bear', () => {
    assert.equal(createQueryLimiter({ tokens: 100, classes: [{ for: 'anonymous', tokens: 10 }] }).maxTokens, 100);
    assert.equal(createQueryLimiter({ tokens: 100, mode: 'measure' }).maxTokens, 10_000);
  });
});

describe('the text of a document', () => {
  it('is measured in bytes, the limit included', () => {
    const limits = createQueryLimiter({ documentSize: '12b' }).limitsFor({ viewer: null, headers: {} });
    assert.equal(findTextExcess('{ äöüß }', limits), null);
    assert.deepEqual(findTextExcess('{ äöüßs }', limits), { code: 'DOCUMENT_TOO_LARGE', limit: 12, found: 13 });
  });

  it('is not parsed beyond the tokens and brackets that are allowed', () => {
    const codeOf = (text: string, maxTokens?: number) => {
      try {
        parseBounded(text, {}, maxTokens);
        return null;
      } catch (error) {
        assert.ok(error instanceof GraphQLError);
        return findGatewayError(error)?.code;
      }
    };
    assert.equal(codeOf('{ a b c }', 5), null);
    assert.equal(codeOf('{ a b c d }', 5), 'TOO_MANY_TOKENS');
    assert.equal(codeOf('{ a '.repeat(200) + '}'.repeat(200)), null);
    assert.equal(codeOf('{ a '.repeat(201) + '}'.repeat(201)), 'OPERATION_TOO_DEEP');
    assert.equal(codeOf(`{ a(x: ${'['.repeat(100_000)}`), 'OPERATION_TOO_DEEP');
  });
});
