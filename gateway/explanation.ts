/** Questions of `POST /explain`, and the parts that answers about both doors have. Nothing of a credential is in them. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Authenticator } from '../policies/authenticate.ts';
import { type GatewayError, toGatewayError } from '../policies/errors.ts';
import {
  type KindResolution,
  type PolicyLayer,
  type PolicyOrigin,
  resolveKinds,
  resolveRules,
} from '../policies/policy-binding.ts';
import type { RateLimitRule } from '../policies/rate-limit-rule.ts';
import type { RequestContext, Viewer } from '../policies/request-context.ts';
import type { Graph } from '../schema/graph.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Settings } from './config.ts';
import type { DataPlane } from './data-plane.ts';
import { buildLoggable } from './log-redaction.ts';
import { createNamedPolicies, type PolicySources } from './policy-layers.ts';

/** A request at the REST door. */
export interface RouteQuestion {
  readonly method: string;
  /** With the query, if there is one. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** An operation at the GraphQL door. */
export interface OperationQuestion {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string;
  readonly headers: Readonly<Record<string, string>>;
}

export type ExplainQuestion = RouteQuestion | OperationQuestion;

/** What explanations are made from: what the registry and the configuration say, and what answers requests. */
export interface ExplainSources {
  readonly snapshot: Snapshot;
  readonly graph: Graph;
  /** As configured, without what is bound. */
  readonly configured: Settings;
  readonly dataPlane: DataPlane;
}

/** What layers are looked for in. */
export function buildPolicySources({ configured, snapshot }: ExplainSources): PolicySources {
  return { settings: configured, named: createNamedPolicies()(configured, snapshot) };
}

/** A refusal as the client would get it. */
export interface ExplainedRefusal {
  readonly code: string;
  readonly status: number;
  readonly message: string;
}

export function describeRefusal({ code, status, message }: GatewayError): ExplainedRefusal {
  return { code, status, message };
}

export type ExplainedAuthentication =
  | { readonly outcome: 'anonymous' }
  | { readonly outcome: 'accepted'; readonly viewer: ExplainedViewer }
  | { readonly outcome: 'refused'; readonly refusal: ExplainedRefusal };

/** Of the viewer, what policies look at; claims may hold anything and stay here. */
interface ExplainedViewer {
  readonly id: string;
  readonly kind: string;
  readonly issuer: string | null;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
}

/** Who the headers say is asking. */
export async function explainAuthentication(
  authenticator: Authenticator,
  headers: IncomingHttpHeaders,
  method: string,
): Promise<{ readonly viewer: Viewer | null; readonly authentication: ExplainedAuthentication }> {
  try {
    const viewer = await authenticator.authenticate(headers, { method, client: { host: headers.host ?? '' } });
    if (viewer === null) return { viewer, authentication: { outcome: 'anonymous' } };
    const { id, kind, issuer = null, scopes, roles } = viewer;
    const told = { id, kind, issuer, scopes: [...scopes], roles: [...roles] };
    return { viewer, authentication: { outcome: 'accepted', viewer: told } };
  } catch (thrown) {
    const refusal = describeRefusal(toGatewayError(thrown));
    return { viewer: null, authentication: { outcome: 'refused', refusal } };
  }
}

/** Header names are equal in any case (RFC 9110 section 5.1). */
export function readHeaders(given: Readonly<Record<string, string>>): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
}

/** What holds of one kind, what says so, and what that put aside. */
export interface ExplainedKind extends KindResolution {
  readonly kind: string;
}

export function describeKinds(layers: readonly PolicyLayer[]): readonly ExplainedKind[] {
  // Whoever may ask need not know what a kind sets in a header; and bounded, for a kind may hold a schema.
  const tell = (value: unknown): unknown => buildLoggable({ value }, false)['value'];
  return [...resolveKinds(layers)].map(([kind, { value, ...rest }]) => ({ kind, value: tell(value), ...rest }));
}

/** A rule that would be asked. What it has counted is not looked at. */
export interface ExplainedRule {
  readonly name: string;
  readonly algorithm: string;
  readonly limit: number | string;
  readonly window: string | null;
  readonly count: NonNullable<RateLimitRule['count']>;
  readonly key: readonly string[];
  readonly from: PolicyOrigin;
  readonly overrode: readonly PolicyOrigin[];
}

export function describeRules(layers: readonly PolicyLayer[]): readonly ExplainedRule[] {
  return resolveRules(layers).map(({ rule, from, overrode }) => ({
    name: rule.name,
    algorithm: rule.algorithm ?? 'gcra',
    limit: rule.limit,
    window: rule.window ?? null,
    count: rule.count ?? 'requests',
    key: typeof rule.key === 'string' ? [rule.key] : (rule.key ?? ['viewer']),
    from,
    overrode,
  }));
}

/** A request that nobody sent: what authorization looks at. */
export function createExplainedRequest(
  viewer: Viewer | null,
  headers: RequestContext['headers'],
  door: RequestContext['door'],
  method: string,
  path?: string,
): RequestContext & { readonly path?: string } {
  const host = headers.host ?? '';
  return {
    id: 'explain',
    door,
    method,
    ...(path !== undefined && { path }),
    headers,
    client: { address: '', protocol: 'http', host, forwardedFor: '' },
    viewer,
    deadlineAtMs: Number.POSITIVE_INFINITY,
    departure: { happened: false, subscribe: () => () => {} },
    rateLimit: null,
    name: null,
    errorCode: null,
    atEnd: (listener) => listener(),
    attempts: [],
  };
}
