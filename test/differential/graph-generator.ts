/** Federated graphs out of a seed. Not every one composes: whoever asks for one tries the next seed. */
import {
  type ArgumentModel,
  type FieldModel,
  findNamedType,
  type GraphModel,
  type InterfaceModel,
  type ObjectModel,
  type UnionModel,
} from './graph-model.ts';
import { createRandom, type Random } from './random.ts';

const subgraphNames = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'];
/** Few, so that types have fields of the same name and another type: the hard part of merging selections. */
const fieldNames = [
  'name',
  'size',
  'price',
  'color',
  'rank',
  'note',
  'owner',
  'items',
  'parent',
  'peer',
  'state',
  'tag',
];
const scalars = ['String', 'Int', 'Float', 'Boolean', 'ID'];

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Draft {
  readonly random: Random;
  readonly subgraphs: readonly string[];
  readonly entities: ObjectModel[];
  readonly values: ObjectModel[];
  readonly interfaces: Writable<InterfaceModel>[];
  readonly unions: Writable<UnionModel>[];
  readonly enums: Record<string, readonly string[]>;
  /** By subgraph and type. */
  readonly provided: Map<string, FieldModel>;
}

/** The graph of a seed: 2 to 6 subgraphs, 5 to 20 types. */
export function generateGraph(seed: number): GraphModel {
  const random = createRandom(seed);
  const draft: Draft = {
    random,
    subgraphs: subgraphNames.slice(0, 2 + random.integer(5)),
    entities: [],
    values: [],
    interfaces: [],
    unions: [],
    enums: { Shade: ['DARK', 'LIGHT', 'PALE'], Phase: ['NEW', 'OLD'] },
    provided: new Map(),
  };
  for (let count = 2 + random.integer(9), index = 0; index < count; index++) addEntity(draft, `Thing${index}`);
  for (let count = 1 + random.integer(5), index = 0; index < count; index++) addValue(draft, `Part${index}`);
  for (let count = random.integer(3), index = 0; index < count; index++) addInterface(draft, index);
  for (let count = random.integer(3), index = 0; index < count; index++) addUnion(draft, index);
  for (const entity of [...draft.entities]) addFields(draft, entity);
  for (const entity of draft.entities) addRequirements(draft, entity);
  const roots = [buildRoot(draft, 'Query', 1 + random.integer(3))];
  if (random.chance(0.5)) roots.push(buildRoot(draft, 'Mutation', random.integer(2)));
  const objects = [...roots.filter(({ fields }) => fields.length > 0), ...draft.entities, ...draft.values];
  for (const type of objects) for (const field of type.fields) addProvision(draft, type, field);
  spreadReferences(draft, objects);
  return {
    seed,
    subgraphs: draft.subgraphs,
    objects,
    interfaces: draft.interfaces,
    unions: draft.unions,
    enums: draft.enums,
    shared: {
      Filter: 'input Filter { text: String = "any" limit: Int! = 3 shades: [Shade!] deeper: Filter }',
      Blob: 'scalar Blob',
    },
    errorsPerMille: random.pick([0, 0, 20, 60]),
  };
}

function addEntity({ random, subgraphs, entities }: Draft, name: string): void {
  const homes = random.sample(subgraphs, 1 + random.integer(Math.min(3, subgraphs.length)));
  const fields = [buildField('id', 'ID!', homes, { isKey: true })];
  const keys = ['id'];
  if (random.chance(0.4)) {
    const kind = random.pick(['single', 'compound', 'nested']);
    if (kind === 'single') fields.push(buildField('number', 'Int!', [], { isKey: true }));
    if (kind === 'compound') {
      fields.push(buildField('code', 'String!', [], { isKey: true }), buildField('zone', 'Int!', [], { isKey: true }));
    }
    if (kind === 'nested') fields.push(buildField('place', 'Place!', [], { isKey: true }));
    keys.push({ single: 'number', compound: 'code zone', nested: 'place { code zone }' }[kind] ?? 'id');
  }
  const entity: ObjectModel = { name, kind: 'entity', keys: [], subgraphs: [], fields };
  entities.push(entity);
  for (const [index, home] of homes.entries()) {
    const own = index === 0 ? keys : random.sample(keys, 1 + random.integer(keys.length));
    for (const key of own) addKey(entity, key, home, true);
  }
}

