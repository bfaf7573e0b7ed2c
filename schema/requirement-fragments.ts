/** `@requires` with every fragment on an abstract type resolved into fragments on object types. */
import {
  type ConstDirectiveNode,
  type DocumentNode,
  type FieldNode,
  Kind,
  parse,
  print,
  type SelectionNode,
  type SelectionSetNode,
  visit,
} from 'graphql';
import type { SubgraphTypes } from './subgraph-types.ts';
import { readNamedType } from './type-references.ts';

type Types = SubgraphTypes['types'];

/**
 * The subgraph with its requirements so written, or the same document when none has a fragment. For object types that
 * only other subgraphs know of it says less than the original: it is good for checking, not for serving.
 */
export function resolveRequiredFragments(
  document: DocumentNode,
  { types, findDirective }: SubgraphTypes,
): DocumentNode {
  if (
    ![...types.values()].some(({ fields }) =>
      [...fields.values()].some(({ directives }) => directives.some(requiresFragment)),
    )
  ) {
    return document;
  }
  let parent = '';
  const enter = ({ name }: { readonly name: { readonly value: string } }): void => {
    parent = name.value;
  };
  return visit(document, {
    ObjectTypeDefinition: enter,
    ObjectTypeExtension: enter,
    Directive(node) {
      const directive = node as ConstDirectiveNode;
      if (!requiresFragment(directive) || findDirective([directive], 'requires') === undefined) return undefined;
      return {
        ...directive,
        arguments: directive.arguments?.map((argument) => {
          if (argument.name.value !== 'fields' || argument.value.kind !== Kind.STRING) return argument;
          return {
            ...argument,
            value: { ...argument.value, value: resolveFields(argument.value.value, parent, types) },
          };
        }),
      };
    },
  });
}

/** Whether a directive has a field set with a fragment. */
export function requiresFragment({ arguments: args = [] }: ConstDirectiveNode): boolean {
  return args.some(
    ({ name, value }) => name.value === 'fields' && value.kind === Kind.STRING && value.value.includes('...'),
  );
}

function resolveFields(fields: string, parent: string, types: Types): string {
  const operation = parse(`{${fields}}`, { noLocation: true }).definitions[0];
  if (operation?.kind !== Kind.OPERATION_DEFINITION) return fields;
  const resolved = resolveSelectionSet(operation.selectionSet, parent, types);
  return print(resolved).replace(/^{|}$/g, '').replaceAll(/\s+/g, ' ').trim();
}

function resolveSelectionSet({ selections }: SelectionSetNode, parent: string, types: Types): SelectionSetNode {
  const own: SelectionNode[] = [];
  const byType = new Map<string, SelectionNode[]>();
  for (const selection of selections) {
    if (selection.kind === Kind.FIELD) own.push(resolveField(selection, parent, types));
    if (selection.kind !== Kind.INLINE_FRAGMENT) continue;
    const condition = selection.typeCondition?.name.value ?? parent;
    for (const type of findObjectTypes(parent, types)) {
      if (!findObjectTypes(condition, types).has(type)) continue;
      const inner = resolveSelectionSet(selection.selectionSet, type, types);
      byType.set(type, [...(byType.get(type) ?? []), ...inner.selections]);
    }
  }
  const fragments = [...byType].flatMap(([type, inner]): readonly SelectionNode[] => {
    if (type === parent || inner.length === 0) return inner;
    const typeCondition = { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: type } } as const;
    return [
      { kind: Kind.INLINE_FRAGMENT, typeCondition, selectionSet: { kind: Kind.SELECTION_SET, selections: inner } },
    ];
  });
  return { kind: Kind.SELECTION_SET, selections: [...own, ...fragments] };
}

function resolveField(field: FieldNode, parent: string, types: Types): FieldNode {
  const type = types.get(parent)?.fields.get(field.name.value)?.type;
  if (type === undefined || field.selectionSet === undefined) return field;
  return { ...field, selectionSet: resolveSelectionSet(field.selectionSet, readNamedType(type), types) };
}

function findObjectTypes(name: string, types: Types): ReadonlySet<string> {
  const type = types.get(name);
  if (type?.kind === 'union') return type.members;
  if (type?.kind !== 'interface') return new Set([name]);
  return new Set(
    [...types.values()]
      .filter((other) => other.kind === 'object' && other.interfaces.has(name))
      .map((other) => other.name),
  );
}
