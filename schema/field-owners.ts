/** Which services resolve a field, as their own SDL says: for what holds for a service and shall reach its part of the graph. */
import { type ConstDirectiveNode, Kind, parse } from 'graphql';
import { isComposed, type ServiceSchema, type Snapshot } from '../subgraphs/snapshot.ts';

/** Services by `Type.field`, in the order of the snapshot. */
export type FieldOwners = ReadonlyMap<string, readonly string[]>;

/** What one SDL says: the fields it resolves, and those it takes from another service. */
interface Contribution {
  readonly fields: readonly string[];
  readonly taken: readonly (readonly [field: string, from: string])[];
}

/** Finds owners. Each SDL is read once, as long as it is served. */
export function createFieldOwners(): (snapshot: Snapshot) => FieldOwners {
  const known = new WeakMap<ServiceSchema, Contribution>();
  return (snapshot) => {
    const owners = new Map<string, string[]>();
    const composed = snapshot.services.filter(isComposed);
    const contributions = composed.map(({ name, schema }) => {
      const contribution = known.get(schema) ?? readContribution(schema.sdl);
      known.set(schema, contribution);
      return { name, contribution };
    });
    for (const { name, contribution } of contributions) {
      for (const field of contribution.fields) {
        const before = owners.get(field);
        if (before === undefined) owners.set(field, [name]);
        else before.push(name);
      }
    }
    for (const [field, from] of contributions.flatMap(({ contribution }) => contribution.taken)) {
      const left = owners.get(field)?.filter((name) => name !== from) ?? [];
      if (left.length > 0) owners.set(field, left);
    }
    return owners;
  };
}

function readContribution(sdl: string): Contribution {
  const document = parse(sdl, { noLocation: true });
  const rootNames = new Map<string, string>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    // A service may call its root types as it likes; in the graph they have the usual names.
    for (const { operation, type } of definition.operationTypes ?? [])
      rootNames.set(type.name.value, `${operation.charAt(0).toUpperCase()}${operation.slice(1)}`);
  }
  const fields = new Set<string>();
  const taken: [string, string][] = [];
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION && definition.kind !== Kind.OBJECT_TYPE_EXTENSION) continue;
    if (findDirective(definition.directives, 'external') !== undefined) continue;
    const type = rootNames.get(definition.name.value) ?? definition.name.value;
    for (const { name, directives } of definition.fields ?? []) {
      if (findDirective(directives, 'external') !== undefined) continue;
      fields.add(`${type}.${name.value}`);
      const from = readOverride(findDirective(directives, 'override'));
      if (from !== undefined) taken.push([`${type}.${name.value}`, from]);
    }
  }
  return { fields: [...fields], taken };
}

/** Directives of a specification may stand under its name: `@federation__external`. */
function findDirective(directives: readonly ConstDirectiveNode[] | undefined, name: string) {
  return directives?.find(({ name: { value } }) => value === name || value.endsWith(`__${name}`));
}

/** With a `label` both services resolve it, each for a share of requests. */
function readOverride(directive: ConstDirectiveNode | undefined): string | undefined {
  if (directive?.arguments?.some(({ name }) => name.value === 'label') === true) return undefined;
  const from = directive?.arguments?.find(({ name }) => name.value === 'from')?.value;
  return from?.kind === Kind.STRING ? from.value : undefined;
}
