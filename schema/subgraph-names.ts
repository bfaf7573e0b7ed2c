/** Subgraphs with the names that the composing library expects: `federation__key`, `Query`. */
import { type ConstDirectiveNode, type DocumentNode, Kind, type NameNode, visit } from 'graphql';

/** The document with these names; the same one when it has no others. */
export function withUsualNames(document: DocumentNode): DocumentNode {
  return withUsualRootTypes(withUsualNamespace(document));
}

const defaultNames = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' } as const;

function withUsualRootTypes(document: DocumentNode): DocumentNode {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OBJECT_TYPE_DEFINITION) taken.add(definition.name.value);
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    for (const { operation, type } of definition.operationTypes ?? []) {
      if (type.name.value !== defaultNames[operation]) names.set(type.name.value, defaultNames[operation]);
    }
  }
  // A type that is called Query and is none would become one.
  if (names.size === 0 || [...names.values()].some((name) => taken.has(name))) return document;
  const rename = <T extends { readonly name: NameNode }>(node: T): T | undefined => {
    const name = names.get(node.name.value);
    return name === undefined ? undefined : { ...node, name: { ...node.name, value: name } };
  };
  return visit(document, { NamedType: rename, ObjectTypeDefinition: rename, ObjectTypeExtension: rename });
}

const federationUrl = /^https:\/\/specs\.apollo\.dev\/federation\/v/;

function withUsualNamespace(document: DocumentNode): DocumentNode {
  const namespaces = new Set(findLinks(document).flatMap((link) => readNamespace(link) ?? []));
  if (namespaces.size === 0) return document;
  const rename = <T extends { readonly name: NameNode }>(node: T): T | undefined => {
    const [namespace, ...rest] = node.name.value.split('__');
    if (rest.length === 0 || !namespaces.has(namespace ?? '')) return undefined;
    return { ...node, name: { ...node.name, value: `federation__${rest.join('__')}` } };
  };
  return visit(document, {
    NamedType: rename,
    DirectiveDefinition: rename,
    ScalarTypeDefinition: rename,
    EnumTypeDefinition: rename,
    Directive(node) {
      if (readNamespace(node as ConstDirectiveNode) === undefined) return rename(node);
      return { ...node, arguments: node.arguments?.filter(({ name }) => name.value !== 'as') };
    },
  });
}

function findLinks(document: DocumentNode): readonly ConstDirectiveNode[] {
  return document.definitions.flatMap((definition) =>
    definition.kind === Kind.SCHEMA_DEFINITION || definition.kind === Kind.SCHEMA_EXTENSION
      ? (definition.directives ?? [])
      : [],
  );
}

/** What a link to federation calls it, where that is another name. */
function readNamespace({ name, arguments: args = [] }: ConstDirectiveNode): string | undefined {
  if (name.value !== 'link') return undefined;
  const read = (key: string) => {
    const value = args.find((argument) => argument.name.value === key)?.value;
    return value?.kind === Kind.STRING ? value.value : undefined;
  };
  return federationUrl.test(read('url') ?? '') ? read('as') : undefined;
}
