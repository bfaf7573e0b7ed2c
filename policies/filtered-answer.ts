/** The answer of an operation without the fields that a viewer may not read: nulls in their places, and errors. */
import {
  type DocumentNode,
  type ExecutionResult,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLOutputType,
  type GraphQLSchema,
  type GraphQLType,
  getNamedType,
  isAbstractType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { toGraphQLError } from './errors.ts';
import { isComposite } from './field-selections.ts';
import type { Denial, FilteredOperation } from './filtered-operation.ts';

/** Errors that one answer lists for fields that were left out: a list may have a million items. */
const maxErrors = 100;

type Result = ExecutionResult | AsyncIterable<unknown>;

/** The answer as the client asked for it: with null for what was left out, as far up as types do not allow it, and errors. */
export function restoreDenied(
  result: Result,
  { original, prefix }: FilteredOperation,
  denials: readonly Denial[],
  schema: GraphQLSchema,
  requestId: string,
): ExecutionResult {
  const { data, errors = [], extensions } = result as ExecutionResult;
  const rest = extensions === undefined ? {} : { extensions };
  if (data === null || data === undefined) return result as ExecutionResult;
  const restoration = new Restoration(original, prefix, denials, schema, requestId);
  const restored = restoration.restore(readData(data));
  const all = [...errors, ...restoration.errors];
  return { data: restored as ExecutionResult['data'] & {}, ...(all.length > 0 && { errors: all }), ...rest };
}

/** Some engines give JSON that pretends to be an object. */
function readData(data: object): unknown {
  return 'toJSON' in data && typeof data.toJSON === 'function' ? data.toJSON() : data;
}

/** What is selected at one place of the answer, by response key, out of all fragments that may hold there. */
type Selected = ReadonlyMap<string, readonly FieldNode[]>;

/** In place of a value that must not be null and is. */
const missing = Symbol('missing');

class Restoration {
  readonly errors: GraphQLError[] = [];
  readonly #prefix: string;
  readonly #schema: GraphQLSchema;
  readonly #requestId: string;
  readonly #operation: OperationDefinitionNode | undefined;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  readonly #denials: ReadonlyMap<FieldNode, Denial>;
  readonly #types = new Map<FieldNode, GraphQLOutputType>();
  /** By the fields whose selections they are: one for all items of a list. */
  readonly #selected = new WeakMap<readonly FieldNode[], Selected>();

  constructor(
    document: DocumentNode,
    prefix: string,
    denials: readonly Denial[],
    schema: GraphQLSchema,
    requestId: string,
  ) {
    this.#prefix = prefix;
    this.#schema = schema;
    this.#requestId = requestId;
    this.#denials = new Map(denials.map((denial) => [denial.node, denial]));
    this.#operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  restore(data: unknown): unknown {
    if (this.#operation === undefined) return data;
    const selected = this.#collect([this.#operation.selectionSet]);
    return this.#restoreObject(data as Record<string, unknown>, selected, []);
  }

  #restoreObject(object: Record<string, unknown>, selected: Selected, path: Path): unknown {
    const restored = Object.create(null) as Record<string, unknown>;
    const denied = new Set<string>();
    for (const [key, value] of Object.entries(object)) {
      if (key.startsWith(this.#prefix)) {
        const own = key.slice(this.#prefix.length);
        const denial = this.#findDenial(selected.get(own) ?? [], value);
        if (denial !== undefined) this.#note(denial, [...path, own]);
        if (denial === undefined || isNonNullType(denial.field.type)) return null;
        denied.add(own);
        restored[own] = null;
      } else if (!denied.has(key)) {
        // Who may not have it by one of two ways to the same name does not have it by the other.
        if (Object.hasOwn(object, `${this.#prefix}${key}`)) {
          restored[key] = null;
          continue;
        }
        const nodes = selected.get(key) ?? [];
        const inner = this.#restoreValue(value, nodes, [...path, key]);
        if (inner === missing) return null;
        restored[key] = inner;
      }
    }
    return restored;
  }

  /** The shape of a value says what is a list; whether it may be null, the types of its fields, which agree on that. */
  #restoreValue(value: unknown, nodes: readonly FieldNode[], path: Path): unknown {
    if (typeof value !== 'object' || value === null || nodes.every(({ selectionSet }) => selectionSet === undefined)) {
      return value;
    }
    return this.#restoreTyped(value, this.#typeOf(nodes), nodes, path);
  }

  #restoreTyped(value: unknown, type: GraphQLType | null, nodes: readonly FieldNode[], path: Path): unknown {
    if (isNonNullType(type)) return this.#restoreTyped(value, type.ofType, nodes, path) ?? missing;
    if (Array.isArray(value)) {
      const items: unknown[] = [];
      for (const [index, item] of value.entries()) {
        const restored = this.#restoreTyped(item, isListType(type) ? type.ofType : null, nodes, [...path, index]);
        // The list is null now; more errors in it would say nothing.
        if (restored === missing) return null;
        items.push(restored);
      }
      return items;
    }
    if (typeof value !== 'object' || value === null) return value;
    return this.#restoreObject(value as Record<string, unknown>, this.#collectOnce(nodes), path);
  }

  #note({ refusal, node }: Denial, path: Path): void {
    if (this.errors.length >= maxErrors) return;
    const { message, extensions, originalError } = toGraphQLError(refusal, this.#requestId);
    this.errors.push(
      new GraphQLError(message, { nodes: node, path, extensions, originalError: originalError ?? null }),
    );
  }

  /** Of fields of one name under several types, that of the object's own. */
  #findDenial(nodes: readonly FieldNode[], typeName: unknown): Denial | undefined {
    const type = this.#schema.getType(String(typeName));
    const candidates = nodes.flatMap((node) => this.#denials.get(node) ?? []);
    const own = candidates.find(
      ({ parent }) =>
        parent === type || (isAbstractType(parent) && isObjectType(type) && this.#schema.isSubType(parent, type)),
    );
    return own ?? candidates[0];
  }

  #typeOf(nodes: readonly FieldNode[]): GraphQLOutputType | null {
    return nodes.flatMap((node) => this.#types.get(node) ?? [])[0] ?? null;
  }

  #collectOnce(nodes: readonly FieldNode[]): Selected {
    let selected = this.#selected.get(nodes);
    if (selected === undefined) {
      const open = nodes.filter((node) => !this.#denials.has(node));
      selected = this.#collect(
        open.flatMap(({ selectionSet }) => selectionSet ?? []),
        open,
      );
      this.#selected.set(nodes, selected);
    }
    return selected;
  }

  #collect(sets: readonly SelectionSetNode[], parents: readonly FieldNode[] = []): Selected {
    const selected = new Map<string, FieldNode[]>();
    const seen = new Set<string>();
    const root = this.#operation === undefined ? null : this.#schema.getRootType(this.#operation.operation);
    sets.forEach((set, index) => {
      const parent = parents[index];
      const type = parent === undefined ? root : this.#types.get(parent);
      this.#collectFrom(set, type == null ? undefined : getNamedType(type).name, selected, seen);
    });
    return selected;
  }

  #collectFrom(
    { selections }: SelectionSetNode,
    typeName: string | undefined,
    selected: Map<string, FieldNode[]>,
    seen: Set<string>,
  ): void {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) {
        const key = (selection.alias ?? selection.name).value;
        selected.set(key, [...(selected.get(key) ?? []), selection]);
        const type = typeName === undefined ? undefined : this.#schema.getType(typeName);
        const field = isComposite(type) ? type.getFields()[selection.name.value] : undefined;
        if (field !== undefined) this.#types.set(selection, field.type);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        this.#collectFrom(selection.selectionSet, selection.typeCondition?.name.value ?? typeName, selected, seen);
      } else {
        const fragment = this.#fragments.get(selection.name.value);
        if (fragment === undefined || seen.has(selection.name.value)) continue;
        seen.add(selection.name.value);
        this.#collectFrom(fragment.selectionSet, fragment.typeCondition.name.value, selected, seen);
      }
    }
  }
}

type Path = readonly (string | number)[];
