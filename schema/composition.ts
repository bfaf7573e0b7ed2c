/** One executable graph out of many services: federated ones composed, plain ones stitched to them on the same level. */
import { createHash } from 'node:crypto';
import type { SubschemaConfig } from '@graphql-tools/delegate';
import { getStitchingOptionsFromSupergraphSdl } from '@graphql-tools/federation';
import { stitchSchemas } from '@graphql-tools/stitch';
import {
  buildASTSchema,
  type DocumentNode,
  GraphQLBoolean,
  GraphQLObjectType,
  GraphQLSchema,
  lexicographicSortSchema,
  printSchema,
  validateSchema,
} from 'graphql';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { ServiceSchema } from '../subgraphs/snapshot.ts';
import { collectCacheHints } from './cache-hints.ts';
import { findConflicts, type Layer } from './conflicts.ts';
import { collectCosts } from './cost-directives.ts';
import { describeFailure } from './failure-text.ts';
import { composeSupergraph, type ParsedService, type Supergraph } from './federation.ts';
import type { Graph, SubgraphExecutor } from './graph.ts';
import type { MergeConfiguration } from './merge-configuration.ts';
import { findPlainRootFields } from './plain-root-fields.ts';
import { buildPlainSubschema, prepareDocument } from './plain-service.ts';
import { buildPossibleTypes } from './plan-types.ts';
import { buildPublicSchema } from './public-schema.ts';
import { collectPolicyNames, collectRequirements } from './requirements.ts';
import { parseSdl } from './sdl.ts';
import { createSubgraphExecutor } from './subgraph-executor.ts';

/** What composition needs to know of a service. */
export interface GraphService {
  readonly name: string;
  readonly schema: ServiceSchema;
  readonly merge?: MergeConfiguration | undefined;
}

export interface CompositionOptions {
  /** Whether the text of a service's own errors reaches the client. @default 'pass' */
  readonly subgraphErrors?: 'pass' | 'mask';
}

const maxReasons = 100;

/** Composes the graph. Throws REGISTRATION_REFUSED with reasons when the services do not fit together. */
export function composeGraph(
  services: readonly GraphService[],
  execute: SubgraphExecutor,
  options: CompositionOptions = {},
): Graph {
  try {
    return compose(services, execute, options);
  } catch (error) {
    // The libraries below throw where SDL is odd enough; whatever it is, it is the schemas that do not compose.
    throw error instanceof GatewayError ? error : refusal([toReason(error)], error);
  }
}

/** Equal services have equal graphs, on every gateway. */
export function buildGraphId(services: readonly GraphService[]): string {
  const inputs = sortByName(services).map(({ name, schema, merge }) => [name, schema.hash, sortKeys(merge ?? null)]);
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16);
}

function compose(unsorted: readonly GraphService[], execute: SubgraphExecutor, options: CompositionOptions): Graph {
  const services = sortByName(unsorted);
  const reasons: ErrorReason[] = findDuplicates(services);
  const errors = { pass: options.subgraphErrors !== 'mask' };
  const executorOf = (service: string) => createSubgraphExecutor(service, execute, errors);

  const federated = parseServices(services, 'federation', reasons);
  const plain = parseServices(services, 'plain', reasons).map(({ name, document }) => ({
    name,
    document: prepareDocument(document),
  }));
  if (reasons.length > 0) throw refusal(reasons);

  const supergraph = federated.length === 0 ? null : composeSupergraph(federated);
  if (isReasons(supergraph)) reasons.push(...supergraph);
  const plainLayers = plain.flatMap((service) => {
    const merge = services.find(({ name }) => name === service.name)?.merge;
    const subschema = buildPlainSubschema(service, merge, executorOf(service.name), reasons);
    return subschema === null ? [] : [{ service: service.name, plain: true, subschemas: [subschema] }];
  });
  if (isReasons(supergraph) || reasons.length > 0) throw refusal(reasons);

  const stitching = supergraph === null ? null : buildStitchingOptions(supergraph, executorOf);
  const layers = [...(stitching === null ? [] : groupByService(stitching.subschemas)), ...plainLayers];
  reasons.push(...findConflicts(layers));
  if (reasons.length > 0) throw refusal(reasons);

  const schema = buildSchema(stitching, layers, [
    ...(supergraph === null ? [] : [supergraph.publicDocument]),
    ...plain.map(({ document }) => document),
  ]);
  return {
    id: buildGraphId(services),
    schema,
    publicSdl: printSchema(lexicographicSortSchema(schema)),
    supergraphSdl: supergraph?.sdl ?? '',
    federatedSchema: supergraph === null ? null : buildFederatedSchema(supergraph),
    possibleTypes: buildPossibleTypes(
      ...(supergraph === null ? [] : [buildASTSchema(supergraph.document, { assumeValid: true })]),
      schema,
    ),
    plainRootFields: findPlainRootFields(layers),
    services: services.map(({ name }) => name),
    cacheHints: collectCacheHints([...federated, ...plain].map(({ document }) => document)),
    costs: collectCosts([...federated, ...plain].map(({ document }) => document)),
    policyNames: collectPolicyNames([...federated, ...plain]),
    requirements: collectRequirements([
      ...(supergraph === null ? [] : [supergraph.document]),
      ...plain.map(({ document }) => document),
    ]),
  };
}

