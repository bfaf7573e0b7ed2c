/**
 * What planner 0.0.38 misreads, said otherwise. Each of these was found by the differential tests
 * (`npm run test:differential`), which tell when one of them may go.
 */
import {
  type DocumentNode,
  type FieldNode,
  type GraphQLSchema,
  isAbstractType,
  Kind,
  type SelectionNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';

const typename: FieldNode = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } };

/** The document as the planner understands it. Whoever answers by the original gets the same data. */
export function buildPlannableDocument(document: DocumentNode, schema: GraphQLSchema): DocumentNode {
  const typeInfo = new TypeInfo(schema);
  return visit(
    document,
    visitWithTypeInfo(typeInfo, {
      // Of `owner: owner { name }` beside `owner { name }` it asks for the first without its selections.
      Field: ({ alias, ...field }) => (alias?.value === field.name.value ? field : undefined),
      // `{ kind: __typename }` is all that it asks for then, and nobody knows any more which type an object has.
      SelectionSet: {
        leave: (node) =>
          isAbstractType(typeInfo.getParentType()) && node.selections.some(isAliasedTypename)
            ? { ...node, selections: [typename, ...node.selections] }
            : undefined,
      },
    }),
  );
}

function isAliasedTypename(node: SelectionNode): boolean {
  return node.kind === Kind.FIELD && node.name.value === '__typename' && node.alias !== undefined;
}
