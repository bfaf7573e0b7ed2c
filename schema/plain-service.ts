/** A service without federation as a subschema for stitching. */
import type { MergedTypeConfig, SubschemaConfig } from '@graphql-tools/delegate';
import { stitchingDirectives } from '@graphql-tools/stitching-directives';
import type { Executor } from '@graphql-tools/utils';
import {
  buildASTSchema,
  type DocumentNode,
  type GraphQLSchema,
  isObjectType,
  Kind,
  parse,
  specifiedDirectives,
  validateSchema,
  visit,
} from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import type { ParsedService } from './federation.ts';
import { buildMergeConfig, findKeyFields, type MergeConfiguration, matchByKey } from './merge-configuration.ts';

/** Its SDL without directives that clients must not see, with root types called Query, Mutation, Subscription. */
export function prepareDocument(document: DocumentNode): DocumentNode {
  const rootNames = findRootNames(document);
  const rename = (name: string): string => rootNames.get(name) ?? name;
  return visit(document, {
    DirectiveDefinition: () => null,
    SchemaDefinition: () => null,
    SchemaExtension: () => null,
    NamedType: (node) => (rootNames.has(node.name.value) ? withName(node, rename) : undefined),
    ObjectTypeDefinition: (node) => (federationTypes.has(node.name.value) ? null : withName(node, rename)),
    ObjectTypeExtension: (node) => withName(node, rename),
    ScalarTypeDefinition: (node) => (federationTypes.has(node.name.value) ? null : undefined),
    UnionTypeDefinition: (node) => (federationTypes.has(node.name.value) ? null : undefined),
    // Left over where a federated service is registered as a plain one.
    FieldDefinition: (node) => (federationFields.has(node.name.value) ? null : undefined),
  });
}

const federationTypes = new Set(['_Any', '_Entity', '_Service', '_FieldSet']);
const federationFields = new Set(['_service', '_entities']);

function withName<T extends { readonly name: { readonly value: string } }>(
  node: T,
  rename: (name: string) => string,
): T {
  return { ...node, name: { ...node.name, value: rename(node.name.value) } };
}

function findRootNames(document: DocumentNode): Map<string, string> {
  const defaultNames = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' };
  const names = new Map<string, string>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    for (const { operation, type } of definition.operationTypes ?? []) {
      names.set(type.name.value, defaultNames[operation]);
    }
  }
  return names;
}

/**
 * Builds the subschema of a plain service. `document` is prepared already. Null, with reasons added, when its SDL or
 * its merge configuration is wrong.
 */
export function buildPlainSubschema(
  { name, document }: ParsedService,
  merge: MergeConfiguration | undefined,
  executor: Executor,
  reasons: ErrorReason[],
): (SubschemaConfig & { name: string }) | null {
  const refuse = (message: string, code: string): null => {
    reasons.push({ message: message.slice(0, 2_000), service: name, code });
    return null;
  };
  const directives = stitchingDirectives();
  let schema: GraphQLSchema;
  try {
    schema = buildASTSchema(keepDirectives(document, directives.allStitchingDirectivesTypeDefs));
  } catch (error) {
    return refuse(readMessage(error), 'INVALID_GRAPHQL');
  }
  const [invalid] = validateSchema(schema);
  if (invalid !== undefined) return refuse(invalid.message, 'INVALID_GRAPHQL');
  let config: SubschemaConfig = { name, schema, executor, batch: true };
  try {
    directives.stitchingDirectivesValidator(schema);
    config = directives.stitchingDirectivesTransformer(config);
  } catch (error) {
    return refuse(readMessage(error), 'INVALID_STITCHING_DIRECTIVE');
  }
  matchResultsByKey(schema, config.merge ?? {});
  if (merge !== undefined) config.merge = { ...config.merge, ...buildMergeConfig(name, schema, merge, reasons) };
  return { ...config, name };
}

/** With only the directives that stitching reads, and their definitions. Others mean nothing to the gateway. */
function keepDirectives(document: DocumentNode, definitions: string): DocumentNode {
  const stitching = parse(definitions, { noLocation: true }).definitions;
  const known = new Set([
    ...specifiedDirectives.map((directive) => directive.name),
    ...stitching.flatMap((node) => (node.kind === Kind.DIRECTIVE_DEFINITION ? [node.name.value] : [])),
  ]);
  const kept = visit(document, { Directive: (node) => (known.has(node.name.value) ? undefined : null) });
  return { kind: Kind.DOCUMENT, definitions: [...stitching, ...kept.definitions] };
}

/** For look-ups declared by `@merge`, whose keys are objects with the fields of the selection set. */
function matchResultsByKey(schema: GraphQLSchema, merge: Record<string, MergedTypeConfig>): void {
  for (const [typeName, config] of Object.entries(merge)) {
    const type = schema.getType(typeName);
    if (!isObjectType(type)) continue;
    for (const entry of config.entryPoints ?? [config]) {
      if (entry.argsFromKeys === undefined || entry.valuesFromResults !== undefined) continue;
      entry.valuesFromResults = (results: unknown, keys: readonly Record<string, unknown>[]) => {
        const fields = findKeyFields(type, Object.keys(keys[0] ?? {}));
        return matchByKey(
          results,
          keys.map((key) => pick(key, fields)),
        ) as unknown[];
      };
    }
  }
}

function pick(object: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, object[name]]));
}

function readMessage(error: unknown): string {
  return error instanceof Error ? error.message : 'The SDL cannot be used';
}
