/** Subgraphs in which a field that is wider elsewhere is as wide: for checking, not for serving. */
import { type DefinitionNode, type DocumentNode, type FieldDefinitionNode, parse, visit } from 'graphql';
import type { SubgraphType, SubgraphTypes } from './subgraph-types.ts';
import { type IsSubtype, mergeReferences, printReference, readNamedType } from './type-references.ts';

/** `Type.field` with the name of the widest type, for every field that has several. */
export function findWidenedFields(subgraphs: readonly SubgraphTypes[], isSubtype: IsSubtype): Map<string, string> {
  const widened = new Map<string, string>();
  const byName = Map.groupBy(
    subgraphs.flatMap(({ types }) => [...types.values()]),
    ({ name }) => name,
  );
  for (const [name, types] of byName) {
    if (types.length < 2 || types[0]?.kind === 'input') continue;
    for (const field of new Set(types.flatMap(({ fields }) => [...fields.keys()]))) {
      const references = types.flatMap(({ fields }) => fields.get(field)?.type ?? []);
      if (new Set(references.map(readNamedType)).size < 2) continue;
      const merged = mergeReferences(references, 'output', isSubtype);
      if (merged !== undefined) widened.set(`${name}.${field}`, readNamedType(merged));
    }
  }
  return widened;
}

/** A subgraph with these fields widened. The abstract types that it lacks come in with the types that it has of them. */
export function widenFields(
  { document, types }: { readonly document: DocumentNode; readonly types: SubgraphTypes },
  fields: ReadonlyMap<string, string>,
  subgraphs: readonly SubgraphTypes[],
): DocumentNode {
  const narrow = new Map<string, Set<string>>();
  let changed = false;
  const definitions = document.definitions.map((definition): DefinitionNode => {
    if (!('fields' in definition) || !('name' in definition) || definition.name === undefined) return definition;
    const type = definition.name.value;
    return visit(definition, {
      FieldDefinition(field: FieldDefinitionNode) {
        const wide = fields.get(`${type}.${field.name.value}`);
        const own = readNamedType(field.type);
        if (wide === undefined || wide === own) return undefined;
        changed = true;
        narrow.set(wide, (narrow.get(wide) ?? new Set()).add(own));
        return { ...field, type: visit(field.type, { Name: (name) => ({ ...name, value: wide }) }) };
      },
    });
  });
  if (!changed) return document;
  const added = [...narrow].map(([wide, names]) => printMembership(wide, [...names], types, subgraphs));
  return { ...document, definitions: [...definitions, ...parse(added.join('\n'), { noLocation: true }).definitions] };
}

function printMembership(
  wide: string,
  names: readonly string[],
  { types }: SubgraphTypes,
  subgraphs: readonly SubgraphTypes[],
): string {
  const own = types.get(wide);
  const model = own ?? subgraphs.flatMap((subgraph) => subgraph.types.get(wide) ?? [])[0];
  if (model?.kind === 'union') {
    const missing = names.filter((name) => !own?.members.has(name));
    return missing.length === 0 ? '' : `${own ? 'extend ' : ''}union ${wide} = ${missing.join(' | ')}`;
  }
  const missing = names.flatMap((name) => types.get(name) ?? []).filter(({ interfaces }) => !interfaces.has(wide));
  const extensions = missing.map(
    ({ kind, name }) => `extend ${kind === 'object' ? 'type' : kind} ${name} implements ${wide}`,
  );
  return own ? extensions.join('\n') : [printInterface(wide, model, missing), ...extensions].join('\n');
}

/** With the fields that all types have which shall implement it: there is no asking for others in this subgraph. */
function printInterface(name: string, model: SubgraphType | undefined, types: readonly SubgraphType[]): string {
  const fields = [...(model?.fields ?? [])].filter(([field]) => types.every((type) => type.fields.has(field)));
  const lines = fields.map(([field, { type }]) => `${field}: ${printReference(type)}`);
  return `interface ${name} { ${lines.length > 0 ? lines.join(' ') : '_nothing: Boolean'} }`;
}