/** The planner aborts its process over a supergraph without a query: there is none to ask it about then. */
function buildFederatedSchema({ publicDocument }: Supergraph): GraphQLSchema | null {
  const schema = buildASTSchema(publicDocument, { assumeValid: true });
  return schema.getQueryType() ? schema : null;
}

type StitchingOptions = ReturnType<typeof getStitchingOptionsFromSupergraphSdl>;

function buildStitchingOptions(
  supergraph: Supergraph,
  executorOf: (service: string) => ReturnType<typeof createSubgraphExecutor>,
): StitchingOptions {
  return getStitchingOptionsFromSupergraphSdl({
    // As text: the library adds directives of its own to the AST it is given.
    supergraphSdl: supergraph.sdl,
    // Chosen by the number of requests: a deep query over four services takes 6 with batching and 8 without, one with
    // several root fields of one service 4 and 7. The difference in CPU was within the noise of the measurement.
    batch: true,
    onSubschemaConfig(subschema) {
      const service = supergraph.serviceNames.get(subschema.name) ?? subschema.name;
      // A plain service might be called as the supergraph's enum calls a federated one.
      subschema.name = service;
      subschema.executor = executorOf(service);
    },
  });
}

function stitch(stitching: StitchingOptions | null, subschemas: SubschemaConfig[]): GraphQLSchema {
  if (stitching === null)
    return stitchSchemas({ subschemas, typeMergingOptions: { useNonNullableFieldOnConflict: true } });
  const { schemaExtensions, ...options } = stitching;
  return stitchSchemas({ ...options, ...(schemaExtensions && { schemaExtensions }), subschemas });
}

function buildSchema(
  stitching: StitchingOptions | null,
  layers: readonly Layer[],
  documents: readonly DocumentNode[],
): GraphQLSchema {
  if (layers.length === 0) return buildEmptySchema();
  const stitched = stitch(
    stitching,
    layers.flatMap((layer) => layer.subschemas),
  );
  const schema = buildPublicSchema(stitched, documents);
  const invalid = validateSchema(schema);
  if (invalid.length > 0) throw refusal(invalid.map(toReason));
  return schema;
}

/** A schema must have a query. This one lets the gateway start before any service does. */
function buildEmptySchema(): GraphQLSchema {
  const query = new GraphQLObjectType({
    name: 'Query',
    fields: {
      _empty: { type: GraphQLBoolean, description: 'Stands here until the first GraphQL service is registered.' },
    },
  });
  return new GraphQLSchema({ query });
}

function parseServices(
  services: readonly GraphService[],
  kind: ServiceSchema['kind'],
  reasons: ErrorReason[],
): ParsedService[] {
  return services.flatMap(({ name, schema, merge }) => {
    if (schema.kind !== kind) return [];
    if (kind === 'federation' && merge !== undefined) {
      reasons.push({
        message: 'merge is for plain services: a federated one says by @key how to look its objects up',
        service: name,
        code: 'INVALID_MERGE',
      });
    }
    return [{ name, document: parseSdl(schema.sdl, name) }];
  });
}

function groupByService(subschemas: readonly SubschemaConfig[]): Layer[] {
  const groups = Map.groupBy(subschemas, ({ name = '' }) => name);
  return [...groups].map(([service, group]) => ({ service, plain: false, subschemas: group }));
}

function findDuplicates(services: readonly GraphService[]): ErrorReason[] {
  return services
    .filter(({ name }, index) => services[index + 1]?.name === name)
    .map(({ name }) => ({ message: `There are two services "${name}"`, service: name, code: 'SERVICE_NAME_CONFLICT' }));
}

function refusal(reasons: readonly ErrorReason[], cause?: unknown): GatewayError {
  const [first] = reasons;
  const message = `The services do not compose: ${first?.message ?? 'no reason given'}`.slice(0, 500);
  const service = reasons.every((reason) => reason.service === first?.service) ? first?.service : undefined;
  return new GatewayError('REGISTRATION_REFUSED', message, { service, reasons: reasons.slice(0, maxReasons), cause });
}

function toReason(error: unknown): ErrorReason {
  return { message: describeFailure(error), code: 'COMPOSITION_FAILED' };
}

function isReasons(value: Supergraph | readonly ErrorReason[] | null): value is readonly ErrorReason[] {
  return Array.isArray(value);
}

/** By code units: the order must not depend on a locale. */
function sortByName(services: readonly GraphService[]): GraphService[] {
  return services.toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => [key, sortKeys(item)]);
}
