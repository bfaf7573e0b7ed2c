/** The directives of federation's specifications by the names that a document uses for them. */
import { type ConstDirectiveNode, type ConstValueNode, type DocumentNode, Kind, valueFromASTUntyped } from 'graphql';

/**
 * The names under which a document may use a directive such as `@authenticated`: its own, `federation__NAME`, and what
 * an `@link` calls it by `import` or `as`. Its own name counts always: for directives that keep something closed it
 * is better to recognise one too many.
 */
export function findDirectiveNames(document: DocumentNode, name: string): ReadonlySet<string> {
  const names = new Set([name, `federation__${name}`]);
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    for (const directive of definition.directives ?? []) {
      if (directive.name.value !== 'link') continue;
      for (const alias of findAliases(directive, name)) names.add(alias);
    }
  }
  return names;
}

function findAliases(link: ConstDirectiveNode, name: string): string[] {
  const argument = (key: string): unknown => {
    const value: ConstValueNode | undefined = link.arguments?.find((entry) => entry.name.value === key)?.value;
    return value === undefined ? undefined : valueFromASTUntyped(value);
  };
  const aliases: string[] = [];
  const feature = /\/([^/]+)\/v[\d.]+\/?$/.exec(String(argument('url')))?.[1];
  const prefix = argument('as');
  if (typeof prefix === 'string') aliases.push(feature === name ? prefix : `${prefix}__${name}`);
  const imports = argument('import');
  for (const entry of Array.isArray(imports) ? (imports as readonly unknown[]) : []) {
    if (typeof entry !== 'object' || entry === null) continue;
    const { name: imported, as } = entry as { name?: unknown; as?: unknown };
    if (imported === `@${name}` && typeof as === 'string') aliases.push(as.replace(/^@/, ''));
  }
  return aliases;
}
