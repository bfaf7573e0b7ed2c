/** The supergraph of the federated services, or the reasons why there is none. */
import { type CompositionResult, composeServices } from '@theguild/federation-composition';
import { type DocumentNode, type GraphQLError, Kind, print } from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import {
  allRepairs,
  buildCheckableSubgraphs,
  buildPublicDocument,
  type FederatedSubgraph,
  type FederationRepairs,
  isFalseMismatch,
  repairSubgraph,
  repairSupergraph,
} from './federation-repairs.ts';

/** A service with its schema, parsed. */
export interface ParsedService {
  readonly name: string;
  readonly document: DocumentNode;
}

export interface Supergraph {
  readonly sdl: string;
  readonly document: DocumentNode;
  /** What clients may know: no federation, nothing `@inaccessible`. */
  readonly publicDocument: DocumentNode;
  /** Name of the service by the name that the supergraph's enum `join__Graph` gives it. */
  readonly serviceNames: ReadonlyMap<string, string>;
}

export interface SupergraphOptions {
  /** @default all of them */
  readonly repairs?: FederationRepairs;
}

/** Composes federated services. Gives reasons instead of a supergraph when they do not fit together. */
export function composeSupergraph(
  services: readonly ParsedService[],
  { repairs = allRepairs }: SupergraphOptions = {},
): Supergraph | readonly ErrorReason[] {
  const subgraphs = services.map(({ name, document }) => repairSubgraph(name, document, repairs));
  const result = composeWithoutFalseErrors(subgraphs, repairs, []);
  const names = services.map(({ name }) => name);
  if (result.errors !== undefined) {
    const types = listTypes(subgraphs);
    return result.errors.map((error) => toReason(error, names, types));
  }
  const serviceNames = readServiceNames(result.supergraphDocumentNode);
  const lost = names.filter((name) => ![...serviceNames.values()].includes(name));
  if (lost.length > 0 || serviceNames.size !== names.length) {
    return [
      {
        message: 'The names of two services are the same but for case and punctuation',
        code: 'SERVICE_NAME_CONFLICT',
        ...(lost[0] !== undefined && { service: lost[0] }),
      },
    ];
  }
  const byName = new Map(subgraphs.map(({ name, types }) => [name, types]));
  const byId = [...serviceNames].flatMap(([id, name]) => {
    const types = byName.get(name);
    return types === undefined ? [] : [[id, types] as const];
  });
  const document = repairSupergraph(result.supergraphDocumentNode, new Map(byId), repairs);
  const unsupported = findContextArguments(document, serviceNames);
  if (unsupported.length > 0) return unsupported;
  return {
    sdl: document === result.supergraphDocumentNode ? result.supergraphSdl : print(document),
    document,
    publicDocument: buildPublicDocument(document, repairs),
    serviceNames,
  };
}

/** Composes again without a check when everything that the check found is a known fault of its own. */
function composeWithoutFalseErrors(
  subgraphs: readonly FederatedSubgraph[],
  repairs: FederationRepairs,
  disabledRules: readonly string[],
): CompositionResult {
  const result = tryToCompose(subgraphs, disabledRules);
  if (!(result instanceof Error)) {
    if (result.errors === undefined) return result;
    const types = subgraphs.map((subgraph) => subgraph.types);
    const real = repairs.typeReferences
      ? result.errors.filter((error) => !isFalseMismatch(error, types))
      : result.errors;
    if (real.length === 0) return composeWithoutFalseErrors(subgraphs, repairs, [...disabledRules, ...mismatchRules]);
    if (real.some(({ extensions }) => extensions['code'] !== 'SATISFIABILITY_ERROR')) return { errors: real };
  }
  const checked = composeChecked(subgraphs, repairs, disabledRules);
  if (checked !== null && (checked.errors === undefined || result instanceof Error)) return checked;
  if (result instanceof Error) throw result;
  return result;
}

const mismatchRules = ['FieldsOfTheSameTypeRule', 'FieldArgumentsOfTheSameTypeRule'];

/** Checked in a form that the library can check, served as it is. Null if it can check this one. */
function composeChecked(
  subgraphs: readonly FederatedSubgraph[],
  repairs: FederationRepairs,
  disabledRules: readonly string[],
): CompositionResult | null {
  const checkable = buildCheckableSubgraphs(subgraphs, repairs);
  if (checkable === null) return null;
  const checked = tryToCompose(checkable, disabledRules);
  if (checked instanceof Error) return null;
  if (checked.errors !== undefined) return checked;
  const original = tryToCompose(subgraphs, [...disabledRules, 'SatisfiabilityRule']);
  // What was checked can be served as well, and is where the original makes the library throw.
  return original instanceof Error || original.errors !== undefined ? checked : original;
}

function tryToCompose(
  subgraphs: readonly FederatedSubgraph[],
  disabledRules: readonly string[],
): CompositionResult | Error {
  try {
    return compose(subgraphs, disabledRules);
  } catch (error) {
    return error instanceof Error ? error : new Error('The composer failed', { cause: error });
  }
}

function compose(subgraphs: readonly ParsedService[], disabledRules: readonly string[]): CompositionResult {
  return composeServices(
    // The URL has to be there and is never used: who calls a service looks its instances up by name.
    subgraphs.map(({ name, document }) => ({ name, url: `http://${name}`, typeDefs: document })),
    { disableValidationRules: [...disabledRules] },
  );
}

function readServiceNames(supergraph: DocumentNode): Map<string, string> {
  const names = new Map<string, string>();
  for (const definition of supergraph.definitions) {
    if (definition.kind !== Kind.ENUM_TYPE_DEFINITION || definition.name.value !== 'join__Graph') continue;
    for (const { name, directives = [] } of definition.values ?? []) {
      const value = directives[0]?.arguments?.find((argument) => argument.name.value === 'name')?.value;
      if (value?.kind === Kind.STRING) names.set(name.value, value.value);
    }
  }
  return names;
}

/**
 * Neither planner nor stitching gives an argument its value from a context: the service would get none, and answer
 * something else without a word.
 */
function findContextArguments(document: DocumentNode, serviceNames: ReadonlyMap<string, string>): ErrorReason[] {
  return document.definitions.flatMap((definition) => {
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

/** The composer names services, types and fields in its messages only. */
function toReason(error: GraphQLError, services: readonly string[], types: ReadonlySet<string>): ErrorReason {
  const [, prefix, rest] = /^\[([^\]]+)\] (.*)$/s.exec(error.message) ?? [];
  const prefixed = prefix !== undefined && services.includes(prefix);
  const message = (prefixed ? rest : error.message)?.slice(0, 2_000) ?? '';
  const named = services.filter((name) => message.includes(`"${name}"`));
  const service = prefixed ? prefix : named.length === 1 ? named[0] : undefined;
  const code = error.extensions['code'];
  return {
    message,
    ...(service !== undefined && { service }),
    ...findCoordinate(stripServices(message, named), types),
    ...(typeof code === 'string' && { code }),
  };
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
