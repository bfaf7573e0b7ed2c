/**
 * Repairs of the known faults of `@theguild/federation-composition` 0.27.0, all in this place. Each says when it may go:
 * when its test in test/schema/federation-repairs.test.ts passes with the repair switched off.
 */
import { transformSupergraphToPublicSchema } from '@theguild/federation-composition';
import {
  type ConstArgumentNode,
  type ConstDirectiveNode,
  type DefinitionNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type GraphQLError,
  type InputValueDefinitionNode,
  type InterfaceTypeDefinitionNode,
  Kind,
  type TypeNode,
  visit,
} from 'graphql';
import { resolveRequiredFragments } from './requirement-fragments.ts';
import { withUsualNames } from './subgraph-names.ts';
import { readSubgraphTypes, type SubgraphField, type SubgraphType, type SubgraphTypes } from './subgraph-types.ts';
import { type IsSubtype, mergeReferences, printReference, readNamedType } from './type-references.ts';
import { findWidenedFields, widenFields } from './widened-types.ts';

/** Which faults are repaired: switchable for the tests, all of them in service. */
export interface FederationRepairs {
  /**
   * A fragment on an abstract type inside `@requires` gives a SATISFIABILITY_ERROR that is none (or, on a union, an
   * exception). The check is made with the fragments resolved (requirement-fragments.ts), and skipped for the original.
   */
  readonly requiredFragments: boolean;
  /**
   * A field of an `@interfaceObject` type that all subgraphs of the interface have loses its `@join__field`: that it is
   * `@external` there, and what it `@requires` or `@provides`.
   */
  readonly interfaceObjectFields: boolean;
  /**
   * Where subgraphs give a field different types that go together, composition takes the first instead of the widest
   * (a member instead of its union), forgets `@join__field(type:)` on fields of Query and of interfaces, and calls
   * nullability inside of lists, and an interface that implements another, a mismatch. The wrong type gives false
   * SATISFIABILITY_ERRORs too: that check is made with all fields as wide as the widest (widened-types.ts).
   */
  readonly typeReferences: boolean;
  /**
   * Fields that give Query (`type Payload { query: Query }`) lead to the root fields of all subgraphs. The check knows
   * those of the same subgraph only, and is made without such fields: what Query gives is checked from the root.
   */
  readonly queryFields: boolean;
  /**
   * Directives under a namespace that `@link(as:)` gives federation are unknown to it, and a root type of another name
   * than Query that some field gives makes it throw. It gets the usual names instead (subgraph-names.ts).
   */
  readonly names: boolean;
  /** The public schema keeps `@inaccessible` types as members of unions, and is no schema then. */
  readonly unionMembers: boolean;
}

export const allRepairs: FederationRepairs = {
  requiredFragments: true,
  interfaceObjectFields: true,
  typeReferences: true,
  queryFields: true,
  names: true,
  unionMembers: true,
};

/** A subgraph, parsed, with what is in it. */
export interface FederatedSubgraph {
  readonly name: string;
  readonly document: DocumentNode;
  readonly types: SubgraphTypes;
}

/** The subgraph as the library understands it. */
export function repairSubgraph(name: string, original: DocumentNode, repairs: FederationRepairs): FederatedSubgraph {
  const document = repairs.names ? withUsualNames(original) : original;
  return { name, document, types: readSubgraphTypes(document) };
}

/**
 * Subgraphs that say the same in a way that the library can check. Null where there is no difference.
 */
export function buildCheckableSubgraphs(
  subgraphs: readonly FederatedSubgraph[],
  repairs: FederationRepairs,
): FederatedSubgraph[] | null {
  const types = subgraphs.map((subgraph) => subgraph.types);
  const widened = repairs.typeReferences
    ? findWidenedFields(types, createSubtypeTest(types))
    : new Map<string, string>();
  const checkable = subgraphs.map((subgraph): FederatedSubgraph => {
    let { document } = subgraph;
    if (repairs.requiredFragments) document = resolveRequiredFragments(document, subgraph.types);
    if (repairs.typeReferences) document = widenFields({ ...subgraph, document }, widened, types);
    if (repairs.queryFields) document = withoutQueryFields(document, subgraph.types);
    return { ...subgraph, document };
  });
  return checkable.some(({ document }, index) => document !== subgraphs[index]?.document) ? checkable : null;
}

/** The types of a subgraph by the name that the supergraph's enum `join__Graph` gives it. */
export type SubgraphsById = ReadonlyMap<string, SubgraphTypes>;

/** Repairs a supergraph. Gives the same document when nothing is wrong with it. */
export function repairSupergraph(
  document: DocumentNode,
  subgraphs: SubgraphsById,
  repairs: FederationRepairs,
): DocumentNode {
  if (subgraphs.size < 2) return document;
  const isSubtype = createSubtypeTest([...subgraphs.values()]);
  let changed = false;
  const definitions = document.definitions.map((definition): DefinitionNode => {
    if (!hasFields(definition)) return definition;
    const sources = findSources(definition.name.value, subgraphs);
    if (sources.length < 2) return definition;
    const repair = (field: FieldDefinitionNode | InputValueDefinitionNode) => {
      let repaired = field;
      if (repairs.typeReferences) repaired = repairTypes(repaired, sources, isSubtype);
      if (repairs.interfaceObjectFields && definition.kind === Kind.INTERFACE_TYPE_DEFINITION) {
        repaired = repairInterfaceObjectField(repaired, definition, sources);
      }
      if (repaired !== field) changed = true;
      return repaired;
    };
    return { ...definition, fields: definition.fields?.map(repair) } as DefinitionNode;
  });
  return changed ? { ...document, definitions } : document;
}

