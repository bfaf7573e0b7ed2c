import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeBySchemas } from '../../gateway/openapi-service.ts';
import type { Route } from '../../subgraphs/service-definition.ts';

const route = (more: object) => ({ match: { path: '/api/users/:id' }, rewrite: '/users/:id', ...more }) as Route;

describe('what a service says of its route', () => {
  it('is its JSON Schemas, whose references stay within them', () => {
    const body = { $ref: '#/$defs/user', $defs: { user: { type: 'object' } } };
    const query = { properties: { page: { type: 'integer' }, q: { $ref: '#/$defs/x' } }, required: ['page'] };
    const operation = describeBySchemas(route({ validate: { body, query } }), 'post');
    assert.deepEqual(operation['parameters'], [
      { name: 'page', in: 'query', required: true, schema: { type: 'integer' } },
      { name: 'q', in: 'query', required: false, schema: {} },
    ]);
    const { content } = operation['requestBody'] as { content: Record<string, { schema: { $id: string } }> };
    assert.match(content['application/json']?.schema.$id ?? '', /^urn:selvage:/);
    assert.deepEqual(describeBySchemas(route({ validate: { body } }), 'get'), {});
  });

  it('is nothing where it says nothing', () => {
    assert.deepEqual(describeBySchemas(route({}), 'get'), {});
    assert.deepEqual(describeBySchemas(route({ validate: { query: false } }), 'get'), {});
  });
});
