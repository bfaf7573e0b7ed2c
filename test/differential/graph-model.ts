/** A federated graph before it is SDL: what the generator makes, the world answers for and the shrinker cuts down. */
import { Kind, parse, parseType, type SelectionSetNode, type TypeNode } from 'graphql';

export interface ArgumentModel {
  readonly name: string;
  readonly type: string;
  readonly defaultValue?: string;
}

export interface FieldModel {
  readonly name: string;
  /** As SDL writes it: `[Item!]`. Where subgraphs differ in nullability, the looser one, as composition merges it. */
  readonly type: string;
  readonly arguments: readonly ArgumentModel[];
  /** Who resolves it. More than one: `@shareable`. */
  readonly subgraphs: string[];
  /** Who names it without resolving it, for `@requires` and `@provides`. */
  readonly external: string[];
  /** Whether the value says which object it is. */
  readonly isKey: boolean;
  readonly requires?: string;
  readonly provides?: string;
  /** Where subgraphs promise more than `type` does. */
  readonly stricter?: { readonly subgraph: string; readonly type: string };
  /** Object types that it can return, where its type is abstract. */
  readonly members?: readonly string[];
  readonly inaccessible?: boolean;
  /** Never an error: the answer would depend on who was asked, or name a field that the client did not. */
  isSafe: boolean;
}

export interface KeyModel {
  readonly fields: string;
  readonly subgraph: string;
  resolvable: boolean;
}

export interface ObjectModel {
  readonly name: string;
  readonly kind: 'root' | 'entity' | 'value';
  readonly keys: KeyModel[];
  readonly subgraphs: string[];
  readonly fields: FieldModel[];
}

export interface InterfaceModel {
  readonly name: string;
  readonly subgraphs: readonly string[];
  readonly members: readonly string[];
  /** The same for every member; a subgraph has those that it resolves for all. */
  readonly fields: readonly string[];
}

export interface UnionModel {
  readonly name: string;
  readonly members: Readonly<Record<string, readonly string[]>>;
}

export interface GraphModel {
  readonly seed: number;
  readonly subgraphs: readonly string[];
  readonly objects: readonly ObjectModel[];
  readonly interfaces: readonly InterfaceModel[];
  readonly unions: readonly UnionModel[];
  readonly enums: Readonly<Record<string, readonly string[]>>;
  /** Definitions that are the same wherever they are used: input types and scalars. */
  readonly shared: Readonly<Record<string, string>>;
  /** Parts of fields, out of a thousand, that fail. */
  readonly errorsPerMille: number;
}

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@external", "@requires", "@provides", "@shareable", "@inaccessible"])';

/** What one subgraph says of the graph. */
export function printSubgraph(model: GraphModel, subgraph: string): string {
  const parts = [
    ...model.interfaces
      .filter(({ subgraphs }) => subgraphs.includes(subgraph))
      .map((type) => printInterface(model, type, subgraph)),
    ...model.unions.flatMap(({ name, members }) =>
      members[subgraph] === undefined ? [] : [`union ${name} = ${members[subgraph].join(' | ')}`],
    ),
    ...model.objects
      .filter(({ subgraphs }) => subgraphs.includes(subgraph))
      .map((type) => printObject(model, type, subgraph)),
  ].filter((part) => part !== '');
  const text = parts.join('\n');
  const shared: string[] = [];
  const mentions = (name: string) => new RegExp(`\\b${name}\\b`).test([text, ...shared].join('\n'));
  for (const [name, definition] of Object.entries(model.shared)) if (mentions(name)) shared.push(definition);
  for (const [name, values] of Object.entries(model.enums)) {
    if (mentions(name)) shared.push(`enum ${name} { ${values.join(' ')} }`);
  }
  return [link, ...parts, ...shared].join('\n');
}

