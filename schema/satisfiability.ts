/**
 * Whether every field can be reached from everywhere: a quick test for large graphs. The check of the composing library
 * looks at every path of the graph, and its time grows with the fourth power of the number of subgraphs that share a
 * type: 5 s for 80, 27 s for 120, minutes for 200. This one grows with the square.
 *
 * It is sufficient and not necessary: it asks that an object has all its fields wherever it comes from, and does not
 * look at `@provides`. What it says no to, the library decides.
 */
import { GraphQLError, Kind, parse, type SelectionSetNode } from 'graphql';
import type { SubgraphType, SubgraphTypes } from './subgraph-types.ts';
import { readNamedType } from './type-references.ts';

export interface NamedSubgraph {
  readonly name: string;
  readonly types: SubgraphTypes;
}

/** A type as one subgraph has it. */
interface Place {
  readonly subgraph: NamedSubgraph;
  readonly type: SubgraphType;
  readonly keys: readonly SelectionSetNode[];
  /** Fields that the subgraph resolves without anything else. */
  readonly own: readonly string[];
  /** Fields that it resolves when it is given what they require. */
  readonly requiring: ReadonlyMap<string, SelectionSetNode>;
  /** What is known to be there for an object that comes from here. Grows until nothing is found any more. */
  readonly known: Set<string>;
  /** Names of the subgraphs that the object has been looked up in. */
  readonly visited: Set<string>;
}

/** By type, and within it by the name of the subgraph. */
type Places = ReadonlyMap<string, ReadonlyMap<string, Place>>;

const rootTypes = new Set(['Query', 'Mutation', 'Subscription']);

/** Fields that an object may not have for a client, depending on where it comes from. */
export interface LostFields {
  readonly service: string;
  readonly type: string;
  readonly fields: readonly string[];
}

/**
 * Empty when no operation can ask for what no subgraph can be asked for. Else what is not plain to see, and undefined
 * for graphs with directives whose rules are not known here.
 */
export function findLostFields(subgraphs: readonly NamedSubgraph[]): readonly LostFields[] | undefined {
  try {
    return subgraphs.some(isBeyondThis) ? undefined : explore(subgraphs);
  } catch (error) {
    // A key or requirement that is no selection of fields: the library says so, with the place.
    if (error instanceof GraphQLError) return undefined;
    throw error;
  }
}

/**
 * Whether the library would block the process for more than some seconds. The one who looks an object up in all
 * subgraphs, from all subgraphs, for all of its fields is by far the most expensive.
 */
export function isCostlyToCheck(subgraphs: readonly NamedSubgraph[]): boolean {
  const costs = new Map<string, { places: number; fields: number }>();
  for (const { types } of subgraphs) {
    for (const { name, kind, fields } of types.types.values()) {
      if (kind !== 'object' || rootTypes.has(name)) continue;
      const cost = costs.get(name) ?? { places: 0, fields: 0 };
      costs.set(name, { places: cost.places + 1, fields: cost.fields + fields.size });
    }
  }
  return [...costs.values()].reduce((sum, { places, fields }) => sum + places ** 3 * fields, 0) > 1e8;
}

/** Counted once for each subgraph that has them. With so many the library takes half a second. */
const manyTypes = 300;

/** Whether a graph is worth a test of its own. */
export function isLarge(subgraphs: readonly NamedSubgraph[]): boolean {
  return subgraphs.reduce((sum, { types }) => sum + types.types.size, 0) > manyTypes;
}

function explore(subgraphs: readonly NamedSubgraph[]): LostFields[] {
  const places = findPlaces(subgraphs);
  for (let changed = true; changed; ) {
    changed = false;
    for (const of of places.values()) for (const place of of.values()) if (extend(place, of, places)) changed = true;
  }
  const given = new Set(subgraphs.flatMap((subgraph) => [...findGivenPlaces(subgraph, places)]));
  return [...places].flatMap(([type, of]) => {
    if (rootTypes.has(type)) return [];
    const all = new Set([...of.values()].flatMap(({ own, requiring }) => [...own, ...requiring.keys()]));
    return [...of.values()].flatMap((place) => {
      if (!given.has(place) || place.known.size === all.size) return [];
      return [{ service: place.subgraph.name, type, fields: [...all].filter((field) => !place.known.has(field)) }];
    });
  });
}

/** Directives whose rules are the library's business. */
function isBeyondThis({ types: { types, findDirective } }: NamedSubgraph): boolean {
  return [...types.values()].some(
    ({ directives, fields }) =>
      findDirective(directives, 'interfaceObject') !== undefined ||
      findDirective(directives, 'context') !== undefined ||
      [...fields.values()].some(
        (field) => readText(findDirective(field.directives, 'override'), 'label') !== undefined,
      ),
  );
}

function findPlaces(subgraphs: readonly NamedSubgraph[]): Map<string, Map<string, Place>> {
  const places = new Map<string, Map<string, Place>>();
  const overridden = findOverriddenFields(subgraphs);
  for (const subgraph of subgraphs) {
    for (const type of subgraph.types.types.values()) {
      if (type.kind !== 'object') continue;
      const of = places.get(type.name) ?? new Map<string, Place>();
      places.set(type.name, of.set(subgraph.name, buildPlace(subgraph, type, overridden)));
    }
  }
  return places;
}

/** Where objects come from: what the fields of a subgraph give, if it resolves them. */
function* findGivenPlaces(subgraph: NamedSubgraph, places: Places): Iterable<Place> {
  const names = new Set<string>();
  for (const { name, fields } of subgraph.types.types.values()) {
    const place = places.get(name)?.get(subgraph.name);
    for (const field of [...(place?.own ?? []), ...(place?.requiring.keys() ?? [])]) {
      const type = fields.get(field)?.type;
      if (type !== undefined) names.add(readNamedType(type));
    }
  }
  for (const name of names) yield* findPossiblePlaces(name, subgraph, places);
}

