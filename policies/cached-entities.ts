/** What a GraphQL answer is made of, as tags: by them a mutation or an administrator drops it. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** Of every answer that holds an object of the type. */
export function typeTag(type: string): string {
  return `type ${type}`;
}

/** Of every answer that asked for the root field, e.g. `Query.products`. */
export function fieldTag(coordinate: string): string {
  return `field ${coordinate}`;
}

/** Of answers that hold objects of the type whose ids are not known. */
function unknownTag(type: string): string {
  return `entity ${type}`;
}

function knownTag(type: string, id: string): string {
  return `entity ${type} ${id}`;
}

/** What drops an object: answers that hold it, and those that may. */
export function entityTags(type: string, id: string): string[] {
  return [knownTag(type, id), unknownTag(type)];
}

export interface EntityReading {
  readonly schema: GraphQLSchema;
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** Fields whose value tells objects of one type apart, the first that is selected counts. */
  readonly idFields: readonly string[];
}

/** Objects in an answer: by type, their ids; null where one of them has none that is known. */
export type Entities = ReadonlyMap<string, ReadonlySet<string | null>>;

/** Most ids of one type that an answer is found by; with more it is found by its type. */
const maxIds = 200;

/** The objects in the data of an answer. Of an abstract type without `__typename`, every type is taken that it may be. */
export function readEntities(reading: EntityReading, data: unknown): Entities {
  const { schema, operation } = reading;
  const root = schema.getRootType(operation.operation);
  const reader = new EntityReader(reading);
  if (root) reader.readFields(root, [operation.selectionSet], data as Record<string, unknown>, true);
  return reader.found;
}

/** The tags of an answer that is kept. */
export function tagsOfAnswer(entities: Entities): string[] {
  return [...entities].flatMap(([type, ids]) => {
    const known = [...ids].filter((id) => id !== null);
    const counted = known.length > maxIds ? [unknownTag(type)] : known.map((id) => knownTag(type, id));
    return [typeTag(type), ...counted, ...(ids.has(null) && known.length <= maxIds ? [unknownTag(type)] : [])];
  });
}

/** What the answer of a mutation makes untrue: the objects in it; of those without an id, all of their type. */
export function tagsOfChange(entities: Entities): string[] {
  return [...entities].flatMap(([type, ids]) =>
    ids.has(null) ? [typeTag(type)] : [...ids].flatMap((id) => (id === null ? [] : entityTags(type, id))),
  );
}

class EntityReader {
  readonly found = new Map<string, Set<string | null>>();
  readonly #schema: GraphQLSchema;
  readonly #idFields: readonly string[];
  readonly #fragments = new Map<string, FragmentDefinitionNode>();

  constructor({ schema, document, idFields }: EntityReading) {
    this.#schema = schema;
    this.#idFields = idFields;
    for (const definition of document.definitions)
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
  }

  readFields(
    type: GraphQLCompositeType,
    selections: readonly SelectionSetNode[],
    value: Record<string, unknown>,
    isRoot = false,
  ): void {
    const fields = new Map<string, { name: string; sets: SelectionSetNode[]; parent: GraphQLCompositeType }>();
    const collect = (parent: GraphQLCompositeType, { selections: nodes }: SelectionSetNode): void => {
      for (const node of nodes) {
        if (node.kind === Kind.FIELD) {
          const key = node.alias?.value ?? node.name.value;
          const known = fields.get(key) ?? { name: node.name.value, sets: [], parent };
          if (node.selectionSet !== undefined) known.sets.push(node.selectionSet);
          fields.set(key, known);
          continue;
        }
        const fragment = node.kind === Kind.FRAGMENT_SPREAD ? this.#fragments.get(node.name.value) : node;
        if (fragment === undefined) continue;
        const condition = fragment.typeCondition?.name.value;
        const narrowed = condition === undefined ? parent : this.#schema.getType(condition);
        if (isCompositeType(narrowed)) collect(narrowed, fragment.selectionSet);
      }
    };
    for (const selection of selections) collect(type, selection);
    if (!isRoot) this.#note(type, fields, value);
    for (const [key, { name, sets, parent }] of fields) {
      const inner = value[key];
      if (sets.length === 0 || inner === null || inner === undefined || !('getFields' in parent)) continue;
      const returned = getNamedType(parent.getFields()[name]?.type);
      if (isCompositeType(returned)) this.#readValue(returned, sets, inner);
    }
  }

  #readValue(type: GraphQLCompositeType, sets: readonly SelectionSetNode[], value: unknown): void {
    if (Array.isArray(value)) for (const item of value) this.#readValue(type, sets, item);
    else if (typeof value === 'object' && value !== null) this.readFields(type, sets, value as Record<string, unknown>);
  }

  #note(
    type: GraphQLCompositeType,
    fields: ReadonlyMap<string, { readonly name: string }>,
    value: Readonly<Record<string, unknown>>,
  ): void {
    const read = (name: string): unknown => {
      for (const [key, field] of fields) if (field.name === name && value[key] != null) return value[key];
      return undefined;
    };
    const id = this.#idFields.map(read).find((one) => typeof one === 'string' || typeof one === 'number');
    const named = read('__typename');
    const types =
      isObjectType(type) || typeof named !== 'string'
        ? (isAbstractType(type) ? this.#schema.getPossibleTypes(type) : [type]).map(({ name }) => name)
        : [named];
    for (const name of types) {
      const ids = this.found.get(name) ?? new Set();
      ids.add(id === undefined ? null : String(id));
      this.found.set(name, ids);
    }
  }
}
