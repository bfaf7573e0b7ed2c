/**
 * An operation by who answers its root fields: the federated services together, or one plain service. Fields that the
 * gateway answers itself (`__typename`, introspection) are in no part.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  isAbstractType,
  Kind,
  type OperationDefinitionNode,
  print,
  type SelectionNode,
  type SelectionSetNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import type { Graph } from './graph.ts';
import type { FetchNode } from './query-plan.ts';

export interface OperationParts {
  /** What the federated services answer, to be planned; null when they answer nothing. */
  readonly federated: DocumentNode | null;
  /** One request for each plain service. */
  readonly plain: readonly FetchNode[];
}

/**
 * Splits a valid document of one operation. Null when its parts would not give the same answer as the whole: mutations
 * of several parts, which must run in the order of their fields, and what the executor could mistake for something else.
 */
export function splitOperation(document: DocumentNode, graph: Graph): OperationParts | null {
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  if (operation === undefined || operation.operation === 'subscription' || hasMisleadingNames(document)) return null;
  const whole = { operation, fragments: collectFragments(document) };
  const root = operation.operation === 'query' ? 'Query' : 'Mutation';
  const partOf = (field: string): string | null =>
    field.startsWith('__') ? null : (graph.plainRootFields.get(`${root}.${field}`) ?? federatedPart);
  const parts = collectParts(operation.selectionSet, whole.fragments, partOf, new Set());
  const answering = [...parts].filter((part) => part !== null);
  if (answering.length > 1 && operation.operation === 'mutation') return null;
  const plain = answering.filter((part) => part !== federatedPart);
  return {
    federated: parts.has(federatedPart) ? buildFederatedPart(document, whole, parts, partOf) : null,
    plain: plain.map((service) => {
      const part = buildPart(whole, (field) => partOf(field) === service);
      return buildFetch(service, withTypenames(part, graph.schema));
    }),
  };
}

/** No service can have this name. */
const federatedPart = '';

interface WholeOperation {
  readonly operation: OperationDefinitionNode;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
}

/**
 * An alias `__typename` would hide the type of an object from the executor. And `@defer`, `@stream`: nobody here can do
 * that.
 */
function hasMisleadingNames(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    Field: ({ alias, name }) => {
      if (alias?.value.startsWith('__') && alias.value !== name.value) found = true;
    },
    Directive: ({ name }) => {
      if (name.value !== 'skip' && name.value !== 'include') found = true;
    },
  });
  return found;
}

/** The fragments of a document by name. */
export function collectFragments(document: DocumentNode): Map<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : [])),
  );
}

/** The parts that a root selection has, with null for what the gateway answers itself. */
function collectParts(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  partOf: (field: string) => string | null,
  parts: Set<string | null>,
): Set<string | null> {
  for (const selection of selections) {
    if (selection.kind === Kind.FIELD) parts.add(partOf(selection.name.value));
    else {
      const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
      if (inner !== undefined) collectParts(inner.selectionSet, fragments, partOf, parts);
    }
  }
  return parts;
}

function buildFederatedPart(
  document: DocumentNode,
  whole: WholeOperation,
  parts: ReadonlySet<string | null>,
  partOf: (field: string) => string | null,
): DocumentNode {
  return parts.size === 1 ? document : buildPart(whole, (field) => partOf(field) === federatedPart);
}

/** The operation with some of its root fields, and with the fragments and variables that these use. */
export function buildPart({ operation, fragments }: WholeOperation, keep: (field: string) => boolean): DocumentNode {
  const selectionSet = keepFields(operation.selectionSet, fragments, keep);
  const used = collectUses(selectionSet, fragments);
  const { name: _, directives: __, ...unnamed } = operation;
  return {
    kind: Kind.DOCUMENT,
    definitions: [
      {
        ...unnamed,
        variableDefinitions: (operation.variableDefinitions ?? []).filter(({ variable }) =>
          used.variables.has(variable.name.value),
        ),
        selectionSet,
      },
      ...[...fragments.values()].filter((fragment) => used.fragments.has(fragment.name.value)),
    ],
  };
}

/**
 * Fragments of the root are put in place of their spreads, without their type: whatever they name, an object of the root
 * type is one, and a service may call that type otherwise.
 */
function keepFields(
  { selections, ...rest }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  keep: (field: string) => boolean,
): SelectionSetNode {
  return {
    ...rest,
    selections: selections.flatMap((selection): SelectionNode[] => {
      if (selection.kind === Kind.FIELD) return keep(selection.name.value) ? [selection] : [];
      const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
      if (inner === undefined) return [];
      const selectionSet = keepFields(inner.selectionSet, fragments, keep);
      const { directives = [] } = selection;
      return selectionSet.selections.length > 0 ? [{ kind: Kind.INLINE_FRAGMENT, directives, selectionSet }] : [];
    }),
  };
}

interface Uses {
  readonly fragments: Set<string>;
  readonly variables: Set<string>;
}

function collectUses(
  node: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  uses: Uses = { fragments: new Set(), variables: new Set() },
): Uses {
  visit(node, {
    Variable: ({ name }) => void uses.variables.add(name.value),
    FragmentSpread: ({ name }) => {
      const fragment = fragments.get(name.value);
      if (fragment === undefined || uses.fragments.has(name.value)) return;
      uses.fragments.add(name.value);
      collectUses(fragment.selectionSet, fragments, uses);
    },
  });
  return uses;
}

const typename: FieldNode = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } };

/** With `__typename` wherever the executor has to know which of several types an object has. */
function withTypenames(document: DocumentNode, schema: GraphQLSchema): DocumentNode {
  const typeInfo = new TypeInfo(schema);
  return visit(
    document,
    visitWithTypeInfo(typeInfo, {
      SelectionSet: {
        leave: (node) =>
          isAbstractType(typeInfo.getParentType())
            ? { ...node, selections: [typename, ...node.selections] }
            : undefined,
      },
    }),
  );
}

function buildFetch(service: string, document: DocumentNode): FetchNode {
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const variables = operation?.variableDefinitions?.map(({ variable }) => variable.name.value) ?? [];
  return {
    kind: 'Fetch',
    serviceName: service,
    operationKind: operation?.operation ?? 'query',
    operation: print(document),
    ...(variables.length > 0 && { variableUsages: variables }),
  };
}
