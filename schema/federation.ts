/** The supergraph of the federated services, or the reasons why there is none. */
import { type CompositionResult, composeServices } from '@theguild/federation-composition';
import { type ConstDirectiveNode, type DocumentNode, type GraphQLError, Kind } from 'graphql';
import type { ErrorReason } from '../policies/errors.ts';

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

/** Composes federated services. Gives reasons instead of a supergraph when they do not fit together. */
export function composeSupergraph(services: readonly ParsedService[]): Supergraph | readonly ErrorReason[] {
  let result = compose(services, []);
  // Composition 0.27 cannot follow @requires through a fragment on an interface. Only when that is all it complains
  // of, it is asked without the check: any other complaint means fields that nobody can resolve.
  if (result.errors !== undefined && areFragmentsMisread(result.errors, services)) {
    result = compose(services, ['SatisfiabilityRule']);
  }
  const names = services.map(({ name }) => name);
  if (result.errors !== undefined) return result.errors.map((error) => toReason(error, names));
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
  return {
    sdl: result.supergraphSdl,
    document: result.supergraphDocumentNode,
    publicDocument: result.publicDocumentNode,
    serviceNames,
  };
}

function compose(services: readonly ParsedService[], disableValidationRules: string[]): CompositionResult {
  return composeServices(
    // The URL has to be there and is never used: who calls a service looks its instances up by name.
    services.map(({ name, document }) => ({ name, url: `http://${name}`, typeDefs: document })),
    { disableValidationRules },
  );
}

function areFragmentsMisread(errors: readonly GraphQLError[], services: readonly ParsedService[]): boolean {
  const fields = services.flatMap(findFieldsRequiringFragments);
  return errors.every(
    ({ message, extensions }) =>
      extensions['code'] === 'SATISFIABILITY_ERROR' &&
      fields.some((field) => message.includes(`cannot satisfy @require conditions on field "${field}"`)),
  );
}

function findFieldsRequiringFragments({ document }: ParsedService): string[] {
  return document.definitions.flatMap((type) => {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION && type.kind !== Kind.OBJECT_TYPE_EXTENSION) return [];
    const fields = (type.fields ?? []).filter(({ directives }) => directives?.some(requiresFragment));
    return fields.map((field) => `${type.name.value}.${field.name.value}`);
  });
}

function requiresFragment({ name, arguments: args = [] }: ConstDirectiveNode): boolean {
  return (
    /(^|__)requires$/.test(name.value) &&
    args.some(({ value }) => value.kind === Kind.STRING && value.value.includes('...'))
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

/** The composer names services, types and fields in its messages only. */
function toReason(error: GraphQLError, services: readonly string[]): ErrorReason {
  const [, prefix, rest] = /^\[([^\]]+)\] (.*)$/s.exec(error.message) ?? [];
  const prefixed = prefix !== undefined && services.includes(prefix);
  const message = (prefixed ? rest : error.message)?.slice(0, 2_000) ?? '';
  const named = services.filter((name) => message.includes(`"${name}"`));
  const service = prefixed ? prefix : named.length === 1 ? named[0] : undefined;
  const [, type, field] =
    /"([_A-Za-z]\w*)(?:\.([_A-Za-z]\w*))?(?:\([^)]*\))?"/.exec(stripServices(message, named)) ?? [];
  const code = error.extensions['code'];
  return {
    message,
    ...(service !== undefined && { service }),
    ...(type !== undefined && { type }),
    ...(field !== undefined && { field }),
    ...(typeof code === 'string' && { code }),
  };
}

function stripServices(message: string, services: readonly string[]): string {
  return services.reduce((text, name) => text.replaceAll(`"${name}"`, ''), message);
}
