/** `openapi` of the configuration: the description of all REST routes at the public port. */
import Type from 'typebox';
import { ownRouteProperties } from './own-route-options.ts';

export const OpenapiOptions = Type.Object(
  {
    path: Type.Optional(
      Type.String({ pattern: '^(/[A-Za-z0-9._~-]+)+$', default: '/openapi.json', description: 'Where it is.' }),
    ),
    title: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, default: 'REST routes', description: 'Its title.' }),
    ),
    version: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 100,
        description: 'Its version. Default: a hash of the routes, which changes with them.',
      }),
    ),
    servers: Type.Optional(
      Type.Array(Type.String({ pattern: '^https?://[^\\s]+$' }), {
        maxItems: 20,
        description: 'Base URLs of this gateway as clients know them.',
      }),
    ),
    ...ownRouteProperties,
  },
  {
    additionalProperties: false,
    description:
      'OpenAPI 3.1 of all REST routes, those of services and those of the gateway. Default: only at the admin port, `GET /openapi.json`.',
  },
);
export type OpenapiOptions = Type.Static<typeof OpenapiOptions>;
