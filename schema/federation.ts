/** The supergraph of the federated services, or the reasons why there is none. */
import { type CompositionResult, composeServices } from '@theguild/federation-composition';
import { type DocumentNode, Kind, print } from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';
import { describeLostFields, findContextArguments, toReasons } from './composition-reasons.ts';
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
import { findLostFields, isCostlyToCheck, isLarge } from './satisfiability.ts';

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
  const lost = repairs.largeGraphs && isLarge(subgraphs) ? findLostFields(subgraphs) : undefined;
  const isDecided = lost !== undefined && (lost.length === 0 || isCostlyToCheck(subgraphs));
  const result = composeWithoutFalseErrors(subgraphs, repairs, isDecided ? ['SatisfiabilityRule'] : []);
  if (result.errors !== undefined) return toReasons(result.errors, subgraphs);
  // Better refused in good time than checked for minutes, in which the process would do nothing else.
  if (isDecided && lost.length > 0) return lost.flatMap(describeLostFields);
  return buildSupergraph(result, subgraphs, repairs);
}

type Composed = Exclude<CompositionResult, { readonly errors: unknown[] }>;

function buildSupergraph(
  composed: Composed,
  subgraphs: readonly FederatedSubgraph[],
  repairs: FederationRepairs,
): Supergraph | readonly ErrorReason[] {
  const serviceNames = readServiceNames(composed.supergraphDocumentNode);
  const byName = new Map(subgraphs.map(({ name, types }) => [name, types]));
  const byId = [...serviceNames].flatMap(([id, name]) => {
    const types = byName.get(name);
    byName.delete(name);
    return types === undefined ? [] : [[id, types] as const];
  });
  const [lost] = byName.keys();
  if (lost !== undefined || serviceNames.size !== subgraphs.length) {
    return [
      {
        message: 'The names of two services are the same but for case and punctuation',
        code: 'SERVICE_NAME_CONFLICT',
        ...(lost !== undefined && { service: lost }),
      },
    ];
  }
  const document = repairSupergraph(composed.supergraphDocumentNode, new Map(byId), repairs);
  const unsupported = findContextArguments(document, serviceNames);
  if (unsupported.length > 0) return unsupported;
  return {
    sdl: document === composed.supergraphDocumentNode ? composed.supergraphSdl : print(document),
    document,
    publicDocument: buildPublicDocument(document, repairs),
    serviceNames,
  };
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

const mismatchRules = ['FieldsOfTheSameTypeRule', 'FieldArgumentsOfTheSameTypeRule'];

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
  // The URL has to be there and is never used: who calls a service looks its instances up by name.
  const definitions = subgraphs.map(({ name, document }) => ({ name, url: `http://${name}`, typeDefs: document }));
  try {
    return composeServices(definitions, { disableValidationRules: [...disabledRules] });
  } catch (error) {
    return error instanceof Error ? error : new Error('The composer failed', { cause: error });
  }
}
