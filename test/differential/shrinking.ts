/** Cuts a failing case down: the smallest operation and graph, that greedy cuts find, on which it still fails. */
import {
  type ASTNode,
  type DocumentNode,
  type GraphQLSchema,
  Kind,
  type SelectionNode,
  validate,
  visit,
} from 'graphql';
import { withoutNode, withoutUnused } from './document-repair.ts';
import { findNamedType, type GraphModel } from './graph-model.ts';
import type { Operation } from './operation.ts';

/** How many cuts are tried: a case that is costly to run is given back half shrunk. */
const maxTries = 2_000;

/** The operation without whatever the failure does not need. */
export async function shrinkOperation(
  schema: GraphQLSchema,
  operation: Operation,
  stillFails: (candidate: Operation) => Promise<boolean>,
): Promise<Operation> {
  let current = operation;
  let tries = 0;
  for (let improved = true; improved; ) {
    improved = false;
    for (const candidate of listCuts(current)) {
      if (++tries > maxTries) return current;
      if (validate(schema, candidate.document).length > 0 || !(await stillFails(candidate))) continue;
      current = candidate;
      improved = true;
      break;
    }
  }
  return current;
}

function* listCuts(operation: Operation): Generator<Operation> {
  const { document, variables } = operation;
  const withDocument = (cut: DocumentNode): Operation => {
    const rest = withoutUnused(cut);
    const names = rest.definitions.flatMap((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION ? (definition.variableDefinitions ?? []) : [],
    );
    const used = new Set(names.map(({ variable }) => variable.name.value));
    return {
      ...operation,
      document: rest,
      variables: Object.fromEntries(Object.entries(variables).filter(([name]) => used.has(name))),
    };
  };
  if (document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION).length > 1) {
    for (const definition of document.definitions) {
      if (definition.kind === Kind.OPERATION_DEFINITION && definition.name?.value !== operation.operationName) {
        yield withDocument(withoutNode(document, definition));
      }
    }
  }
  for (const node of listNodes(document, [Kind.FIELD, Kind.INLINE_FRAGMENT, Kind.FRAGMENT_SPREAD])) {
    if (node.kind !== Kind.FIELD || node.name.value !== '__typename') yield withDocument(withoutNode(document, node));
  }
  for (const node of listNodes(document, [Kind.FIELD])) {
    if (node.kind === Kind.FIELD && node.name.value === '__typename')
      yield withDocument(withoutSelection(document, node));
  }
  for (const node of listNodes(document, [Kind.INLINE_FRAGMENT, Kind.FRAGMENT_SPREAD])) {
    const inner = unfold(document, node);
    yield withDocument(replaceSelection(document, node, inner));
  }
  for (const node of listNodes(document, [Kind.DIRECTIVE, Kind.ARGUMENT, Kind.OBJECT_FIELD])) {
    yield withDocument(withoutNode(document, node));
  }
  for (const node of listNodes(document, [Kind.FIELD])) {
    if (node.kind !== Kind.FIELD || node.alias === undefined) continue;
    const { alias: _, ...plain } = node;
    yield withDocument(visit(document, { Field: (field) => (field === node ? plain : undefined) }));
  }
  for (const node of listNodes(document, [Kind.VARIABLE_DEFINITION])) {
    if (node.kind !== Kind.VARIABLE_DEFINITION || node.defaultValue === undefined) continue;
    const { defaultValue: _, ...plain } = node;
    yield withDocument(visit(document, { VariableDefinition: (one) => (one === node ? plain : undefined) }));
  }
}

/** Larger parts first. */
function listNodes(document: DocumentNode, kinds: readonly Kind[]): ASTNode[] {
  const nodes: ASTNode[] = [];
  visit(document, { enter: (node) => void (kinds.includes(node.kind as Kind) && nodes.push(node)) });
  return nodes;
}

/** Without filling up what is left empty: not a cut where it was the last one, which validation finds. */
function withoutSelection(document: DocumentNode, unwanted: ASTNode): DocumentNode {
  return visit(document, { enter: (node) => (node === unwanted ? null : undefined) });
}

