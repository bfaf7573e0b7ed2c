/** Fields of a supergraph compared with those of its subgraphs: the work of federation-repairs.ts on the composed document. */
import {
  type ConstArgumentNode,
  type ConstDirectiveNode,
  type FieldDefinitionNode,
  type InputValueDefinitionNode,
  type InterfaceTypeDefinitionNode,
  Kind,
  type TypeNode,
} from 'graphql';
import type { SubgraphField, SubgraphType, SubgraphTypes } from './subgraph-types.ts';
import { type IsSubtype, mergeReferences, printReference, readNamedType } from './type-references.ts';

/** A type of the supergraph as one subgraph has it. */
export interface Source {
  readonly subgraph: SubgraphTypes;
  readonly type: SubgraphType;
}
/** With the name that the supergraph's enum `join__Graph` gives the subgraph. */
export interface NamedSource extends Source {
  readonly graph: string;
}
/** With one of its fields. */
export interface FieldSource extends Source {
  readonly field: SubgraphField;
}

/** The subgraphs that have a type. */
export function findSources(typeName: string, subgraphs: ReadonlyMap<string, SubgraphTypes>): NamedSource[] {
  return [...subgraphs].flatMap(([graph, subgraph]) => {
    const type = subgraph.types.get(typeName);
    return type === undefined ? [] : [{ graph, subgraph, type }];
  });
}

/** Of all subgraphs together, as federation compares with the types of the supergraph. */
export function createSubtypeTest(subgraphs: readonly SubgraphTypes[]): IsSubtype {
  return (name, of) =>
    subgraphs.some(({ types }) => types.get(name)?.interfaces.has(of) || types.get(of)?.members.has(name));
}

function withField<S extends Source>(sources: readonly S[], name: string): (S & FieldSource)[] {
  return sources.flatMap((source) => {
    const field = source.type.fields.get(name);
    return field === undefined ? [] : [{ ...source, field }];
  });
}

/** The type of a field in the supergraph; undefined when those of the subgraphs do not go together. */
export function mergeFieldTypes(fields: readonly FieldSource[], isSubtype: IsSubtype): TypeNode | undefined {
  const own = fields.filter(({ subgraph, field }) => !subgraph.findDirective(field.directives, 'external'));
  const types = (own.length > 0 ? own : fields).map(({ field }) => field.type);
  return mergeReferences(types, fields[0]?.type.kind === 'input' ? 'input' : 'output', isSubtype);
}

/** The same for an argument. */
export function mergeArgumentTypes(
  fields: readonly FieldSource[],
  argument: string,
  isSubtype: IsSubtype,
): TypeNode | undefined {
  const types = fields.flatMap(({ field }) => field.arguments.get(argument) ?? []);
  return mergeReferences(types, 'input', isSubtype);
}

/** A field with the widest type, and `@join__field(type:)` where a subgraph's is another. */
export function repairTypes<T extends FieldDefinitionNode | InputValueDefinitionNode>(
  node: T,
  sources: readonly NamedSource[],
  isSubtype: IsSubtype,
): T {
  const fields = withField(sources, node.name.value);
  if (fields.length < 2) return node;
  const repaired = repairArguments(node, fields, isSubtype);
  const own = new Map(fields.map(({ graph, field }) => [graph, printReference(field.type)]));
  if (new Set(own.values()).size < 2) return repaired;
  const type = mergeFieldTypes(fields, isSubtype);
  if (type === undefined) return repaired;
  const merged = printReference(type);
  const wrong = merged !== printReference(node.type);
  const named = new Set(fields.map(({ field }) => readNamedType(field.type)));
  // Nullability alone is no business of a planner: the difference is not worth touching a field that is right.
  if (!wrong && (named.size === 1 || node.directives?.some(hasType))) return repaired;
  return { ...repaired, type, directives: withTypes(node.directives ?? [], own, merged) };
}

