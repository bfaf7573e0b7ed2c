/** A service without federation as a subschema for stitching. */
import type { MergedTypeConfig, MergedTypeEntryPoint, SubschemaConfig } from '@graphql-tools/delegate';
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
import { describeFailure } from './failure-text.ts';
import type { ParsedService } from './federation.ts';
import { findKeyFields, matchingResults, readTopLevelFields } from './key-look-up.ts';
import { buildMergeConfig, type MergeConfiguration } from './merge-configuration.ts';

/**
 * Its SDL without definitions of directives, with root types called Query, Mutation, Subscription. Of `schema` the
 * directives stay: an `@link` may give the directives that keep fields closed other names.
 */
export function prepareDocument(document: DocumentNode): DocumentNode {
  const rootNames = findRootNames(document);
  const rename = (name: string): string => rootNames.get(name) ?? name;
  return visit(document, {
    DirectiveDefinition: () => null,
    SchemaDefinition: ({ directives = [] }) => ({ kind: Kind.SCHEMA_EXTENSION, directives }),
    SchemaExtension: ({ directives = [] }) => ({ kind: Kind.SCHEMA_EXTENSION, directives }),
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
    return refuse(describeFailure(error), 'INVALID_GRAPHQL');
  }
  const [invalid] = validateSchema(schema);
  if (invalid !== undefined) return refuse(invalid.message, 'INVALID_GRAPHQL');
  let config: SubschemaConfig = { name, schema, executor, batch: true };
  try {
    directives.stitchingDirectivesValidator(schema);
    config = directives.stitchingDirectivesTransformer(config);
  } catch (error) {
    return refuse(describeFailure(error), 'INVALID_STITCHING_DIRECTIVE');
  }
  const declared = matchResults(schema, config.merge ?? {});
  return { ...config, name, merge: { ...declared, ...buildMergeConfig(name, schema, merge ?? {}, reasons) } };
}

/** With only the directives that stitching reads, and their definitions. Others mean nothing to the gateway. */
function keepDirectives(document: DocumentNode, definitions: string): DocumentNode {
  const stitching = parse(definitions, { noLocation: true }).definitions;
  const known = new Set([
    ...specifiedDirectives.map((directive) => directive.name),
    ...stitching.flatMap((node) => (node.kind === Kind.DIRECTIVE_DEFINITION ? [node.name.value] : [])),
  ]);
  const kept = visit(document, {
    SchemaExtension: () => null,
    Directive: (node) => (known.has(node.name.value) ? undefined : null),
  });
  return { kind: Kind.DOCUMENT, definitions: [...stitching, ...kept.definitions] };
}

/** For look-ups declared by `@merge`, whose keys are objects with the fields of the selection set. */
function matchResults(
  schema: GraphQLSchema,
  merge: Record<string, MergedTypeConfig>,
): Record<string, MergedTypeConfig> {
  const matched = Object.entries(merge).map(([typeName, config]): [string, MergedTypeConfig] => {
    const type = schema.getType(typeName);
    const match = (entry: MergedTypeEntryPoint): MergedTypeEntryPoint =>
      isObjectType(type) && entry.selectionSet !== undefined
        ? matchingResults(entry, findKeyFields(type, readTopLevelFields(entry.selectionSet)), toKey)
        : entry;
    const { entryPoints } = config;
    return [
      typeName,
      entryPoints === undefined ? { ...config, ...match(config) } : { ...config, entryPoints: entryPoints.map(match) },
    ];
  });
  return Object.fromEntries(matched);
}

function toKey(key: unknown): Record<string, unknown> {
  return typeof key === 'object' && key !== null ? { ...key } : {};
}
