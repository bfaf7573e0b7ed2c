/** What holds at routes that the gateway answers itself: the kinds of any route, but for those of calls. */

import Type from 'typebox';
import { AuthorizeOptions } from '../policies/authorize-options.ts';
import { edgeProperties } from '../policies/edge-options.ts';
import type { HeaderRules } from '../policies/header-rules.ts';
import { Route } from '../subgraphs/service-definition.ts';

const { public: open, priority, cost, rateLimit } = Route.properties;
const { cors, csrf, securityHeaders, headers, compression } = edgeProperties;

/** As at routes of services. Of the gateway's `policies` the same reach them. */
export const ownRouteProperties = {
  public: open,
  priority,
  authorize: Type.Optional(AuthorizeOptions),
  cost,
  rateLimit,
  cors,
  csrf,
  securityHeaders,
  headers,
  compression,
};

type Kinds = Pick<
  Route,
  'public' | 'priority' | 'authorize' | 'cost' | 'rateLimit' | 'cors' | 'csrf' | 'securityHeaders' | 'compression'
>;

/** What such a route says of the kinds. */
export interface OwnRouteOptions extends Kinds {
  readonly headers?: HeaderRules;
}

/** Just the kinds of what stands at a route. */
export function pickOwnRouteOptions(options: OwnRouteOptions): OwnRouteOptions {
  const names = Object.keys(ownRouteProperties);
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)));
}
