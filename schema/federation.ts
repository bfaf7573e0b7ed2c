/** The supergraph of the federated services, or the reasons why there is none. */
import { type CompositionResult, composeServices } from '@theguild/federation-composition';
import { type DocumentNode, type GraphQLError, Kind, visit } from 'graphql';
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
  // Composition 0.27 finds fields unreachable that @requires reaches through a fragment. Only then, and only when it
  // has no other complaint, the check is left out: everywhere else a complaint means fields that nobody can resolve.
  if (result.errors?.every(isUnsatisfiable) === true && services.some(requiresFragments)) {
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

function isUnsatisfiable(error: GraphQLError): boolean {
  return error.extensions['code'] === 'SATISFIABILITY_ERROR';
}

function requiresFragments({ document }: ParsedService): boolean {
  let found = false;
  visit(document, {
    Directive(node) {
      if (!/(^|__)requires$/.test(node.name.value)) return;
      found ||= (node.arguments ?? []).some(({ value }) => value.kind === Kind.STRING && value.value.includes('...'));
    },
  });
  return found;
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
