/**
 * A request for entities by fields: those that stand for themselves, because a policy holds for them, each in a request of
 * its own, and the rest in another. All have the same representations, so the answers go together by index.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  getOperationAST,
  type InlineFragmentNode,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  type SelectionNode,
  type SelectionSetNode,
  visit,
} from 'graphql';
import { collectFragments } from './operation-split.ts';

/** A field of entities, as one place of a document asks for it. */
export interface EntityField {
  readonly node: FieldNode;
  readonly key: string;
  /** The fragments around it, the outermost first. */
  readonly fragments: readonly InlineFragmentNode[];
}

/** One `_entities` of a request. */
export interface EntityLookUp {
  readonly key: string;
  /** Name of the variable with the representations. */
  readonly variable: string;
  readonly fields: readonly EntityField[];
}

/** A request of its own. */
export interface EntityPart<Guard> {
  /** Null for the rest. */
  readonly guard: Guard | null;
  readonly query: string;
  readonly variables: ReadonlySet<string>;
  readonly lookUps: readonly EntityLookUp[];
  /** Those of the request, which nested selections may spread. */
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
}

export interface EntitySplit<Guard> {
  /** Null where nothing is left. */
  readonly rest: EntityPart<Guard> | null;
  readonly guarded: readonly EntityPart<Guard>[];
}

/** The guard of a field, by the type of the innermost fragment around it. */
export type FindEntityGuard<Guard> = (type: string, field: string) => Guard | undefined;

/** Splits a request; null when no field of an entity has a guard, or when something else than entities is asked for. */
export function splitEntities<Guard>(query: string, find: FindEntityGuard<Guard>): EntitySplit<Guard> | null {
  const document = parse(query, { noLocation: true });
  const operation = getOperationAST(document, null);
  if (operation == null || operation.operation !== 'query') return null;
  const fragments = collectFragments(document);
  const lookUps = operation.selectionSet.selections.map((node) => readLookUp(node, fragments));
  if (!lookUps.every((lookUp) => lookUp !== null)) return null;
  const guardOf = ({ node, fragments: around }: EntityField): Guard | null => {
    const type = around.findLast(({ typeCondition }) => typeCondition !== undefined)?.typeCondition?.name.value;
    return (type === undefined ? undefined : find(type, node.name.value)) ?? null;
  };
  const guards = new Set(lookUps.flatMap(({ fields }) => fields.map(guardOf)));
  const hasRest = lookUps.some(({ fields }) => fields.some((field) => guardOf(field) === null && !isTypename(field)));
  guards.delete(null);
  if (guards.size === 0) return null;
  const build = (guard: Guard | null): EntityPart<Guard> => {
    const own = lookUps
      .map((lookUp) => ({ ...lookUp, fields: lookUp.fields.filter((f) => isTypename(f) || guardOf(f) === guard) }))
      .filter(({ fields }) => !fields.every(isTypename));
    return { guard, lookUps: own, fragments, ...buildQuery(operation, own, fragments) };
  };
  return { rest: hasRest ? build(null) : null, guarded: [...guards].map(build) };
}

function isTypename({ node }: EntityField): boolean {
  return node.name.value === '__typename';
}

/** Null for what is no `_entities` with a variable for its representations. */
function readLookUp(node: SelectionNode, fragments: ReadonlyMap<string, FragmentDefinitionNode>): EntityLookUp | null {
  if (node.kind !== Kind.FIELD || node.name.value !== '_entities' || node.selectionSet === undefined) return null;
  const [argument] = node.arguments ?? [];
  if (argument?.value.kind !== Kind.VARIABLE || (node.directives ?? []).length > 0) return null;
  const key = (node.alias ?? node.name).value;
  return { key, variable: argument.value.name.value, fields: listFields(node.selectionSet, fragments, []) };
}

function listFields(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  around: readonly InlineFragmentNode[],
): EntityField[] {
  return selections.flatMap((node): EntityField[] => {
    if (node.kind === Kind.FIELD) return [{ node, key: (node.alias ?? node.name).value, fragments: around }];
    const inner = node.kind === Kind.INLINE_FRAGMENT ? node : inPlace(node, fragments.get(node.name.value));
    return inner === null ? [] : listFields(inner.selectionSet, fragments, [...around, inner]);
  });
}

function inPlace(
  { directives }: Pick<InlineFragmentNode, 'directives'>,
  fragment: FragmentDefinitionNode | undefined,
): InlineFragmentNode | null {
  if (fragment === undefined) return null;
  const { typeCondition, selectionSet } = fragment;
  return { kind: Kind.INLINE_FRAGMENT, typeCondition, selectionSet, ...(directives !== undefined && { directives }) };
}

/** With those variables and fragments alone that are used: services refuse a document with others. */
function buildQuery(
  operation: OperationDefinitionNode,
  lookUps: readonly EntityLookUp[],
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
): { query: string; variables: ReadonlySet<string> } {
  const roots = operation.selectionSet.selections.filter((node) => node.kind === Kind.FIELD);
  const selections = lookUps.flatMap(({ key, fields }): FieldNode[] => {
    const root = roots.find((node) => (node.alias ?? node.name).value === key);
    return root === undefined ? [] : [{ ...root, selectionSet: buildSelectionSet(fields.map(wrap)) }];
  });
  const bare: OperationDefinitionNode = { ...operation, selectionSet: buildSelectionSet(selections) };
  const { variables, used } = listUsed(withoutVariables(bare), fragments);
  const variableDefinitions = (operation.variableDefinitions ?? []).filter((definition) =>
    variables.has(definition.variable.name.value),
  );
  const document: DocumentNode = { kind: Kind.DOCUMENT, definitions: [{ ...bare, variableDefinitions }, ...used] };
  return { query: print(document), variables };
}

function wrap({ node, fragments }: EntityField): SelectionNode {
  return fragments.reduceRight<SelectionNode>(
    (inner, fragment) => ({ ...fragment, selectionSet: buildSelectionSet([inner]) }),
    node,
  );
}

function buildSelectionSet(selections: readonly SelectionNode[]): SelectionSetNode {
  return { kind: Kind.SELECTION_SET, selections };
}

function withoutVariables({ variableDefinitions: _, ...operation }: OperationDefinitionNode): OperationDefinitionNode {
  return operation;
}

function listUsed(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
): { variables: Set<string>; used: Set<FragmentDefinitionNode> } {
  const variables = new Set<string>();
  const used = new Set<FragmentDefinitionNode>();
  const look = (node: OperationDefinitionNode | FragmentDefinitionNode): void => {
    visit(node, {
      Variable: ({ name }) => void variables.add(name.value),
      FragmentSpread({ name }) {
        const fragment = fragments.get(name.value);
        if (fragment === undefined || used.has(fragment)) return;
        used.add(fragment);
        look(fragment);
      },
    });
  };
  look(operation);
  return { variables, used };
}
