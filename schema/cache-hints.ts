/** `@cacheControl` of the services: hints by type and field. Composition drops it, so it is read from their own SDL. */
import { type ConstDirectiveNode, type DocumentNode, Kind, valueFromASTUntyped } from 'graphql';
import type { CacheHint } from '../policies/cache-hints.ts';

/** Hints of all services together: where several speak of one place, the least time, and private where one says so. */
export function collectCacheHints(documents: readonly DocumentNode[]): Map<string, CacheHint> {
  const hints = new Map<string, CacheHint>();
  for (const document of documents) {
    const names = readRootNames(document);
    for (const definition of document.definitions) {
      if (!('name' in definition) || definition.name === undefined || !('directives' in definition)) continue;
      const type = names.get(definition.name.value) ?? definition.name.value;
      add(hints, type, definition.directives as readonly ConstDirectiveNode[] | undefined);
      if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('fields' in definition)) continue;
      for (const field of definition.fields ?? []) add(hints, `${type}.${field.name.value}`, field.directives);
    }
  }
  return hints;
}

/** A service may call its root types as it likes; in the graph they have the usual names. */
export function readRootNames(document: DocumentNode): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    for (const { operation, type } of definition.operationTypes ?? [])
      names.set(type.name.value, operation.charAt(0).toUpperCase() + operation.slice(1));
  }
  return names;
}

function add(
  hints: Map<string, CacheHint>,
  coordinate: string,
  directives: readonly ConstDirectiveNode[] | undefined,
): void {
  for (const directive of directives ?? []) {
    if (directive.name.value !== 'cacheControl') continue;
    const read = (name: string): unknown => {
      const node = directive.arguments?.find((argument) => argument.name.value === name)?.value;
      return node === undefined ? undefined : valueFromASTUntyped(node);
    };
    const [maxAge, before] = [read('maxAge'), hints.get(coordinate)];
    const times = [before?.maxAgeMs, typeof maxAge === 'number' ? maxAge * 1_000 : undefined].filter(
      (time) => time !== undefined,
    );
    hints.set(coordinate, {
      ...(times.length > 0 && { maxAgeMs: Math.min(...times) }),
      isPrivate: before?.isPrivate === true || read('scope') === 'PRIVATE',
      inherits: before?.inherits !== false && read('inheritMaxAge') === true,
    });
  }
}
