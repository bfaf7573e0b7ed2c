/** Why federated services do not compose, with service, type and field. */
import { type DocumentNode, type GraphQLError, Kind } from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import type { FederatedSubgraph } from './federation-repairs.ts';
import type { LostFields } from './satisfiability.ts';

/** The composer names services, types and fields in its messages only. */
export function toReasons(errors: readonly GraphQLError[], subgraphs: readonly FederatedSubgraph[]): ErrorReason[] {
  const services = subgraphs.map(({ name }) => name);
  const types = listTypes(subgraphs);
  return errors.map((error) => toReason(error, services, types));
}

/** For large graphs, in which the composer was not asked. */
export function describeLostFields({ service, type, fields }: LostFields): ErrorReason[] {
  return fields.map((field) => ({
    message: `"${type}.${field}" may be out of reach for objects of "${service}": nothing known there leads to a service that resolves it`,
    service,
    type,
    field,
    code: 'SATISFIABILITY_ERROR',
  }));
}

/**
 * Neither planner nor stitching gives an argument its value from a context: the service would get none, and answer
 * something else without a word.
 */
export function findContextArguments(
  supergraph: DocumentNode,
  serviceNames: ReadonlyMap<string, string>,
): ErrorReason[] {
  return supergraph.definitions.flatMap((definition) => {
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION) return [];
    const type = definition.name.value;
    return (definition.fields ?? []).flatMap(({ name: { value: field }, directives = [] }) =>
      directives.flatMap(({ arguments: args = [] }): readonly ErrorReason[] => {
        if (!args.some(({ name }) => name.value === 'contextArguments')) return [];
        const graph = args.find(({ name }) => name.value === 'graph')?.value;
        const service = graph?.kind === Kind.ENUM ? serviceNames.get(graph.value) : undefined;
        const message = `An argument of "${type}.${field}" has its value @fromContext, which is not supported`;
        return [{ message, type, field, code: 'UNSUPPORTED_FEATURE', ...(service !== undefined && { service }) }];
      }),
    );
  });
}

function toReason(error: GraphQLError, services: readonly string[], types: ReadonlySet<string>): ErrorReason {
  const [, prefix, rest] = /^\[([^\]]+)\] (.*)$/s.exec(error.message) ?? [];
  const prefixed = prefix !== undefined && services.includes(prefix);
  const message = (prefixed ? rest : undefined) ?? error.message;
  const named = services.filter((name) => message.includes(`"${name}"`));
  const service = prefixed ? prefix : named.length === 1 ? named[0] : undefined;
  const code = error.extensions['code'];
  return {
    message: shorten(message),
    ...(service !== undefined && { service }),
    ...findCoordinate(stripServices(message, named), types),
    ...(typeof code === 'string' && { code }),
  };
}

/** Without its middle: what cannot be satisfied comes first, and may be long; why comes last. */
function shorten(message: string): string {
  return message.length <= 2_000 ? message : `${message.slice(0, 900)}\n...\n${message.slice(-1_000)}`;
}

/** In quotation marks, as most messages have it, or as some do: `Unknown type T`, `Interface field I.x expected`. */
const coordinates = [
  /"([_A-Za-z]\w*)(?:\.([_A-Za-z]\w*))?(?:\([^)]*\))?"/g,
  /\b([_A-Za-z]\w*)\.([_A-Za-z]\w*)/g,
  /\b[Tt]ype ([_A-Za-z]\w*)()/g,
];

function findCoordinate(message: string, types: ReadonlySet<string>): { type?: string; field?: string } {
  for (const pattern of coordinates) {
    for (const [, type = '', field] of message.matchAll(pattern)) {
      if (types.has(type)) return { type, ...(field && { field }) };
    }
  }
  return {};
}

function listTypes(subgraphs: readonly FederatedSubgraph[]): Set<string> {
  const names = subgraphs.flatMap(({ document }) =>
    document.definitions.flatMap((node) =>
      node.kind !== Kind.DIRECTIVE_DEFINITION && 'name' in node && node.name !== undefined ? [node.name.value] : [],
    ),
  );
  return new Set(names);
}

function stripServices(message: string, services: readonly string[]): string {
  return services.reduce((text, name) => text.replaceAll(`"${name}"`, ''), message);
}
