import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeByService } from '../../gateway/openapi-service.ts';
import type { Route } from '../../subgraphs/service-definition.ts';

const route = (more: object) => ({ match: { path: '/api/users/:id' }, rewrite: '/users/:id', ...more }) as Route;

describe('what a service says of its route', () => {
  it('is its JSON Schemas, whose references stay within them', () => {
    const body = { $ref: '#/$defs/user', $defs: { user: { type: 'object' } } };
    const query = { properties: { page: { type: 'integer' }, q: { $ref: '#/$defs/x' } }, required: ['page'] };
    const { operation } = describeByService('users', route({ validate: { body, query } }), 'post');
    assert.deepEqual(operation['parameters'], [
      { name: 'page', in: 'query', required: true, schema: { type: 'integer' } },
      { name: 'q', in: 'query', required: false, schema: {} },
    ]);
    const { content } = operation['requestBody'] as { content: Record<string, { schema: { $id: string } }> };
    assert.match(content['application/json']?.schema.$id ?? '', /^urn:selvage:/);
    assert.deepEqual(describeByService('users', route({ validate: { body } }), 'get').operation, {});
  });

  it('is the operation of its OpenAPI document, with components under names of its own', () => {
    const openapi = {
      openapi: '3.0.3',
      paths: {
        '/users/{userId}': {
          parameters: [{ name: 'userId', in: 'path', required: true, schema: { type: 'string' } }],
          get: { operationId: 'x', responses: { 200: { $ref: '#/components/responses/User' } } },
        },
      },
      components: {
        responses: {
          User: {
            description: 'One',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/User' } } },
          },
        },
        schemas: {
          User: {
            type: 'object',
            nullable: true,
            properties: { age: { type: 'integer', minimum: 0, exclusiveMinimum: true } },
          },
        },
      },
    };
    const { operation, components } = describeByService(
      'users',
      route({ validate: { openapi: { document: openapi } } }),
      'get',
    );
    assert.deepEqual(operation['responses'], { 200: { $ref: '#/components/responses/users.User' } });
    assert.equal(operation['operationId'], undefined);
    assert.deepEqual(components['schemas']?.['users.User'], {
      type: ['object', 'null'],
      properties: { age: { type: 'integer', minimum: 0, exclusiveMinimum: 0 } },
    });
  });

  it('is nothing where it says nothing', () => {
    assert.deepEqual(describeByService('users', route({}), 'get'), { operation: {}, components: {} });
    assert.deepEqual(describeByService('users', route({ validate: { openapi: { paths: 3 } } }), 'get').operation, {});
  });
});
