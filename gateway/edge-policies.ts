/** What holds for the heads of messages, compiled for one route, for the GraphQL door, or for what matches nothing. */
import { type ChooseCompression, compileCompression } from '../policies/compression.ts';
import { type ApplyCookieRules, compileCookieRules } from '../policies/cookie-rules.ts';
import { type CorsPolicy, compileCors } from '../policies/cors.ts';
import { type CheckOrigin, compileCsrf, compileGraphqlCsrf, type GraphqlCsrf } from '../policies/csrf.ts';
import type { EdgeOptions } from '../policies/edge-options.ts';
import {
  type ApplyHeaderRules,
  carriesCredentials,
  compileHeaderRules,
  type HeaderRules,
} from '../policies/header-rules.ts';
import { type ApplySecurityHeaders, compileSecurityHeaders } from '../policies/security-headers.ts';
import { indexServiceHeaders, type ServiceHeader } from '../policies/service-headers.ts';
import { compileUpgrade, type UpgradeRule } from '../policies/upgrade-options.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { GatewayRequest } from './context.ts';

/** Gives the fields of an answer on its way to the client, whoever made it. */
export type ShapeAnswer = (headers: readonly string[], context: GatewayRequest) => string[];

export interface EdgePolicies {
  readonly cors: CorsPolicy | null;
  readonly csrf: CheckOrigin | null;
  /** For requests to the service. */
  readonly request: ApplyHeaderRules | null;
  /** Whether `request` gives the service credentials under names that caches do not know. */
  readonly carriesCredentials: boolean;
  /** For the cookies of the service alone. */
  readonly cookies: ApplyCookieRules | null;
  /** For all answers, errors included. Null where nothing is asked for. */
  readonly answer: ShapeAnswer | null;
  /** For answers of the service, also those that were kept. Null where nothing is compressed. */
  readonly compression: ChooseCompression | null;
  /** What may leave HTTP; null for nothing. */
  readonly upgrade: UpgradeRule | null;
}

/** Options of the GraphQL door, over those of the gateway. */
export interface GraphqlEdgeOptions extends Pick<EdgeOptions, 'cors' | 'securityHeaders' | 'headers' | 'compression'> {
  readonly csrf: GraphqlCsrf;
  readonly responseHeaders: readonly ServiceHeader[];
}

const allMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const nobody = () => false;

/** What a route meets: the most specific of each kind, but the rules for headers of all levels. */
export function buildRouteEdge(
  gateway: EdgeOptions,
  service: string,
  definition: ServiceDefinition,
  route: Route,
): EdgePolicies {
  const { match, rewrite } = route;
  const corsOptions = route.cors ?? definition.cors ?? gateway.cors;
  const cors = corsOptions === undefined ? null : compileCors(corsOptions, match.methods ?? allMethods);
  const csrf = compileCsrf(route.csrf ?? definition.csrf ?? gateway.csrf, (origin) => cors?.trusts(origin) === true);
  const scope = { routePath: match.path, ...(service !== '' && { service }) };
  const rules = joinRules([gateway.headers, definition.headers, route.headers]);
  return {
    cors,
    csrf,
    compression: compileCompression(route.compression ?? definition.compression ?? gateway.compression),
    request: compileHeaderRules(rules.request, 'request', scope),
    carriesCredentials: carriesCredentials(rules.request),
    cookies: compileCookieRules(route.cookies ?? definition.cookies ?? gateway.cookies, { match: match.path, rewrite }),
    answer: buildAnswer(
      compileHeaderRules(rules.response, 'response', scope),
      compileOptional(route.securityHeaders ?? definition.securityHeaders ?? gateway.securityHeaders),
      cors,
    ),
    upgrade: compileUpgrade(route.upgrade ?? definition.upgrade ?? gateway.upgrade),
  };
}

export interface GraphqlEdge {
  readonly cors: CorsPolicy | null;
  readonly csrf: CheckOrigin | null;
  readonly answer: ShapeAnswer | null;
  readonly compression: ChooseCompression | null;
  /** Which headers of services reach the client; null for none. */
  readonly serviceHeaders: ReadonlyMap<string, ServiceHeader> | null;
}

/** What the GraphQL door meets. */
export function buildGraphqlEdge(gateway: EdgeOptions, graphql: GraphqlEdgeOptions): GraphqlEdge {
  const corsOptions = graphql.cors ?? gateway.cors;
  const cors = corsOptions === undefined ? null : compileCors(corsOptions, ['GET', 'POST']);
  // What CORS lets read the answer is not kept from asking.
  const mayAsk = cors === null ? nobody : (origin: string) => cors.allows(origin);
  const rules = joinRules([gateway.headers, graphql.headers]);
  const { responseHeaders } = graphql;
  return {
    cors,
    csrf: compileGraphqlCsrf(graphql.csrf, mayAsk),
    compression: compileCompression(graphql.compression ?? gateway.compression),
    answer: buildAnswer(
      compileHeaderRules(rules.response, 'response', {}),
      compileOptional(graphql.securityHeaders ?? gateway.securityHeaders),
      cors,
    ),
    serviceHeaders: responseHeaders.length === 0 ? null : indexServiceHeaders(responseHeaders),
  };
}

/** What answers meet that no route gave: the gateway's own refusals. */
export function buildGatewayAnswer(gateway: EdgeOptions): ShapeAnswer | null {
  const cors = gateway.cors === undefined ? null : compileCors(gateway.cors, allMethods);
  const rules = compileHeaderRules(gateway.headers?.response ?? [], 'response', {});
  return buildAnswer(rules, compileOptional(gateway.securityHeaders), cors);
}

/** The rules of all levels, the gateway's first. */
function joinRules(levels: readonly (HeaderRules | undefined)[]): Required<HeaderRules> {
  return {
    request: levels.flatMap((level) => level?.request ?? []),
    response: levels.flatMap((level) => level?.response ?? []),
  };
}

function compileOptional(options: EdgeOptions['securityHeaders']): ApplySecurityHeaders | null {
  return options === undefined ? null : compileSecurityHeaders(options);
}

/** CORS comes last, so that no rule can say something else of it. */
function buildAnswer(
  rules: ApplyHeaderRules | null,
  security: ApplySecurityHeaders | null,
  cors: CorsPolicy | null,
): ShapeAnswer | null {
  if (rules === null && security === null && cors === null) return null;
  return (headers, context) => {
    let current = rules === null ? [...headers] : rules(headers, context, context.path);
    if (security !== null) current = security(current, context.client.protocol === 'https');
    return cors === null ? current : cors.apply(current, context.headers);
  };
}
