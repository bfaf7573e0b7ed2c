/** What the operation text of a fetch asks for, read once when a plan is compiled. */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
} from 'graphql';
import { UnsupportedPlanError } from './plan-errors.ts';
import type { FitsType } from './plan-types.ts';

export interface FetchSelection {
  /** Response keys of the root, `__typename` left out: the gateway knows the names of root types itself. */
  readonly rootKeys: readonly string[];
  /** Response keys that an entity of the type gets by the root field of the given key. */
  entityKeys(rootKey: string, typename: string | undefined): ReadonlySet<string>;
}

/** Reads the operation of a fetch. */
export function readFetchSelection(operation: string, fits: FitsType): FetchSelection {
  const document = parse(operation, { noLocation: true });
  const { selectionSet } = findOperation(document);
  const root = collectFields(selectionSet, document, () => true);
  return {
    rootKeys: [...new Set(root.filter(({ name }) => name.value !== '__typename').map(keyOf))],
    entityKeys(rootKey, typename) {
      const applies = (condition: string) => typename === undefined || fits(typename, condition);
      const fields = root.filter((field) => keyOf(field) === rootKey);
      return new Set(fields.flatMap((field) => collectFields(field.selectionSet, document, applies)).map(keyOf));
    },
  };
}

export function keyOf(field: FieldNode): string {
  return (field.alias ?? field.name).value;
}

function findOperation(document: DocumentNode): OperationDefinitionNode {
  const operation = document.definitions.find((node) => node.kind === Kind.OPERATION_DEFINITION);
  if (operation === undefined) throw new UnsupportedPlanError('A fetch without an operation');
  return operation;
}

function collectFields(
  selectionSet: SelectionSetNode | undefined,
  document: DocumentNode,
  applies: (condition: string) => boolean,
): FieldNode[] {
  return (selectionSet?.selections ?? []).flatMap((selection) => {
    if (selection.kind === Kind.FIELD) return [selection];
    const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : findFragment(document, selection.name.value);
    const condition = fragment?.typeCondition?.name.value;
    if (condition !== undefined && !applies(condition)) return [];
    return collectFields(fragment?.selectionSet, document, applies);
  });
}

function findFragment(document: DocumentNode, name: string): FragmentDefinitionNode | undefined {
  return document.definitions.find(
    (node): node is FragmentDefinitionNode => node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === name,
  );
}