function addKey(entity: ObjectModel, key: string, subgraph: string, resolvable: boolean): void {
  if (entity.keys.some((known) => known.subgraph === subgraph && known.fields === key)) return;
  entity.keys.push({ fields: key, subgraph, resolvable });
  addOnce(entity.subgraphs, subgraph);
  const names = key
    .replace(/\{.*\}/, '')
    .trim()
    .split(/\s+/);
  for (const field of entity.fields) if (field.isKey && names.includes(field.name)) addOnce(field.subgraphs, subgraph);
}

function addValue(draft: Draft, name: string): void {
  const { random, values } = draft;
  const names = random.sample(fieldNames, 1 + random.integer(4));
  const inner = random.chance(0.3) ? values.at(-1)?.name : undefined;
  const entity = random.chance(0.25) ? random.pick(draft.entities).name : undefined;
  const fields = names.map((field, index) => {
    const named = (index === 0 ? inner : index === 1 ? entity : undefined) ?? pickLeaf(draft);
    return buildField(field, wrap(random, named), []);
  });
  values.push({ name, kind: 'value', keys: [], subgraphs: [], fields });
}

function addInterface(draft: Draft, index: number): void {
  const { random, entities, values } = draft;
  const homes = random.sample(draft.subgraphs, 1 + random.integer(2));
  const ofEntities = random.chance(0.7);
  const members = random.sample(ofEntities ? entities : values, 2 + random.integer(2));
  if (members.length < 2) return;
  const label = `label${index}`;
  for (const member of members) {
    for (const home of homes) join(draft, member, home);
    const owners = ofEntities ? (random.chance(0.5) ? homes : homes.slice(0, 1)) : [];
    member.fields.push(buildField(label, 'String', [...owners]));
    if (ofEntities) for (const home of homes) addKey(member, 'id', home, true);
  }
  const names = members.map(({ name }) => name);
  draft.interfaces.push({
    name: `Face${index}`,
    subgraphs: homes,
    members: names,
    fields: [...(ofEntities ? ['id'] : []), label],
  });
}

function addUnion(draft: Draft, index: number): void {
  const { random } = draft;
  const members = random.sample([...draft.entities, ...draft.values], 2 + random.integer(3));
  if (members.length < 2) return;
  const homes = random.sample(draft.subgraphs, 1 + random.integer(2));
  const lists = homes.map((home, position) => {
    const own = position === 0 ? members : random.sample(members, Math.max(1, members.length - random.integer(2)));
    for (const member of own) join(draft, member, home);
    return [home, own.map(({ name }) => name)] as const;
  });
  draft.unions.push({ name: `Any${index}`, members: Object.fromEntries(lists) });
}

/** Makes a type known to a subgraph. */
function join({ random }: Draft, type: ObjectModel, subgraph: string): void {
  if (type.subgraphs.includes(subgraph)) return;
  if (type.kind === 'value') addOnce(type.subgraphs, subgraph);
  else addKey(type, random.pick(type.keys).fields, subgraph, true);
}

function addFields(draft: Draft, entity: ObjectModel): void {
  const { random } = draft;
  for (const name of random.sample(fieldNames, 2 + random.integer(5))) {
    const shared = random.chance(0.2);
    const owners = shared ? random.sample(entity.subgraphs, 2) : [random.pick(entity.subgraphs)];
    entity.fields.push(buildOutputField(draft, name, owners));
  }
}

