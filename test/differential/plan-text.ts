/** A query plan in a few lines, for reports. */
import type { FlattenNodePathSegment, PlanNode, QueryPlan, RequiresSelection } from '../../schema/query-plan.ts';

export function printPlan({ node }: QueryPlan): string {
  return isThere(node) ? printNode(node, '').join('\n') : '(nothing to fetch)';
}

/** Where the types say undefined, the native planner gives null. */
function isThere<T>(value: T | undefined | null): value is T {
  return value !== undefined && value !== null;
}

function printNode(node: PlanNode, indent: string): string[] {
  const next = `${indent}  `;
  switch (node.kind) {
    case 'Sequence':
    case 'Parallel':
      return [`${indent}${node.kind}`, ...node.nodes.flatMap((inner) => printNode(inner, next))];
    case 'Flatten':
      return [`${indent}at ${printPath(node.path)}`, ...printNode(node.node, next)];
    case 'Condition':
      return [
        `${indent}if $${node.condition}`,
        ...(isThere(node.ifClause) ? printNode(node.ifClause, next) : []),
        ...(isThere(node.elseClause) ? [`${indent}else`, ...printNode(node.elseClause, next)] : []),
      ];
    case 'Fetch': {
      const requires = isThere(node.requires) ? [`${next}requires ${printRequires(node.requires)}`] : [];
      const rewrites = [...(node.inputRewrites ?? []), ...(node.outputRewrites ?? [])];
      return [
        `${indent}${node.serviceName}: ${node.operation}`,
        ...requires,
        ...rewrites.map((rewrite) => `${next}rewrites ${JSON.stringify(rewrite)}`),
      ];
    }
    case 'BatchFetch':
      return [
        `${indent}${node.serviceName}: ${node.operation}`,
        ...node.entityBatch.aliases.map(
          ({ alias, paths, requires }) =>
            `${next}${alias} at ${paths.map(printPath).join(', ')} requires ${printRequires(requires)}`,
        ),
      ];
    default:
      return [`${indent}${JSON.stringify(node)}`];
  }
}

function printPath(path: readonly FlattenNodePathSegment[]): string {
  const segments = path.map((segment) =>
    segment === '@' ? '@' : 'Field' in segment ? segment.Field : `|${segment.TypeCondition.join('|')}`,
  );
  return segments.join('.');
}

function printRequires(selections: readonly RequiresSelection[]): string {
  const printed = selections.map((selection) => {
    if (selection.kind === 'FragmentSpread') return `...${selection.value}`;
    if (selection.kind === 'InlineFragment') {
      const conditions = `${selection.skipIf ? ` @skip(${selection.skipIf})` : ''}${selection.includeIf ? ` @include(${selection.includeIf})` : ''}`;
      return `... on ${selection.typeCondition}${conditions} ${printRequires(selection.selections)}`;
    }
    const inner = isThere(selection.selections) ? ` ${printRequires(selection.selections)}` : '';
    return `${isThere(selection.alias) ? `${selection.alias}: ` : ''}${selection.name}${inner}`;
  });
  return `{ ${printed.join(' ')} }`;
}
