/**
 * Whether a plan does the mutations of an operation as GraphQL says (section 6.2.2): each once, in the order in which
 * they stand there. Planner 0.0.38 does not where one stands there twice with another service's in between
 * (`{ a: pay  b: send  a: pay }`: paid twice, which invariant 4 forbids), nor where several services' stand in a fragment
 * with a condition (`... @include(if: $both) { pay send }`: in any order).
 */
import {
  type DocumentNode,
  Kind,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  type SelectionSetNode,
} from 'graphql';
import { UnsupportedPlanError } from './plan-errors.ts';
import type { PlanNode } from './query-plan.ts';

/** Throws UnsupportedPlanError for a plan that does them otherwise. */
export function assertMutationsInOrder(
  plan: PlanNode | undefined | null,
  operation: OperationDefinitionNode,
  document: DocumentNode,
): void {
  if (operation.operation !== OperationTypeNode.MUTATION) return;
  const order = [...new Set(listKeys(operation.selectionSet, document))];
  let last = -1;
  for (const key of listPlannedKeys(plan)) {
    const at = order.indexOf(key);
    // The same place again is the same mutation again.
    if (at <= last) throw new UnsupportedPlanError(`The mutation "${key}" would happen twice or too late`);
    last = at;
  }
}

/** Response keys of the root in the order in which they come up. */
function listKeys({ selections }: SelectionSetNode, document: DocumentNode): string[] {
  return selections.flatMap((selection) => {
    if (selection.kind === Kind.FIELD) return [(selection.alias ?? selection.name).value];
    if (selection.kind === Kind.INLINE_FRAGMENT) return listKeys(selection.selectionSet, document);
    const fragment = document.definitions.find(
      (node) => node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === selection.name.value,
    );
    return fragment?.kind === Kind.FRAGMENT_DEFINITION ? listKeys(fragment.selectionSet, document) : [];
  });
}

function listPlannedKeys(node: PlanNode | undefined | null): string[] {
  if (node === undefined || node === null) return [];
  if (node.kind === 'Sequence' || node.kind === 'Parallel') return node.nodes.flatMap(listPlannedKeys);
  if (node.kind === 'Condition') return [...listPlannedKeys(node.ifClause), ...listPlannedKeys(node.elseClause)];
  if (node.kind !== 'Fetch' || node.operationKind !== 'mutation') return [];
  const document = parse(node.operation, { noLocation: true });
  const [operation] = document.definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION) return [];
  // Within one fetch the service merges what stands there twice.
  return [...new Set(listKeys(operation.selectionSet, document))];
}
