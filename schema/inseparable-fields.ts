/** Fields that always come in one piece with their parent: no service that has one can be asked for it by a key. */
import {
  type ConstDirectiveNode,
  type InterfaceTypeDefinitionNode,
  Kind,
  type ObjectTypeDefinitionNode,
  parse,
} from 'graphql';

/** Those of `fields`, as `Type.field`, that are not in the supergraph, or come with their parent wherever they come from. */
export function findInseparableFields(supergraphSdl: string, fields: readonly string[]): string[] {
  const types = new Map<string, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode>();
  const document = supergraphSdl === '' ? null : parse(supergraphSdl, { noLocation: true });
  for (const node of document?.definitions ?? []) {
    if (node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.INTERFACE_TYPE_DEFINITION) {
      types.set(node.name.value, node);
    }
  }
  return fields.filter((coordinate) => {
    const [typeName = '', fieldName = ''] = coordinate.split('.');
    const type = types.get(typeName);
    const field = type?.fields?.find(({ name }) => name.value === fieldName);
    if (type === undefined || field === undefined) return true;
    const keyed = new Set(
      listDirectives(type.directives, 'join__type')
        .filter((join) => join.has('key') && join.get('resolvable') !== 'false')
        .map((join) => join.get('graph')),
    );
    const owners = listDirectives(field.directives, 'join__field').filter((join) => join.get('external') !== 'true');
    // Without the directive, every service that has the type has the field.
    return owners.length === 0 ? keyed.size === 0 : !owners.some((join) => keyed.has(join.get('graph')));
  });
}

function listDirectives(directives: readonly ConstDirectiveNode[] = [], name: string): Map<string, string>[] {
  return directives
    .filter((directive) => directive.name.value === name)
    .map(({ arguments: args = [] }) => new Map(args.map((arg) => [arg.name.value, readValue(arg.value)])));
}

function readValue(value: { readonly kind: string; readonly value?: unknown }): string {
  return String(value.value ?? '');
}
