/** What `@authenticated`, `@requiresScopes` and `@policy` of the services ask of a viewer. */
import { type ConstDirectiveNode, type DocumentNode, Kind, valueFromASTUntyped } from 'graphql';
import { type Alternatives, mergeRequirements, type Requirement } from '../policies/requirement.ts';
import { findDirectiveNames } from './spec-directives.ts';

/**
 * Requirements by coordinate, `Type.field` or `Type`, as written: nothing is inherited here. What several documents
 * ask of one coordinate must all be met.
 */
export function collectRequirements(documents: readonly DocumentNode[]): Map<string, Requirement> {
  const requirements = new Map<string, Requirement>();
  for (const document of documents) {
    const read = createRequirementReader(document);
    const add = (coordinate: string, directives: readonly ConstDirectiveNode[] | undefined): void => {
      const requirement = read(directives ?? []);
      if (requirement !== null) requirements.set(coordinate, both(requirements.get(coordinate), requirement));
    };
    for (const definition of document.definitions) {
      if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('name' in definition)) continue;
      if (definition.name === undefined || !('directives' in definition)) continue;
      const type = definition.name.value;
      add(type, definition.directives as readonly ConstDirectiveNode[]);
      if (!('fields' in definition)) continue;
      for (const field of definition.fields ?? []) add(`${type}.${field.name.value}`, field.directives);
    }
  }
  return requirements;
}

function createRequirementReader(document: DocumentNode) {
  const authenticated = findDirectiveNames(document, 'authenticated');
  const requiresScopes = findDirectiveNames(document, 'requiresScopes');
  const policy = findDirectiveNames(document, 'policy');
  return (directives: readonly ConstDirectiveNode[]): Requirement | null => {
    const scopes: Alternatives[] = [];
    const policies: Alternatives[] = [];
    let isAuthenticated = false;
    for (const directive of directives) {
      const name = directive.name.value;
      if (requiresScopes.has(name)) scopes.push(readAlternatives(directive, 'scopes'));
      // Whether it needs a viewer is for the policy itself to say.
      else if (policy.has(name)) policies.push(readAlternatives(directive, 'policies'));
      else if (authenticated.has(name)) isAuthenticated = true;
    }
    if (!isAuthenticated && scopes.length === 0 && policies.length === 0) return null;
    return {
      authenticated: isAuthenticated || scopes.length > 0,
      scopes,
      ...(policies.length > 0 && { policies }),
    };
  };
}

/** The list with GraphQL's list coercion (`"a"` is `[["a"]]`). What cannot be read lets nobody pass. */
function readAlternatives(directive: ConstDirectiveNode, argument: string): Alternatives {
  const node = directive.arguments?.find(({ name }) => name.value === argument)?.value;
  const value: unknown = node === undefined ? [] : valueFromASTUntyped(node);
  const outer: readonly unknown[] = Array.isArray(value) ? value : [value];
  const alternatives = outer.map((inner): readonly unknown[] => (Array.isArray(inner) ? inner : [inner]));
  return alternatives.every((inner): inner is readonly string[] => inner.every((name) => typeof name === 'string'))
    ? alternatives
    : [];
}

function both(one: Requirement | undefined, other: Requirement): Requirement {
  return one === undefined ? other : mergeRequirements(one, other);
}

/** The names in `@policy`, with the services whose schemas have them. */
export function collectPolicyNames(
  services: readonly { readonly name: string; readonly document: DocumentNode }[],
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { name: service, document } of services) {
    const names = new Set(
      [...collectRequirements([document]).values()].flatMap(({ policies = [] }) => policies.flat(2)),
    );
    for (const name of names) found.set(name, [...(found.get(name) ?? []), service]);
  }
  return found;
}
