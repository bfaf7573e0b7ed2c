/** What the configuration says of heads of messages at the GraphQL door. */
import Type from 'typebox';
import { CompressionOptions } from '../policies/compression.ts';
import { CorsOptions } from '../policies/cors.ts';
import { GraphqlCsrf } from '../policies/csrf.ts';
import { type EdgeOptions, findEdgeMistakes, pickEdgeOptions } from '../policies/edge-options.ts';
import { HeaderRules } from '../policies/header-rules.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { SecurityHeadersOptions } from '../policies/security-headers.ts';
import { findServiceHeaderMistakes, ServiceHeader } from '../policies/service-headers.ts';
import type { GraphqlEdgeOptions } from './edge-policies.ts';

/** Part of `graphql`. */
export const graphqlEdgeProperties = {
  cors: Type.Optional(CorsOptions),
  csrf: Type.Optional(GraphqlCsrf),
  securityHeaders: Type.Optional(SecurityHeadersOptions),
  headers: Type.Optional({
    ...HeaderRules,
    description:
      'Rules for headers, after those of the gateway: `response` for GraphQL answers, `request` for the requests that services get for them, before the rules of the service.',
  }),
  compression: Type.Optional(CompressionOptions),
  responseHeaders: Type.Optional(
    Type.Array(ServiceHeader, {
      default: [],
      maxItems: 200,
      description: 'Headers of the answers of services that reach the client of a GraphQL answer.',
    }),
  ),
};

type GraphqlEdgeConfig = Omit<EdgeOptions, 'csrf'> & Partial<GraphqlEdgeOptions>;

/** The part of `graphql` with defaults. */
export function buildGraphqlEdgeOptions({ csrf = 'cross-origin', responseHeaders = [], ...others }: GraphqlEdgeConfig) {
  const { cors, securityHeaders, headers, compression } = others;
  return {
    csrf,
    responseHeaders,
    ...(cors !== undefined && { cors }),
    ...(securityHeaders !== undefined && { securityHeaders }),
    ...(headers !== undefined && { headers }),
    ...(compression !== undefined && { compression }),
  };
}

interface EdgeConfig {
  readonly policies?: EdgeOptions;
  readonly graphql?: GraphqlEdgeConfig;
  readonly services?: Readonly<Record<string, EdgeOptions & { readonly routes?: readonly RouteEdge[] }>>;
}

interface RouteEdge extends EdgeOptions {
  readonly match: { readonly path: string };
}

/** What is wrong with heads of messages, at every level of a configuration. */
export function findEdgeConfigMistakes({ policies = {}, graphql = {}, services = {} }: EdgeConfig): Mistake[] {
  const { csrf: _, responseHeaders = [], ...others } = graphql;
  return [
    ...under(['policies'], findEdgeMistakes(pickEdgeOptions(policies), {})),
    ...under(['graphql'], findEdgeMistakes(others, {})),
    ...under(['graphql', 'responseHeaders'], findServiceHeaderMistakes(responseHeaders)),
    ...Object.entries(services).flatMap(([service, { routes = [], ...definition }]) => [
      ...under(['services', service], findEdgeMistakes(definition, { service })),
      ...routes.flatMap((route, index) =>
        under(
          ['services', service, 'routes', index],
          findEdgeMistakes(route, { service, routePath: route.match.path }),
        ),
      ),
    ]),
  ];
}

function under(path: Mistake['path'], mistakes: readonly Mistake[]): Mistake[] {
  return mistakes.map((mistake) => ({ ...mistake, path: [...path, ...mistake.path] }));
}