function unfold(document: DocumentNode, node: ASTNode): readonly SelectionNode[] {
  if (node.kind === Kind.INLINE_FRAGMENT) return node.selectionSet.selections;
  if (node.kind !== Kind.FRAGMENT_SPREAD) return [];
  return document.definitions.flatMap((definition): SelectionNode[] =>
    definition.kind === Kind.FRAGMENT_DEFINITION && definition.name.value === node.name.value
      ? [{ kind: Kind.INLINE_FRAGMENT, typeCondition: definition.typeCondition, selectionSet: definition.selectionSet }]
      : [],
  );
}

function replaceSelection(document: DocumentNode, unwanted: ASTNode, instead: readonly SelectionNode[]): DocumentNode {
  return visit(document, {
    SelectionSet: (node) =>
      node.selections.some((selection) => selection === unwanted)
        ? {
            ...node,
            selections: node.selections.flatMap((selection) => (selection === unwanted ? instead : [selection])),
          }
        : undefined,
  });
}

/** The graph without whatever the failure does not need. Candidates that do not compose must not count as failing. */
export async function shrinkGraph(
  model: GraphModel,
  stillFails: (candidate: GraphModel) => Promise<boolean>,
): Promise<GraphModel> {
  let current = model;
  for (let improved = true; improved; ) {
    improved = false;
    for (const candidate of listGraphCuts(current)) {
      if (!(await stillFails(candidate))) continue;
      current = candidate;
      improved = true;
      break;
    }
  }
  return current;
}

function* listGraphCuts(model: GraphModel): Generator<GraphModel> {
  for (const subgraph of model.subgraphs) yield withoutSubgraph(model, subgraph);
  for (const type of model.objects) {
    yield withObjects(
      model,
      model.objects.filter((other) => other !== type),
      type.name,
    );
  }
  for (const type of model.interfaces)
    yield { ...model, interfaces: model.interfaces.filter((other) => other !== type) };
  for (const type of model.unions) yield { ...model, unions: model.unions.filter((other) => other !== type) };
  for (const type of model.objects) {
    for (const field of type.fields) {
      const fields = type.fields.filter((other) => other !== field);
      const smaller = {
        ...type,
        fields,
        keys: type.keys.filter((key) => !key.fields.split(/\W+/).includes(field.name)),
      };
      if (fields.length > 0)
        yield withObjects(
          model,
          model.objects.map((other) => (other === type ? smaller : other)),
        );
    }
  }
}

function withObjects(model: GraphModel, objects: GraphModel['objects'], gone?: string): GraphModel {
  const kept = objects.map((type) => ({
    ...type,
    fields: type.fields.filter(({ type: named }) => findNamedType(named) !== gone),
  }));
  return {
    ...model,
    objects: kept.filter(({ fields }) => fields.length > 0),
    interfaces: model.interfaces.map((type) => ({ ...type, members: type.members.filter((name) => name !== gone) })),
    unions: model.unions.map((type) => ({
      ...type,
      members: Object.fromEntries(
        Object.entries(type.members).map(([subgraph, names]) => [subgraph, names.filter((name) => name !== gone)]),
      ),
    })),
  };
}

function withoutSubgraph(model: GraphModel, gone: string): GraphModel {
  const rest = (names: readonly string[]) => names.filter((name) => name !== gone);
  const objects = model.objects.map((type) => ({
    ...type,
    subgraphs: rest(type.subgraphs),
    keys: type.keys.filter(({ subgraph }) => subgraph !== gone),
    fields: type.fields
      .map((field) => ({ ...field, subgraphs: rest(field.subgraphs), external: rest(field.external) }))
      .filter(({ subgraphs }) => subgraphs.length > 0),
  }));
  return {
    ...model,
    subgraphs: rest(model.subgraphs),
    objects: objects.filter(({ fields, subgraphs }) => fields.length > 0 && subgraphs.length > 0),
    interfaces: model.interfaces.map((type) => ({ ...type, subgraphs: rest(type.subgraphs) })),
    unions: model.unions.map((type) => {
      const { [gone]: _, ...members } = type.members;
      return { ...type, members };
    }),
  };
}