/** What clients may know of a supergraph. */
export function buildPublicDocument(supergraph: DocumentNode, repairs: FederationRepairs): DocumentNode {
  const document = transformSupergraphToPublicSchema(supergraph);
  if (!repairs.unionMembers) return document;
  const defined = new Set<string>();
  for (const node of document.definitions) if (node.kind === Kind.OBJECT_TYPE_DEFINITION) defined.add(node.name.value);
  return {
    ...document,
    definitions: document.definitions.map((node) =>
      node.kind === Kind.UNION_TYPE_DEFINITION
        ? { ...node, types: (node.types ?? []).filter(({ name }) => defined.has(name.value)) }
        : node,
    ),
  };
}

/** Whether two types that composition calls a mismatch go together. `coordinate` is as its message has it. */
export function isFalseMismatch(error: GraphQLError, subgraphs: readonly SubgraphTypes[]): boolean {
  const code = error.extensions['code'];
  if (code !== 'FIELD_TYPE_MISMATCH' && code !== 'FIELD_ARGUMENT_TYPE_MISMATCH') return false;
  const coordinate = /^Type of (?:field|argument) "(\w+)\.(\w+)(?:\((\w+):\))?" is incompatible/.exec(error.message);
  const [, typeName = '', fieldName = '', argument] = coordinate ?? [];
  const fields = subgraphs.flatMap((subgraph) => {
    const type = subgraph.types.get(typeName);
    const field = type?.fields.get(fieldName);
    return type === undefined || field === undefined ? [] : [{ subgraph, type, field }];
  });
  const isSubtype = createSubtypeTest(subgraphs);
  if (argument === undefined) return mergeFieldTypes(fields, isSubtype) !== undefined;
  return mergeArgumentTypes(fields, argument, isSubtype) !== undefined;
}

function withoutQueryFields(document: DocumentNode, { types }: SubgraphTypes): DocumentNode {
  const fields = [...types.values()].flatMap((type) => [...type.fields.values()]);
  if (!fields.some(({ type }) => readNamedType(type) === 'Query')) return document;
  return visit(document, {
    FieldDefinition: (field) =>
      readNamedType(field.type) === 'Query'
        ? { ...field, type: visit(field.type, { Name: (name) => ({ ...name, value: 'Boolean' }) }) }
        : undefined,
  });
}

interface Source {
  readonly subgraph: SubgraphTypes;
  readonly type: SubgraphType;
}
interface NamedSource extends Source {
  readonly graph: string;
}
interface FieldSource extends Source {
  readonly field: SubgraphField;
}

function hasFields(
  definition: DefinitionNode,
): definition is DefinitionNode & { readonly name: { readonly value: string }; readonly fields?: readonly [] } {
  return (
    definition.kind === Kind.OBJECT_TYPE_DEFINITION ||
    definition.kind === Kind.INTERFACE_TYPE_DEFINITION ||
    definition.kind === Kind.INPUT_OBJECT_TYPE_DEFINITION
  );
}

function findSources(typeName: string, subgraphs: SubgraphsById): NamedSource[] {
  return [...subgraphs].flatMap(([graph, subgraph]) => {
    const type = subgraph.types.get(typeName);
    return type === undefined ? [] : [{ graph, subgraph, type }];
  });
}

/** Of all subgraphs together, as federation compares with the types of the supergraph. */
function createSubtypeTest(subgraphs: readonly SubgraphTypes[]): IsSubtype {
  return (name, of) =>
    subgraphs.some(({ types }) => types.get(name)?.interfaces.has(of) || types.get(of)?.members.has(name));
}

function withField<S extends Source>(sources: readonly S[], name: string): (S & FieldSource)[] {
  return sources.flatMap((source) => {
    const field = source.type.fields.get(name);
    return field === undefined ? [] : [{ ...source, field }];
  });
}

function mergeFieldTypes(fields: readonly FieldSource[], isSubtype: IsSubtype): TypeNode | undefined {
  const own = fields.filter(({ subgraph, field }) => !subgraph.findDirective(field.directives, 'external'));
  const types = (own.length > 0 ? own : fields).map(({ field }) => field.type);
  return mergeReferences(types, fields[0]?.type.kind === 'input' ? 'input' : 'output', isSubtype);
}

function mergeArgumentTypes(
  fields: readonly FieldSource[],
  argument: string,
  isSubtype: IsSubtype,
): TypeNode | undefined {
  const types = fields.flatMap(({ field }) => field.arguments.get(argument) ?? []);
  return mergeReferences(types, 'input', isSubtype);
}

function repairTypes<T extends FieldDefinitionNode | InputValueDefinitionNode>(
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

function repairInterfaceObjectField<T extends FieldDefinitionNode | InputValueDefinitionNode>(
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
