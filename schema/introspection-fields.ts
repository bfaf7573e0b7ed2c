/** `__schema` and `__type` beside other fields: planners know nothing of them, the public schema answers. */
import {
  type DocumentNode,
  executeSync,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
} from 'graphql';

/** Texts of the fields by response key, for the variables as the client sent them. */
export type Introspect = (variables: Readonly<Record<string, unknown>>) => ReadonlyMap<string, string>;

const none: ReadonlyMap<string, string> = new Map();

/** Whether a root field is answered by the schema itself. */
export function isIntrospectionField({ name }: FieldNode): boolean {
  return name.value === '__schema' || name.value === '__type';
}

/** Compiles the introspection fields of an operation. Without variables they are executed once. */
export function compileIntrospection(
  fields: readonly FieldNode[],
  operation: OperationDefinitionNode,
  fragments: Iterable<FragmentDefinitionNode>,
  schema: GraphQLSchema,
): Introspect {
  if (fields.length === 0) return () => none;
  const only = { ...operation, selectionSet: { kind: Kind.SELECTION_SET, selections: fields } } as const;
  const document: DocumentNode = { kind: Kind.DOCUMENT, definitions: [only, ...fragments] };
  const introspect: Introspect = (variableValues) => {
    const { data } = executeSync({ schema, document, variableValues });
    return new Map(Object.entries(data ?? {}).map(([key, value]) => [key, JSON.stringify(value)]));
  };
  if ((operation.variableDefinitions ?? []).length > 0) return introspect;
  let texts: ReadonlyMap<string, string> | undefined;
  return (variables) => {
    texts ??= introspect(variables);
    return texts;
  };
}
