/**
 * Planner 0.0.38 puts selections that are the same in several places into a fragment on the type that the supergraph
 * gives the field. A subgraph whose field is narrower (a member of the union) does not know that type and refuses the
 * request. Selections of abstract types are put back in place. It may go when the planner names the subgraph's type;
 * "a field that is a union in one service and a member of it in another" in test/conformance shows when.
 */
import {
  type FragmentDefinitionNode,
  Kind,
  parse,
  print,
  type SelectionNode,
  type SelectionSetNode,
  stripIgnoredCharacters,
  visit,
} from 'graphql';
import type { PlanNode } from './query-plan.ts';

/** The plan with every fragment on an abstract type in place of its spreads. */
export function withFragmentsInPlace(node: PlanNode, isAbstract: (type: string) => boolean): PlanNode {
  const next = (child: PlanNode): PlanNode => withFragmentsInPlace(child, isAbstract);
  switch (node.kind) {
    case 'Fetch':
    case 'BatchFetch':
      return { ...node, operation: inline(node.operation, isAbstract) };
    case 'Sequence':
    case 'Parallel':
      return { ...node, nodes: node.nodes.map(next) };
    case 'Flatten':
      return { ...node, node: next(node.node) };
    case 'Condition':
      return {
        ...node,
        ...(node.ifClause && { ifClause: next(node.ifClause) }),
        ...(node.elseClause && { elseClause: next(node.elseClause) }),
      };
    default:
      return node;
  }
}

function inline(operation: string, isAbstract: (type: string) => boolean): string {
  if (!operation.includes('...')) return operation;
  const document = parse(operation, { noLocation: true });
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.FRAGMENT_DEFINITION) continue;
    if (isAbstract(definition.typeCondition.name.value)) fragments.set(definition.name.value, definition);
  }
  if (fragments.size === 0) return operation;
  // The planner's fragments are the whole selection of a field, of just this type: without the condition they say the same.
  const expand = ({ selections }: SelectionSetNode): SelectionNode[] =>
    selections.flatMap((selection) => {
      const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? fragments.get(selection.name.value) : undefined;
      return fragment === undefined ? [selection] : expand(fragment.selectionSet);
    });
  const inlined = visit(document, {
    FragmentDefinition: ({ name }) => (fragments.has(name.value) ? null : undefined),
    SelectionSet: (node) => ({ ...node, selections: expand(node) }),
  });
  return stripIgnoredCharacters(print(inlined));
}
