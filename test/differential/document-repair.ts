/** Makes an operation valid that is nearly so, by leaving out what is in the way. */
import {
  type ASTNode,
  type DocumentNode,
  type GraphQLSchema,
  Kind,
  OverlappingFieldsCanBeMergedRule,
  type SelectionSetNode,
  specifiedRules,
  validate,
  visit,
} from 'graphql';

const unusedRules = ['NoUnusedFragmentsRule', 'NoUnusedVariablesRule'];
const mendableRules = specifiedRules.filter(({ name }) => !unusedRules.includes(name));

/** The document without what conflicts or is not used. Throws when it is wrong in any other way. */
export function repairDocument(schema: GraphQLSchema, broken: DocumentNode): DocumentNode {
  let document = broken;
  for (let round = 0; round < 500; round++) {
    const [conflict] = validate(schema, document, [OverlappingFieldsCanBeMergedRule]);
    const node = conflict?.nodes?.at(-1);
    if (node === undefined) break;
    document = withoutNode(document, node);
  }
  document = withoutUnused(document);
  const [error] = validate(schema, document, mendableRules);
  if (error !== undefined) throw new Error(`the generator is wrong: ${error.message}`);
  return document;
}

/** Without one node; a selection that is left empty asks for `__typename`. */
export function withoutNode(document: DocumentNode, unwanted: ASTNode): DocumentNode {
  return visit(document, {
    enter: (node) => (node === unwanted ? null : undefined),
    SelectionSet: { leave: fillEmpty },
  });
}

function fillEmpty(node: SelectionSetNode): SelectionSetNode | undefined {
  if (node.selections.length > 0) return undefined;
  return { ...node, selections: [{ kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } }] };
}

/** Without fragments and variables that nothing uses. */
export function withoutUnused(document: DocumentNode): DocumentNode {
  let current = document;
  for (;;) {
    const used = new Set<string>();
    visit(current, {
      FragmentSpread: ({ name }) => void used.add(`...${name.value}`),
      VariableDefinition: () => false,
      Variable: ({ name }) => void used.add(`$${name.value}`),
    });
    const next: DocumentNode = visit(current, {
      FragmentDefinition: ({ name }) => (used.has(`...${name.value}`) ? undefined : null),
      VariableDefinition: ({ variable }) => (used.has(`$${variable.name.value}`) ? undefined : null),
    });
    if (next === current) return current;
    current = next;
  }
}
