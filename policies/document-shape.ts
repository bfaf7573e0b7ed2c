/**
 * The shape of an operation: how deep it is, and how many aliases, root fields and directives it has when its fragments
 * stand where they are used. Needs no schema, so that it is known before validation, which takes more time.
 */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { maxCount } from './query-limits.ts';

export interface OperationShape {
  /** Levels of fields; those below introspection fields are not among them. */
  readonly depth: number;
  readonly introspectionDepth: number;
  readonly aliases: number;
  readonly rootFields: number;
  readonly directives: number;
  /** Of the whole document. */
  readonly tokens: number;
}

export type MeasureShape = (document: DocumentNode, operationName?: string | null) => OperationShape;

/**
 * Creates the measure of one generation. Documents come from the parser's cache, so that the same one is the same object:
 * each is looked at once, whoever asks it. What is remembered are numbers; whether they are too many is the viewer's affair.
 */
export function createShapeMeasure(onVisit: () => void = () => {}): MeasureShape {
  const known = new WeakMap<DocumentNode, ReadonlyMap<string, OperationShape>>();
  return (document, operationName) => {
    let shapes = known.get(document);
    if (shapes === undefined) {
      shapes = measureDocument(document, onVisit);
      known.set(document, shapes);
    }
    const [first] = shapes.values();
    const asked = operationName == null ? undefined : shapes.get(operationName);
    if (asked !== undefined) return asked;
    // Which of several it will be is not said: then nothing will be executed, and validation looks at all of them.
    return shapes.size === 1 && first !== undefined ? first : joinLargest([...shapes.values()], document);
  };
}

interface Part {
  readonly depth: number;
  readonly introspectionDepth: number;
  readonly aliases: number;
  readonly directives: number;
  /** Fields at its top. */
  readonly fields: number;
}

const nothing: Part = { depth: 0, introspectionDepth: 0, aliases: 0, directives: 0, fields: 0 };

function measureDocument(document: DocumentNode, onVisit: () => void): ReadonlyMap<string, OperationShape> {
  const walk = new ShapeWalk(document, onVisit);
  const shapes = new Map<string, OperationShape>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) {
      shapes.set(definition.name?.value ?? '', walk.measure(definition, readTokenCount(document)));
    }
  }
  return shapes;
}

/** The parser counts them; the property is not in graphql's types. */
function readTokenCount(document: DocumentNode): number {
  const { tokenCount } = document as { tokenCount?: unknown };
  return typeof tokenCount === 'number' ? tokenCount : 0;
}

function joinLargest(shapes: readonly OperationShape[], document: DocumentNode): OperationShape {
  const most = (name: keyof OperationShape) => shapes.reduce((max, shape) => Math.max(max, shape[name]), 0);
  return {
    depth: most('depth'),
    introspectionDepth: most('introspectionDepth'),
    aliases: most('aliases'),
    rootFields: most('rootFields'),
    directives: most('directives'),
    tokens: readTokenCount(document),
  };
}

/** Looks at every node once, however often its fragment is used. */
class ShapeWalk {
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** Undefined for one that is being measured: a circle, which validation refuses. */
  readonly #measured = new Map<string, Part | undefined>();
  readonly #onVisit: () => void;

  constructor(document: DocumentNode, onVisit: () => void) {
    this.#onVisit = onVisit;
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  measure(operation: OperationDefinitionNode, tokens: number): OperationShape {
    const { fields, directives, ...part } = this.#ofSelections(operation.selectionSet);
    const own = (operation.directives?.length ?? 0) + this.#ofVariables(operation);
    return { ...part, directives: add(directives, own), rootFields: fields, tokens };
  }

  #ofVariables({ variableDefinitions = [] }: OperationDefinitionNode): number {
    return variableDefinitions.reduce((sum, { directives = [] }) => sum + directives.length, 0);
  }

  #ofSelections({ selections }: SelectionSetNode): Part {
    let { depth, introspectionDepth, aliases, directives, fields } = nothing;
    for (const selection of selections) {
      this.#onVisit();
      const part = this.#ofSelection(selection);
      depth = Math.max(depth, part.depth);
      introspectionDepth = Math.max(introspectionDepth, part.introspectionDepth);
      aliases = add(aliases, part.aliases);
      directives = add(directives, part.directives + (selection.directives?.length ?? 0));
      fields = add(fields, part.fields);
    }
    return { depth, introspectionDepth, aliases, directives, fields };
  }

  #ofSelection(selection: SelectionNode): Part {
    if (selection.kind === Kind.FRAGMENT_SPREAD) return this.#ofFragment(selection.name.value);
    if (selection.kind === Kind.INLINE_FRAGMENT) return this.#ofSelections(selection.selectionSet);
    const below = selection.selectionSet === undefined ? nothing : this.#ofSelections(selection.selectionSet);
    const aliases = add(below.aliases, selection.alias === undefined ? 0 : 1);
    const levels = { depth: below.depth + 1, introspectionDepth: below.introspectionDepth };
    const name = selection.name.value;
    if (name === '__schema' || name === '__type') {
      // Introspection is known to be nested deeper than what people write, and asks no service.
      levels.introspectionDepth = below.depth;
      levels.depth = 1;
    }
    return { ...levels, aliases, directives: below.directives, fields: 1 };
  }

  #ofFragment(name: string): Part {
    if (this.#measured.has(name)) return this.#measured.get(name) ?? nothing;
    const fragment = this.#fragments.get(name);
    if (fragment === undefined) return nothing;
    this.#measured.set(name, undefined);
    const part = this.#ofSelections(fragment.selectionSet);
    const measured = { ...part, directives: add(part.directives, fragment.directives?.length ?? 0) };
    this.#measured.set(name, measured);
    return measured;
  }
}

function add(a: number, b: number): number {
  return Math.min(a + b, maxCount);
}
