/** A query by root fields: those that are executed each for itself, because a policy holds for them, and the rest. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  type SelectionSetNode,
} from 'graphql';
import { buildPart, collectFragments } from './operation-split.ts';

export interface RootFieldPart {
  /** Name of the root field; null for all the others together. */
  readonly field: string | null;
  /** The operation with nothing but that; under its own name. */
  readonly document: DocumentNode;
}

export interface RootFieldParts {
  readonly parts: readonly RootFieldPart[];
  /** Response keys of the root with the fields they stand for, in the order of the answer. */
  readonly keys: ReadonlyMap<string, string>;
}

/**
 * Splits a valid query. Null when there is nothing to split: none of the fields is asked for, or it is no query. All
 * aliases of a field are one part, so that a document with many of them makes no more requests than it would as a whole.
 */
export function splitRootFields(
  document: DocumentNode,
  operationName: string | null | undefined,
  isApart: (field: string) => boolean,
): RootFieldParts | null {
  const operation = getOperationAST(document, operationName);
  if (operation == null || operation.operation !== 'query') return null;
  const fragments = collectFragments(document);
  const keys = listKeys(operation.selectionSet, fragments, new Map());
  const names = new Set(keys.values());
  const apart = [...names].filter(isApart);
  if (apart.length === 0) return null;
  if (names.size === 1) return { parts: [{ field: apart[0] ?? null, document }], keys };
  const build = (keep: (field: string) => boolean): DocumentNode => buildNamedPart({ operation, fragments }, keep);
  const parts: RootFieldPart[] = apart.map((field) => ({ field, document: build((name) => name === field) }));
  if (names.size > apart.length) parts.unshift({ field: null, document: build((name) => !isApart(name)) });
  return { parts, keys };
}

/** Parsed anew: plans are kept by text, and a part has one of its own. */
function buildNamedPart(
  whole: {
    readonly operation: OperationDefinitionNode;
    readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  },
  keep: (field: string) => boolean,
): DocumentNode {
  const { name } = whole.operation;
  const part = buildPart(whole, keep);
  const definitions = part.definitions.map((definition) =>
    definition.kind === Kind.OPERATION_DEFINITION && name !== undefined ? { ...definition, name } : definition,
  );
  return parse(print({ ...part, definitions }));
}

/** Without a look at `@skip` and `@include`: what is left out has no key in any answer. */
function listKeys(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  keys: Map<string, string>,
): Map<string, string> {
  for (const selection of selections) {
    if (selection.kind === Kind.FIELD) {
      const key = (selection.alias ?? selection.name).value;
      if (!keys.has(key)) keys.set(key, selection.name.value);
      continue;
    }
    const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
    if (inner !== undefined) listKeys(inner.selectionSet, fragments, keys);
  }
  return keys;
}
