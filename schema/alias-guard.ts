/**
 * Keeps a client's aliases apart from field names. Both engines build look-ups out of what is in the answer so far, by
 * field name: where a client calls another field so (`{ book { isbn: title price } }`), they would look the book up by
 * its title. Such an alias is given another name on its way to the services, and its own back in the answer.
 */
import { type DocumentNode, type GraphQLSchema, isInterfaceType, isObjectType, visit } from 'graphql';

const guard = '_aliased_';

/** All names of fields that a look-up may be made of. */
export function listFieldNames(schema: GraphQLSchema): ReadonlySet<string> {
  const names = new Set(['__typename']);
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) && !isInterfaceType(type)) continue;
    for (const name of Object.keys(type.getFields())) names.add(name);
  }
  return names;
}

/** The document with other names for aliases that are names of fields; the same document when it has none. */
export function guardAliases(document: DocumentNode, fieldNames: ReadonlySet<string>): DocumentNode {
  return visit(document, {
    Field({ alias, name, ...field }) {
      if (alias === undefined || alias.value === name.value) return undefined;
      if (!fieldNames.has(alias.value) && !alias.value.startsWith(guard)) return undefined;
      return { ...field, name, alias: { ...alias, value: `${guard}${alias.value}` } };
    },
  });
}

/** What the client called a response key. */
export function unguard(key: string): string {
  return key.startsWith(guard) ? key.slice(guard.length) : key;
}