function buildOutputField(draft: Draft, name: string, owners: string[]): FieldModel {
  const { random } = draft;
  const named = pickOutputType(draft, owners);
  const field = buildField(name, wrap(random, named), owners, {
    arguments: random.chance(0.2) ? buildArguments(random) : [],
  });
  const abstract = findMembers(draft, named, owners[0] ?? '');
  const isLeaf = abstract === undefined && !named.startsWith('Thing') && !named.startsWith('Part');
  const stricter = owners.length > 1 && isLeaf && !field.type.endsWith('!') && random.chance(0.3);
  return {
    ...field,
    ...(abstract !== undefined && { members: abstract }),
    ...(stricter && { stricter: { subgraph: owners[0] ?? '', type: `${field.type}!` }, isSafe: true }),
    ...(isLeaf && random.chance(0.04) && { inaccessible: true }),
  };
}

function pickOutputType(draft: Draft, owners: readonly string[]): string {
  const { random } = draft;
  const roll = random.next();
  if (roll < 0.2) return random.pick(draft.entities).name;
  if (roll < 0.35) return random.pick(draft.values).name;
  const [owner] = owners;
  if (roll < 0.5 && owners.length === 1 && owner !== undefined) {
    const faces = draft.interfaces.filter(({ subgraphs }) => subgraphs.includes(owner));
    const unions = draft.unions.filter(({ members }) => members[owner] !== undefined);
    const names = [...faces, ...unions].map(({ name }) => name);
    if (names.length > 0) return random.pick(names);
  }
  return pickLeaf(draft);
}

function findMembers(draft: Draft, name: string, subgraph: string): readonly string[] | undefined {
  const face = draft.interfaces.find((candidate) => candidate.name === name);
  return face?.members ?? draft.unions.find((candidate) => candidate.name === name)?.members[subgraph];
}

function pickLeaf({ random, enums }: Draft): string {
  return random.chance(0.15) ? random.pick(Object.keys(enums)) : random.chance(0.05) ? 'Blob' : random.pick(scalars);
}

function wrap(random: Random, named: string): string {
  const roll = random.next();
  if (roll < 0.4) return named;
  if (roll < 0.6) return `${named}!`;
  if (roll < 0.97) return `[${named}${random.chance(0.6) ? '!' : ''}]${random.chance(0.3) ? '!' : ''}`;
  return `[[${named}!]]`;
}

function buildArguments(random: Random): ArgumentModel[] {
  const all: ArgumentModel[] = [
    { name: 'first', type: 'Int', defaultValue: '5' },
    { name: 'text', type: 'String' },
    { name: 'shade', type: 'Shade', defaultValue: 'PALE' },
    { name: 'ids', type: '[ID!]' },
    { name: 'filter', type: 'Filter' },
    { name: 'exact', type: 'Boolean!', defaultValue: 'false' },
    { name: 'must', type: 'Int!' },
  ];
  return random.sample(all, 1 + random.integer(2));
}

/** Fields that need others, which some other subgraph has. */
function addRequirements({ random }: Draft, entity: ObjectModel): void {
  for (const subgraph of entity.subgraphs) {
    if (!random.chance(0.25)) continue;
    // Chains of requirements are what the planner fails at most.
    const mayChain = random.chance(0.15);
    const foreign = entity.fields.filter(
      (field) =>
        !field.subgraphs.includes(subgraph) &&
        !field.isKey &&
        field.arguments.length === 0 &&
        isPlain(field) &&
        (mayChain || field.requires === undefined) &&
        field.stricter === undefined,
    );
    const needed = random.sample(foreign, 1 + random.integer(2));
    if (needed.length === 0) continue;
    for (const field of needed) {
      addOnce(field.external, subgraph);
      field.isSafe = true;
    }
    const requires = needed.map(({ name }) => name).join(' ');
    const type = random.pick(['String', 'Int', '[String!]', 'String!']);
    entity.fields.push({ ...buildField(`sum${subgraph}`, type, [subgraph]), requires });
  }
}

/** Whether the value is a scalar or a list of them. */
function isPlain({ type }: FieldModel): boolean {
  return scalars.includes(findNamedType(type));
}

/**
 * A subgraph provides one field of a type, wherever it provides any: planner 0.0.38 takes what one field provides for
 * provided by another that provides something else.
 */
