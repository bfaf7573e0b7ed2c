/** One generation of the graph: immutable, composed from a snapshot. */
import type { ExecutionResult, GraphQLSchema } from 'graphql';
import type { CacheHints } from '../policies/cache-hints.ts';
import type { CostDirectives } from '../policies/cost-model.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { Requirement } from '../policies/requirement.ts';

export interface Graph {
  /** Short hash of everything that it was composed from: equal graphs have equal ids on every gateway. */
  readonly id: string;
  /** What runs: the public schema with resolvers that call services. */
  readonly schema: GraphQLSchema;
  /** What clients may know. */
  readonly publicSdl: string;
  /** The supergraph of the federated services; empty when there are none. */
  readonly supergraphSdl: string;
  /** The public schema of the federated services alone: what `supergraphSdl` can be asked. Null when there are none. */
  readonly federatedSchema: GraphQLSchema | null;
  /** The object types of each abstract one, those included that clients must not know: plans may name them. */
  readonly possibleTypes: ReadonlyMap<string, ReadonlySet<string>>;
  /** Root fields, as `Query.name`, that one plain service answers alone, whatever is selected below them: its name. */
  readonly plainRootFields: ReadonlyMap<string, string>;
  /** Names of the services that are part of it, sorted. */
  readonly services: readonly string[];
  /** What directives of the subgraphs ask of a viewer, as written: by `Type.field` or `Type`. */
  readonly requirements: ReadonlyMap<string, Requirement>;
  /** Names in `@policy`, with the services that say them. */
  readonly policyNames: ReadonlyMap<string, readonly string[]>;
  /** What `@cacheControl` of the subgraphs says, as written: by `Type.field` or `Type`. */
  readonly cacheHints: CacheHints;
  /** What `@cost` and `@listSize` of the subgraphs say, as written. */
  readonly costs: CostDirectives;
}

/** One GraphQL request to one service. */
export interface SubgraphRequest {
  readonly service: string;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>> | undefined;
  readonly operationName: string | undefined;
  readonly operationType: 'query' | 'mutation' | 'subscription';
}

/** Carries a GraphQL request to a service. Failures of transport come as a thrown GatewayError. */
export type SubgraphExecutor = (request: SubgraphRequest, context: RequestContext) => Promise<ExecutionResult>;
