/**
 * An operation without the fields that a viewer may not read. In the document each such field becomes a `__typename` under
 * a name of its own: so the answer tells where the field would stand, in lists, fragments and objects of any type, and no
 * service is asked for more than that the object is there.
 */
import { type DocumentNode, type FieldNode, Kind, parse, print, separateOperations, visit } from 'graphql';
import type { AuthorizationMode } from './authorize-options.ts';
import type { GatewayError } from './errors.ts';
import type { FieldSelection } from './field-selections.ts';

/** A field that the viewer may not read. */
export interface Denial extends FieldSelection {
  readonly refusal: GatewayError;
  readonly mode: AuthorizationMode;
}

export interface FilteredOperation {
  /** A text of its own: plans and answers are kept by it. */
  readonly document: DocumentNode;
  readonly original: DocumentNode;
  /** With what the names of placeholders begin. */
  readonly prefix: string;
}

/** Ways to filter one operation that are kept: as many as there are kinds of viewers. */
const maxFiltered = 50;

/** The ways in which one operation was filtered: each is written once. */
export class FilteredOperations {
  readonly #original: DocumentNode;
  readonly #numbers = new Map<FieldNode, number>();
  readonly #known = new Map<string, FilteredOperation>();

  constructor(original: DocumentNode) {
    this.#original = original;
  }

  of(denials: readonly Denial[]): FilteredOperation {
    if (this.#numbers.size === 0) {
      visit(this.#original, { Field: (node) => void this.#numbers.set(node, this.#numbers.size) });
    }
    const nodes = new Set(denials.map(({ node }) => node));
    const key = [...nodes].map((node) => this.#numbers.get(node)).join();
    let filtered = this.#known.get(key);
    if (filtered === undefined) {
      filtered = filterOperation(this.#original, nodes);
      if (this.#known.size >= maxFiltered) this.#known.clear();
      this.#known.set(key, filtered);
    }
    return filtered;
  }
}

function filterOperation(original: DocumentNode, denied: ReadonlySet<FieldNode>): FilteredOperation {
  const prefix = choosePrefix(original);
  const document = visit(original, {
    Field: (node) => (denied.has(node) ? buildPlaceholder(node, prefix) : undefined),
  });
  const used = separateOperations(document);
  const whole = withoutUnusedVariables(Object.values(used)[0] ?? document);
  return { document: parse(print(whole)), original, prefix };
}

function buildPlaceholder({ alias, name, directives = [] }: FieldNode, prefix: string): FieldNode {
  const conditions = directives.filter((directive) => ['skip', 'include'].includes(directive.name.value));
  return {
    kind: Kind.FIELD,
    alias: { kind: Kind.NAME, value: `${prefix}${(alias ?? name).value}` },
    name: { kind: Kind.NAME, value: '__typename' },
    directives: conditions,
  };
}

/** No name of the client's begins like that. */
function choosePrefix(document: DocumentNode): string {
  const keys = new Set<string>();
  visit(document, { Field: ({ alias, name }) => void keys.add((alias ?? name).value) });
  let prefix = 'denied_';
  while ([...keys].some((key) => key.startsWith(prefix))) prefix = `${prefix}_`;
  return prefix;
}

function withoutUnusedVariables(document: DocumentNode): DocumentNode {
  const used = new Set<string>();
  visit(document, {
    VariableDefinition: () => false,
    Variable: ({ name }) => void used.add(name.value),
  });
  return visit(document, {
    VariableDefinition: (node) => (used.has(node.variable.name.value) ? undefined : null),
  });
}