function addProvision({ random, entities, provided }: Draft, parent: ObjectModel, field: FieldModel): void {
  const [owner] = field.subgraphs;
  const target = entities.find(({ name }) => name === findNamedType(field.type));
  if (target === undefined || owner === undefined || field.subgraphs.length > 1 || parent.kind === 'value') return;
  if (!random.chance(0.35)) return;
  const known = target.fields.filter(
    (candidate) =>
      !candidate.isKey &&
      !candidate.subgraphs.includes(owner) &&
      isPlain(candidate) &&
      candidate.requires === undefined &&
      candidate.stricter === undefined &&
      candidate.arguments.length === 0,
  );
  const place = `${owner} ${target.name}`;
  const chosen = provided.get(place) ?? random.sample(known, 1)[0];
  if (chosen === undefined) return;
  provided.set(place, chosen);
  addOnce(chosen.external, owner);
  Object.assign(field, { provides: chosen.name });
}

function buildRoot(draft: Draft, name: 'Query' | 'Mutation', most: number): ObjectModel {
  const { random } = draft;
  const fields = draft.subgraphs.flatMap((subgraph) =>
    Array.from({ length: most }, (_, index) => {
      const fieldName = name === 'Query' ? `${subgraph}${index}` : `set${subgraph}${index}`;
      const reachable = draft.entities.filter(({ subgraphs }) => subgraphs.includes(subgraph));
      const entity = random.chance(0.5) && reachable.length > 0 ? random.pick(reachable).name : undefined;
      const field = buildOutputField(draft, fieldName, [subgraph]);
      return entity === undefined
        ? field
        : { ...buildField(fieldName, wrap(random, entity), [subgraph]), arguments: field.arguments };
    }),
  );
  if (name === 'Query' && random.chance(0.3))
    fields.push(buildField('everywhere', 'String', random.sample(draft.subgraphs, 2)));
  return { name, kind: 'root', keys: [], subgraphs: [...draft.subgraphs], fields };
}

/** A subgraph that answers with a type must know it; what is a mere reference there need not be looked up there. */
function spreadReferences(draft: Draft, objects: ObjectModel[]): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const type of objects) {
      for (const field of type.fields) {
        const owners = type.kind === 'value' ? type.subgraphs : [...field.subgraphs, ...field.external];
        const target = objects.find((candidate) => candidate.name === findNamedType(field.type));
        for (const owner of target === undefined ? [] : owners) {
          if (target === undefined || target.subgraphs.includes(owner)) continue;
          join(draft, target, owner);
          changed = true;
        }
      }
    }
  }
  const places = draft.entities.filter(({ fields }) => fields.some(({ name }) => name === 'place'));
  const homes = new Set(
    places.flatMap((entity) => entity.fields.find(({ name }) => name === 'place')?.subgraphs ?? []),
  );
  if (homes.size > 0) {
    const fields = [
      buildField('code', 'String!', [], { isKey: true }),
      buildField('zone', 'Int!', [], { isKey: true }),
    ];
    objects.push({ name: 'Place', kind: 'value', keys: [], subgraphs: [...homes], fields });
  }
  for (const value of objects.filter(({ kind }) => kind === 'value')) {
    for (const field of value.fields) field.subgraphs.splice(0, field.subgraphs.length, ...value.subgraphs);
  }
  for (const entity of draft.entities) {
    for (const key of entity.keys) {
      const isReference = !entity.fields.some(({ isKey, subgraphs }) => !isKey && subgraphs.includes(key.subgraph));
      if (isReference && draft.random.chance(0.5)) key.resolvable = false;
    }
  }
}

function buildField(
  name: string,
  type: string,
  subgraphs: readonly string[],
  more: Partial<FieldModel> = {},
): FieldModel {
  return { name, type, arguments: [], subgraphs: [...subgraphs], external: [], isKey: false, isSafe: false, ...more };
}

function addOnce<T>(list: T[], item: T): void {
  if (!list.includes(item)) list.push(item);
}