function printInterface(model: GraphModel, { name, members, fields }: InterfaceModel, subgraph: string): string {
  const [first] = members.map((member) => findObject(model, member));
  const lines = (first?.fields ?? [])
    .filter((field) => fields.includes(field.name) && isInterfaceField(model, members, field.name, subgraph))
    .map((field) => `  ${field.name}${printArguments(field)}: ${field.type}`);
  return lines.length === 0 ? '' : `interface ${name} {\n${lines.join('\n')}\n}`;
}

function isInterfaceField(model: GraphModel, members: readonly string[], name: string, subgraph: string): boolean {
  return members.every((member) => findField(model, member, name)?.subgraphs.includes(subgraph));
}

function printObject(model: GraphModel, type: ObjectModel, subgraph: string): string {
  const lines = type.fields.flatMap((field) => {
    const isOwn = field.subgraphs.includes(subgraph);
    if (!isOwn && !field.external.includes(subgraph)) return [];
    const written = field.stricter?.subgraph === subgraph ? field.stricter.type : field.type;
    // Fields of a key are shareable as they are.
    const isKeyHere = type.keys.some(
      (key) => key.subgraph === subgraph && key.fields.split(/\W+/).includes(field.name),
    );
    const shareable = field.subgraphs.length > 1 && type.kind !== 'value' && !isKeyHere;
    const directives = isOwn
      ? [
          shareable ? ' @shareable' : '',
          field.requires === undefined ? '' : ` @requires(fields: "${field.requires}")`,
          field.provides === undefined ? '' : ` @provides(fields: "${field.provides}")`,
          field.inaccessible === true ? ' @inaccessible' : '',
        ]
      : [' @external'];
    return [`  ${field.name}${printArguments(field)}: ${written}${directives.join('')}`];
  });
  if (lines.length === 0) return '';
  const interfaces = model.interfaces
    .filter(({ members, subgraphs, fields }) => {
      const names = fields.filter((name) => isInterfaceField(model, members, name, subgraph));
      return members.includes(type.name) && subgraphs.includes(subgraph) && names.length > 0;
    })
    .map(({ name }) => name);
  const keys = type.keys
    .filter((key) => key.subgraph === subgraph)
    .map(({ fields, resolvable }) => ` @key(fields: "${fields}"${resolvable ? '' : ', resolvable: false'})`);
  const head = `type ${type.name}${interfaces.length === 0 ? '' : ` implements ${interfaces.join(' & ')}`}`;
  return `${head}${keys.join('')}${type.kind === 'value' ? ' @shareable' : ''} {\n${lines.join('\n')}\n}`;
}

function printArguments(field: FieldModel): string {
  if (field.arguments.length === 0) return '';
  const list = field.arguments.map(
    ({ name, type, defaultValue }) => `${name}: ${type}${defaultValue === undefined ? '' : ` = ${defaultValue}`}`,
  );
  return `(${list.join(', ')})`;
}

/** The type by its name; throws when an object type is asked for that is not there. */
export function findObject(model: Pick<GraphModel, 'objects'>, name: string): ObjectModel {
  const type = model.objects.find((candidate) => candidate.name === name);
  if (type === undefined) throw new Error(`there is no object type ${name}`);
  return type;
}

/** The field of an object type, if there is one. */
export function findField(model: Pick<GraphModel, 'objects'>, type: string, name: string): FieldModel | undefined {
  return findObject(model, type).fields.find((field) => field.name === name);
}

/** The type's name without lists and exclamation marks. */
export function findNamedType(type: string): string {
  return type.replace(/[[\]!]/g, '');
}

/** The type as a tree. */
export function parseFieldType(type: string): TypeNode {
  return parseType(type, { noLocation: true });
}

/** The selection of a key, of `@requires` or of `@provides`. */
export function parseFieldSet(fields: string): SelectionSetNode {
  const [definition] = parse(`{ ${fields} }`, { noLocation: true }).definitions;
  if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error('not a selection of fields');
  return definition.selectionSet;
}
