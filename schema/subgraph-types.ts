/** The types of a subgraph, with the definition and all extensions of each in one. */
import {
  type ConstDirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type InputValueDefinitionNode,
  Kind,
  type TypeNode,
} from 'graphql';
import { findDirectiveNames } from './spec-directives.ts';

export interface SubgraphField {
  readonly type: TypeNode;
  readonly arguments: ReadonlyMap<string, TypeNode>;
  readonly directives: readonly ConstDirectiveNode[];
}

export interface SubgraphType {
  readonly name: string;
  readonly kind: 'object' | 'interface' | 'union' | 'input';
  readonly fields: Map<string, SubgraphField>;
  readonly interfaces: Set<string>;
  readonly members: Set<string>;
  readonly directives: ConstDirectiveNode[];
}

export interface SubgraphTypes {
  readonly types: ReadonlyMap<string, SubgraphType>;
  /** The directive of federation's among these, whatever the document calls it. */
  findDirective(directives: readonly ConstDirectiveNode[], name: string): ConstDirectiveNode | undefined;
}

const kinds: Readonly<Record<string, SubgraphType['kind']>> = {
  [Kind.OBJECT_TYPE_DEFINITION]: 'object',
  [Kind.OBJECT_TYPE_EXTENSION]: 'object',
  [Kind.INTERFACE_TYPE_DEFINITION]: 'interface',
  [Kind.INTERFACE_TYPE_EXTENSION]: 'interface',
  [Kind.UNION_TYPE_DEFINITION]: 'union',
  [Kind.UNION_TYPE_EXTENSION]: 'union',
  [Kind.INPUT_OBJECT_TYPE_DEFINITION]: 'input',
  [Kind.INPUT_OBJECT_TYPE_EXTENSION]: 'input',
};

export function readSubgraphTypes(document: DocumentNode): SubgraphTypes {
  const types = new Map<string, SubgraphType>();
  for (const definition of document.definitions) {
    const kind = kinds[definition.kind];
    if (kind === undefined || !('name' in definition) || definition.name === undefined) continue;
    const name = definition.name.value;
    const type = types.get(name) ?? createType(name, kind);
    types.set(name, type);
    // Of a type, not of a document: `@external` on an extension means the fields of that extension only.
    const directives = ('directives' in definition ? definition.directives : undefined) ?? [];
    type.directives.push(...(directives as readonly ConstDirectiveNode[]));
    if ('interfaces' in definition) for (const { name } of definition.interfaces ?? []) type.interfaces.add(name.value);
    if ('types' in definition) for (const { name } of definition.types ?? []) type.members.add(name.value);
    if (!('fields' in definition)) continue;
    for (const field of definition.fields ?? []) {
      type.fields.set(field.name.value, readField(field, directives as readonly ConstDirectiveNode[]));
    }
  }
  return { types, findDirective: createDirectiveFinder(document) };
}

function createType(name: string, kind: SubgraphType['kind']): SubgraphType {
  return { name, kind, fields: new Map(), interfaces: new Set(), members: new Set(), directives: [] };
}

function readField(
  field: FieldDefinitionNode | InputValueDefinitionNode,
  inherited: readonly ConstDirectiveNode[],
): SubgraphField {
  const args = 'arguments' in field ? (field.arguments ?? []) : [];
  return {
    type: field.type,
    arguments: new Map(args.map(({ name, type }) => [name.value, type])),
    directives: [...(field.directives ?? []), ...inherited],
  };
}

function createDirectiveFinder(document: DocumentNode): SubgraphTypes['findDirective'] {
  const known = new Map<string, ReadonlySet<string>>();
  return (directives, name) => {
    if (directives.length === 0) return undefined;
    const names = known.get(name) ?? findDirectiveNames(document, name);
    known.set(name, names);
    return directives.find((directive) => names.has(directive.name.value));
  };
}
