/** What `@authenticated`, `@requiresScopes` and `@policy` of the services ask of a viewer. */
import { type ConstDirectiveNode, type DocumentNode, Kind, valueFromASTUntyped } from 'graphql';
import type { Requirement } from '../policies/requirement.ts';
import { findDirectiveNames } from './spec-directives.ts';

type Alternatives = readonly (readonly string[])[];

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
    let found = false;
    for (const directive of directives) {
      const name = directive.name.value;
      if (requiresScopes.has(name)) scopes.push(readScopes(directive));
      // Nobody here can decide a policy. No alternatives means that nobody passes: closed beats ignored.
      else if (policy.has(name)) scopes.push([]);
      else if (!authenticated.has(name)) continue;
      found = true;
    }
    return found ? { authenticated: true, scopes } : null;
  };
}

/** `scopes` with GraphQL's list coercion (`"a"` is `[["a"]]`). What cannot be read lets nobody pass. */
function readScopes(directive: ConstDirectiveNode): Alternatives {
  const node = directive.arguments?.find(({ name }) => name.value === 'scopes')?.value;
  const value: unknown = node === undefined ? [] : valueFromASTUntyped(node);
  const outer: readonly unknown[] = Array.isArray(value) ? value : [value];
  const alternatives = outer.map((inner): readonly unknown[] => (Array.isArray(inner) ? inner : [inner]));
  return alternatives.every((inner): inner is readonly string[] => inner.every((scope) => typeof scope === 'string'))
    ? alternatives
    : [];
}

function both(one: Requirement | undefined, other: Requirement): Requirement {
  return one === undefined ? other : { authenticated: true, scopes: [...one.scopes, ...other.scopes] };
}