function findPossiblePlaces(typeName: string, { name, types: { types } }: NamedSubgraph, places: Places): Place[] {
  const type = types.get(typeName);
  const isMember = (other: SubgraphType) => other.interfaces.has(typeName) || type?.members.has(other.name) === true;
  const possible = type?.kind === 'object' ? [type] : [...types.values()].filter(isMember);
  return possible.flatMap((object) => places.get(object.name)?.get(name) ?? []);
}

/** As `subgraph Type.field`: what another subgraph has taken over. */
function findOverriddenFields(subgraphs: readonly NamedSubgraph[]): Set<string> {
  const overridden = new Set<string>();
  for (const { types } of subgraphs) {
    for (const type of types.types.values()) {
      for (const [name, field] of type.fields) {
        const from = readText(types.findDirective(field.directives, 'override'), 'from');
        if (from !== undefined) overridden.add(`${from} ${type.name}.${name}`);
      }
    }
  }
  return overridden;
}

function buildPlace(subgraph: NamedSubgraph, type: SubgraphType, overridden: ReadonlySet<string>): Place {
  const { findDirective } = subgraph.types;
  const keys = type.directives.filter((directive) => findDirective([directive], 'key') !== undefined);
  const keyFields = keys.map((key) => parseFields(readText(key, 'fields')));
  const isExtension = !type.isDefined || findDirective(type.directives, 'extends') !== undefined;
  const inKeys = new Set(
    keyFields.flatMap(({ selections }) =>
      selections.flatMap((node) => (node.kind === Kind.FIELD ? [node.name.value] : [])),
    ),
  );
  const own: string[] = [];
  const requiring = new Map<string, SelectionSetNode>();
  for (const [name, { directives }] of type.fields) {
    const isExternal = findDirective(directives, 'external') !== undefined && !(isExtension && inKeys.has(name));
    if (isExternal || overridden.has(`${subgraph.name} ${type.name}.${name}`)) continue;
    const requires = readText(findDirective(directives, 'requires'), 'fields');
    if (requires === undefined) own.push(name);
    else requiring.set(name, parseFields(requires));
  }
  const resolvable = keyFields.filter((_, index) => !isUnresolvable(keys[index]));
  return { subgraph, type, keys: resolvable, own, requiring, known: new Set(own), visited: new Set() };
}

/** Looks the object up wherever its keys are known by now. Says whether that gave anything. */
function extend(place: Place, of: ReadonlyMap<string, Place>, places: Places): boolean {
  const before = place.known.size + place.visited.size;
  for (const other of of.values()) {
    if (place.visited.has(other.subgraph.name) && other.requiring.size === 0) continue;
    if (!other.keys.some((key) => isKnown(key, place, of, places))) continue;
    place.visited.add(other.subgraph.name);
    for (const field of other.own) place.known.add(field);
    // From where the requirement stands, as planners do: what was passed on the way there does not count.
    for (const [field, fields] of other.requiring) {
      if (!place.known.has(field) && isKnown(fields, other, of, places)) place.known.add(field);
    }
  }
  return place.known.size + place.visited.size > before;
}

/** Whether a selection can be made for the objects that come from a place. */
function isKnown(
  { selections }: SelectionSetNode,
  place: Place,
  of: ReadonlyMap<string, Place>,
  places: Places,
): boolean {
  return selections.every((selection) => {
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const condition = selection.typeCondition?.name.value;
      if (condition !== undefined && !isPossible(place, condition)) return true;
      return isKnown(selection.selectionSet, place, of, places);
    }
    if (selection.kind !== Kind.FIELD) return false;
    const { name, selectionSet } = selection;
    if (name.value === '__typename') return true;
    if (!place.known.has(name.value)) return false;
    return selectionSet === undefined || isKnownBelow(name.value, selectionSet, place, of, places);
  });
}

function isKnownBelow(
  fieldName: string,
  selectionSet: SelectionSetNode,
  place: Place,
  of: ReadonlyMap<string, Place>,
  places: Places,
): boolean {
  return [place.subgraph.name, ...place.visited].some((subgraph) => {
    const source = of.get(subgraph);
    if (!source?.own.includes(fieldName) && !source?.requiring.has(fieldName)) return false;
    const field = source.type.fields.get(fieldName);
    if (field === undefined) return false;
    const possible = findPossiblePlaces(readNamedType(field.type), source.subgraph, places);
    const isKnownThere = (next: Place) => isKnown(selectionSet, next, places.get(next.type.name) ?? new Map(), places);
    return possible.length > 0 && possible.every(isKnownThere);
  });
}

function isPossible({ type, subgraph }: Place, as: string): boolean {
  return type.name === as || type.interfaces.has(as) || subgraph.types.types.get(as)?.members.has(type.name) === true;
}

type Directive = Parameters<SubgraphTypes['findDirective']>[0][number] | undefined;

function readText(directive: Directive, argument: string): string | undefined {
  const value = directive?.arguments?.find(({ name }) => name.value === argument)?.value;
  return value?.kind === Kind.STRING ? value.value : undefined;
}

function isUnresolvable(directive: Directive): boolean {
  const value = directive?.arguments?.find(({ name }) => name.value === 'resolvable')?.value;
  return value?.kind === Kind.BOOLEAN && !value.value;
}

function parseFields(fields = ''): SelectionSetNode {
  const [operation] = parse(`{${fields}}`, { noLocation: true }).definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION) throw new GraphQLError('No selection of fields');
  return operation.selectionSet;
}
