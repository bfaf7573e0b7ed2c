/** The public schema of the federated services, for validation before planning. */
import { buildASTSchema, type DocumentNode, type GraphQLSchema, Kind, type NamedTypeNode, visit } from 'graphql';

/**
 * Builds the schema. Composition leaves the names of inaccessible types in unions and in `implements`, so those go here.
 * Null when it cannot be built all the same: then nothing federated is planned, but all of it served.
 */
export function buildFederatedSchema(publicDocument: DocumentNode): GraphQLSchema | null {
  const defined = new Set(
    publicDocument.definitions.flatMap((node) => ('name' in node && node.name ? [node.name.value] : [])),
  );
  const keep = (types: readonly NamedTypeNode[] = []) => types.filter(({ name }) => defined.has(name.value));
  const document = visit(publicDocument, {
    [Kind.UNION_TYPE_DEFINITION]: (node) => ({ ...node, types: keep(node.types) }),
    [Kind.OBJECT_TYPE_DEFINITION]: (node) => ({ ...node, interfaces: keep(node.interfaces) }),
    [Kind.INTERFACE_TYPE_DEFINITION]: (node) => ({ ...node, interfaces: keep(node.interfaces) }),
  });
  try {
    return buildASTSchema(document, { assumeValid: true });
  } catch {
    return null;
  }
}