function repairArguments<T extends FieldDefinitionNode | InputValueDefinitionNode>(
  node: T,
  fields: readonly FieldSource[],
  isSubtype: IsSubtype,
): T {
  if (!('arguments' in node) || !node.arguments?.length) return node;
  let changed = false;
  const repaired = node.arguments.map((argument) => {
    const type = mergeArgumentTypes(fields, argument.name.value, isSubtype);
    if (type === undefined || printReference(type) === printReference(argument.type)) return argument;
    changed = true;
    return { ...argument, type };
  });
  return changed ? { ...node, arguments: repaired } : node;
}

/** The directives with `@join__field(type:)` for every graph whose type is another than the supergraph's. */
function withTypes(
  directives: readonly ConstDirectiveNode[],
  own: ReadonlyMap<string, string>,
  merged: string,
): ConstDirectiveNode[] {
  const withType = (directive: ConstDirectiveNode, type: string | undefined): ConstDirectiveNode => {
    const rest = (directive.arguments ?? []).filter(({ name }) => name.value !== 'type');
    const args = type === undefined || type === merged ? rest : [...rest, stringArgument('type', type)];
    return { ...directive, arguments: args };
  };
  if (directives.some(isJoinField)) {
    return directives.map((node) => (isJoinField(node) ? withType(node, own.get(readGraph(node) ?? '')) : node));
  }
  return [...directives, ...[...own].map(([graph, type]) => withType(joinField(graph), type))];
}

/** A field of an interface with the `@join__field`s that it lost. */
export function repairInterfaceObjectField<T extends FieldDefinitionNode | InputValueDefinitionNode>(
  node: T,
  definition: InterfaceTypeDefinitionNode,
  sources: readonly NamedSource[],
): T {
  if (node.directives?.some(isJoinField) || !definition.directives?.some(isInterfaceObject)) return node;
  const fields = withField(sources, node.name.value);
  const joins = fields.map(({ graph, field, subgraph }) => {
    const read = (name: string) => subgraph.findDirective(field.directives, name);
    const args: ConstArgumentNode[] = [];
    for (const name of ['requires', 'provides']) {
      const value = read(name)?.arguments?.find((argument) => argument.name.value === 'fields')?.value;
      if (value?.kind === Kind.STRING) args.push(stringArgument(name, value.value));
    }
    if (read('external')) args.push(buildArgument('external', { kind: Kind.BOOLEAN, value: true }));
    return joinField(graph, args);
  });
  const isPlain = joins.every((join) => join.arguments?.length === 1);
  return isPlain ? node : { ...node, directives: [...(node.directives ?? []), ...joins] };
}

function isJoinField({ name }: ConstDirectiveNode): boolean {
  return name.value === 'join__field';
}

function hasType(directive: ConstDirectiveNode): boolean {
  return isJoinField(directive) && directive.arguments?.some(({ name }) => name.value === 'type') === true;
}

function isInterfaceObject({ name, arguments: args }: ConstDirectiveNode): boolean {
  const argument = args?.find((node) => node.name.value === 'isInterfaceObject');
  return name.value === 'join__type' && argument?.value.kind === Kind.BOOLEAN && argument.value.value;
}

function readGraph({ arguments: args }: ConstDirectiveNode): string | undefined {
  const value = args?.find(({ name }) => name.value === 'graph')?.value;
  return value?.kind === Kind.ENUM ? value.value : undefined;
}

function joinField(graph: string, args: readonly ConstArgumentNode[] = []): ConstDirectiveNode {
  return {
    kind: Kind.DIRECTIVE,
    name: { kind: Kind.NAME, value: 'join__field' },
    arguments: [buildArgument('graph', { kind: Kind.ENUM, value: graph }), ...args],
  };
}

function stringArgument(name: string, value: string): ConstArgumentNode {
  return buildArgument(name, { kind: Kind.STRING, value });
}

function buildArgument(name: string, value: ConstArgumentNode['value']): ConstArgumentNode {
  return { kind: Kind.ARGUMENT, name: { kind: Kind.NAME, value: name }, value };
}
