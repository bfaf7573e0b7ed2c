/** Random operations that are valid against a schema. */
import {
  type ArgumentNode,
  type DirectiveNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isInterfaceType,
  isLeafType,
  isRequiredArgument,
  isUnionType,
  Kind,
  OperationTypeNode,
  parse,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { repairDocument } from './document-repair.ts';
import type { Operation } from './operation.ts';
import type { Random } from './random.ts';
import { createValueGenerator, nameNode, type ValueGenerator } from './value-generator.ts';

export interface OperationOptions {
  readonly schema: GraphQLSchema;
  readonly random: Random;
  /** Strings and ids that mean something to the services. */
  readonly texts?: readonly string[];
  /** @default ones that meet, and some that engines stumble over */
  readonly aliases?: readonly string[];
}

interface Draft {
  readonly schema: GraphQLSchema;
  readonly random: Random;
  readonly values: ValueGenerator;
  readonly pickAlias: () => string;
  readonly fragments: FragmentDefinitionNode[];
  fieldsLeft: number;
}

const introspections = [
  '__schema { queryType { name fields { name args { name defaultValue } } } }',
  '__schema { __typename mutationType { kind } }',
  '__type(name: "Query") { fields { name type { kind ofType { name } } } }',
  'meta: __type(name: "Nothing") { name }',
];

/** An operation of some tens of fields, with values for its variables. */
export function generateOperation({ schema, random, texts = [], aliases }: OperationOptions): Operation {
  const values = createValueGenerator(random, texts);
  const chooseAlias = (): string => (aliases === undefined ? pickAlias(random) : random.pick(aliases));
  const draft: Draft = {
    schema,
    random,
    values,
    pickAlias: chooseAlias,
    fragments: [],
    fieldsLeft: random.pick([4, 12, 40]),
  };
  const mutation = schema.getMutationType();
  const isMutation = mutation != null && random.chance(0.15);
  const root = isMutation ? mutation : schema.getQueryType();
  if (root == null) throw new Error('the schema has no query type');
  const selections = buildRootSelections(draft, root, isMutation);
  const name = random.chance(0.5) ? 'Main' : undefined;
  const document = repairDocument(schema, {
    kind: Kind.DOCUMENT,
    definitions: [
      {
        kind: Kind.OPERATION_DEFINITION,
        operation: isMutation ? OperationTypeNode.MUTATION : OperationTypeNode.QUERY,
        ...(name !== undefined && { name: nameNode(name) }),
        variableDefinitions: values.listDefinitions(),
        selectionSet: { kind: Kind.SELECTION_SET, selections },
      },
      ...draft.fragments,
      ...(name !== undefined && random.chance(0.2)
        ? parse('query Other { __typename }', { noLocation: true }).definitions
        : []),
    ],
  });
  return { document, variables: values.variables, operationName: name };
}

function buildRootSelections(draft: Draft, root: GraphQLObjectType, isMutation: boolean): SelectionNode[] {
  const { random } = draft;
  const selections: SelectionNode[] = [];
  for (let count = 1 + random.integer(4), index = 0; index < count; index++) {
    selections.push(...buildSelectionSet(draft, root, 0).selections);
  }
  if (!isMutation && random.chance(0.08)) selections.push(...parseSelections(random.pick(introspections)));
  return selections;
}

function parseSelections(text: string): readonly SelectionNode[] {
  const [definition] = parse(`{ ${text} }`, { noLocation: true }).definitions;
  return definition?.kind === Kind.OPERATION_DEFINITION ? definition.selectionSet.selections : [];
}

const deepest = 6;

function buildSelectionSet(draft: Draft, type: GraphQLCompositeType, depth: number): SelectionSetNode {
  const { random } = draft;
  const selections: SelectionNode[] = [];
  const count = depth === 0 ? 1 : 1 + random.integer(4);
  for (let index = 0; index < count; index++) {
    const selection = buildSelection(draft, type, depth);
    if (selection !== null) selections.push(selection);
  }
  if (selections.length === 0) selections.push({ kind: Kind.FIELD, name: nameNode('__typename') });
  return { kind: Kind.SELECTION_SET, selections };
}

function buildSelection(draft: Draft, type: GraphQLCompositeType, depth: number): SelectionNode | null {
  const { random } = draft;
  const roll = random.next();
  if (depth < deepest) {
    if (roll < (isAbstractType(type) ? 0.5 : 0.1)) return buildInlineFragment(draft, type, depth);
    if (roll < (isAbstractType(type) ? 0.6 : 0.16)) return buildSpread(draft, type, depth);
  }
  if (roll > 0.95) {
    const alias = random.chance(0.4) ? { alias: nameNode(draft.pickAlias()) } : {};
    return { kind: Kind.FIELD, name: nameNode('__typename'), ...alias, directives: buildDirectives(draft) };
  }
  return buildField(draft, type, depth);
}

function buildField(draft: Draft, type: GraphQLCompositeType, depth: number): FieldNode | null {
  const { random, values } = draft;
  if (isUnionType(type)) return { kind: Kind.FIELD, name: nameNode('__typename') };
  const all = Object.values(type.getFields());
  const isBelow = (field: GraphQLField<unknown, unknown>): boolean => !isLeafType(getNamedType(field.type));
  const fields = depth >= deepest || draft.fieldsLeft <= 0 ? all.filter((field) => !isBelow(field)) : all;
  if (fields.length === 0) return null;
  // Leaves end a branch: without a preference for what goes on, operations would be shallow.
  const candidates = random.sample(fields, 2);
  const field = depth < 3 ? (candidates.find(isBelow) ?? random.pick(candidates)) : random.pick(candidates);
  draft.fieldsLeft -= 1;
  const given = field.args.filter((argument) => isRequiredArgument(argument) || random.chance(0.6));
  const inner = getNamedType(field.type);
  return {
    kind: Kind.FIELD,
    name: nameNode(field.name),
    ...(random.chance(0.2) && { alias: nameNode(draft.pickAlias()) }),
    arguments: given.map(
      ({ name, type: argumentType, defaultValue }): ArgumentNode => ({
        kind: Kind.ARGUMENT,
        name: nameNode(name),
        value: values.buildValue(argumentType, defaultValue !== undefined),
      }),
    ),
    directives: buildDirectives(draft),
    ...(isCompositeType(inner) && { selectionSet: buildSelectionSet(draft, inner, depth + 1) }),
  };
}

/**
 * Few, so that they meet and have to be merged or told apart. `then` is seldom, because stitching takes every object that
 * has it for a promise; and names of fields are, because neither engine can look up an entity whose key is hidden so.
 */
function pickAlias(random: Random): string {
  if (random.chance(0.02)) return 'then';
  return random.chance(0.15) ? random.pick(['name', 'id', 'size', 'owner']) : random.pick(['a', 'b', 'c', '_x1']);
}

function buildInlineFragment(draft: Draft, type: GraphQLCompositeType, depth: number): SelectionNode {
  const { random } = draft;
  const target = random.chance(0.15) ? type : pickOverlapping(draft, type);
  return {
    kind: Kind.INLINE_FRAGMENT,
    ...(target === type && random.chance(0.5)
      ? {}
      : { typeCondition: { kind: Kind.NAMED_TYPE, name: nameNode(target.name) } }),
    directives: buildDirectives(draft),
    selectionSet: buildSelectionSet(draft, target, depth + 1),
  };
}

function buildSpread(draft: Draft, type: GraphQLCompositeType, depth: number): SelectionNode {
  const { random, schema, fragments } = draft;
  const known = fragments.filter(({ typeCondition }) =>
    overlaps(schema, type, schema.getType(typeCondition.name.value)),
  );
  if (known.length > 0 && random.chance(0.5)) {
    return { kind: Kind.FRAGMENT_SPREAD, name: random.pick(known).name, directives: buildDirectives(draft) };
  }
  const target = random.chance(0.6) ? type : pickOverlapping(draft, type);
  // Built before it is known to others: no fragment comes to contain itself.
  const selectionSet = buildSelectionSet(draft, target, depth + 1);
  const name = nameNode(`F${fragments.length}`);
  fragments.push({
    kind: Kind.FRAGMENT_DEFINITION,
    name,
    typeCondition: { kind: Kind.NAMED_TYPE, name: nameNode(target.name) },
    selectionSet,
  });
  return { kind: Kind.FRAGMENT_SPREAD, name, directives: buildDirectives(draft) };
}

function pickOverlapping({ schema, random }: Draft, type: GraphQLCompositeType): GraphQLCompositeType {
  const types = Object.values(schema.getTypeMap()).filter(
    (candidate): candidate is GraphQLCompositeType =>
      isCompositeType(candidate) && !candidate.name.startsWith('__') && overlaps(schema, type, candidate),
  );
  const interfaces = types.filter((candidate) => isInterfaceType(candidate));
  return interfaces.length > 0 && random.chance(0.2) ? random.pick(interfaces) : random.pick(types);
}

function overlaps(schema: GraphQLSchema, type: GraphQLCompositeType, other: GraphQLNamedType | undefined): boolean {
  const expand = (one: GraphQLCompositeType) => (isAbstractType(one) ? schema.getPossibleTypes(one) : [one]);
  return isCompositeType(other) && expand(other).some((candidate) => expand(type).includes(candidate));
}

function buildDirectives({ random, values }: Draft): DirectiveNode[] {
  if (random.chance(0.85)) return [];
  const directive = (name: string): DirectiveNode => ({
    kind: Kind.DIRECTIVE,
    name: nameNode(name),
    arguments: [{ kind: Kind.ARGUMENT, name: nameNode('if'), value: values.buildCondition(name === 'include') }],
  });
  const name = random.pick(['skip', 'include']);
  return random.chance(0.15) ? [directive('skip'), directive('include')] : [directive(name)];
}
