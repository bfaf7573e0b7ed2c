/** Authorization of GraphQL fields: what each field asks of a viewer, and the Envelop plugin that enforces it. */
import type { OnExecuteEventPayload, Plugin } from '@envelop/core';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLInterfaceType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  getOperationAST,
  isInterfaceType,
  isObjectType,
  separateOperations,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { checkRequirement } from './authorize.ts';
import { createFieldValidation } from './field-validation.ts';
import type { GraphqlContext } from './request-context.ts';
import { mergeRequirements, type Requirement } from './requirement.ts';

type Composite = GraphQLObjectType | GraphQLInterfaceType;

const anyViewer: Requirement = { authenticated: true, scopes: [] };

export interface FieldAuthorizationOptions {
  /** By `Type.field`, with types and interfaces worked in: see {@link buildFieldRequirements}. */
  readonly requirements: ReadonlyMap<string, Requirement>;
  /** Whether every root field needs a viewer unless it is in `publicFields`. */
  readonly required: boolean;
  /** Root fields, as `Query.field`, that `required` leaves open. A requirement of their own holds all the same. */
  readonly publicFields: ReadonlySet<string>;
}

/**
 * Works types and interfaces into requirements as they are written, by `Type.field` or by `Type`. A field then asks for
 * what is written at itself, its type, and the type it returns; and as the same value can be read through the interface
 * and through the object, at each interface of its type, or at each type that implements its interface.
 *
 * Takes what was written, not a result of its own: from that, requirements would spread between the types that share an
 * interface. To join two results there is {@link mergeFieldRequirements}.
 */
export function buildFieldRequirements(
  schema: GraphQLSchema,
  own: ReadonlyMap<string, Requirement>,
): Map<string, Requirement> {
  const result = new Map<string, Requirement>();
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__') || !(isObjectType(type) || isInterfaceType(type))) continue;
    const kin = [type, ...type.getInterfaces(), ...implementationsOf(schema, type)];
    for (const field of Object.values(type.getFields())) {
      for (const requirement of kin.flatMap((relative) => writtenAt(own, relative, field.name))) {
        addRequirement(result, `${type.name}.${field.name}`, requirement);
      }
    }
  }
  return result;
}

/** Joins requirements by field: where both name a field, both must be met. */
export function mergeFieldRequirements(
  a: ReadonlyMap<string, Requirement>,
  b: ReadonlyMap<string, Requirement>,
): Map<string, Requirement> {
  const result = new Map(a);
  for (const [coordinate, requirement] of b) addRequirement(result, coordinate, requirement);
  return result;
}

/**
 * Refuses operations that select a field which the viewer may not read. The operation is refused whole and before it
 * runs: mutations have no half.
 *
 * Introspection and `__typename` are no fields in this sense; whether clients may introspect is a setting of its own.
 */
export function useFieldAuthorization(options: FieldAuthorizationOptions): Plugin<GraphqlContext> {
  if (options.requirements.size === 0 && !options.required) return {};

  const bySchema = new WeakMap<GraphQLSchema, SchemaRequirements>();
  function requirementsOf(schema: GraphQLSchema): SchemaRequirements {
    let found = bySchema.get(schema);
    if (found === undefined) {
      found = { byField: addRootFields(schema, options), byDocument: new WeakMap() };
      bySchema.set(schema, found);
    }
    return found;
  }

  const validateFields = createFieldValidation((schema) => requirementsOf(schema).byField);
  function guard(event: Event): void | Promise<void> {
    const args: ExecutionArgs = event.args;
    const { gateway } = args.contextValue as GraphqlContext;
    const { document, requirements } = collectRequirements(args, requirementsOf(args.schema));
    // Nearly every request ends here. The validation also honours @skip and @include, and says what is wrong.
    if (requirements.every((requirement) => checkRequirement(requirement, gateway.viewer) === null)) return;
    return validateFields({ ...args, document }, gateway).then((refusal) => {
      if (refusal !== null) event.setResultAndStopExecution(refusal);
    });
  }
  return { onExecute: guard, onSubscribe: guard };
}

type Event = Pick<OnExecuteEventPayload<GraphqlContext>, 'args' | 'setResultAndStopExecution'>;

interface SchemaRequirements {
  readonly byField: ReadonlyMap<string, Requirement>;
  /** What the operations of a document ask for, by operation name. Documents come from the parser's cache. */
  readonly byDocument: WeakMap<DocumentNode, Map<string, OperationRequirements>>;
}

interface OperationRequirements {
  /** The operation that runs, without its neighbours: those need not be allowed. */
  readonly document: DocumentNode;
  readonly requirements: readonly Requirement[];
}

function collectRequirements(args: ExecutionArgs, known: SchemaRequirements): OperationRequirements {
  const operation = getOperationAST(args.document, args.operationName);
  // Which operation would run is not clear. Execution makes an error of that; until then all of them count.
  if (operation === null || operation === undefined) return readRequirements(args.document, args.schema, known.byField);
  const name = operation.name?.value ?? '';
  let byName = known.byDocument.get(args.document);
  if (byName === undefined) {
    byName = new Map();
    known.byDocument.set(args.document, byName);
  }
  let found = byName.get(name);
  if (found === undefined) {
    const document = separateOperations(args.document)[name] ?? args.document;
    found = readRequirements(document, args.schema, known.byField);
    byName.set(name, found);
  }
  return found;
}

function readRequirements(
  document: DocumentNode,
  schema: GraphQLSchema,
  byField: ReadonlyMap<string, Requirement>,
): OperationRequirements {
  const requirements = new Set<Requirement>();
  const typeInfo = new TypeInfo(schema);
  const Field = (): void => {
    const requirement = byField.get(`${typeInfo.getParentType()?.name}.${typeInfo.getFieldDef()?.name}`);
    if (requirement !== undefined) requirements.add(requirement);
  };
  visit(document, visitWithTypeInfo(typeInfo, { Field }));
  return { document, requirements: [...requirements] };
}

/** Requirements with those of the root fields worked in: by `required`, each but the public ones needs a viewer. */
function addRootFields(schema: GraphQLSchema, options: FieldAuthorizationOptions): ReadonlyMap<string, Requirement> {
  if (!options.required) return options.requirements;
  const rootTypes = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const own = new Map<string, Requirement>();
  for (const type of rootTypes) {
    for (const name of Object.keys(type?.getFields() ?? {})) {
      const coordinate = `${type?.name}.${name}`;
      if (!options.publicFields.has(coordinate)) own.set(coordinate, anyViewer);
    }
  }
  // Also through an interface that a root type implements: `{ ... on HasUsers { users } }`.
  return mergeFieldRequirements(options.requirements, buildFieldRequirements(schema, own));
}

function implementationsOf(schema: GraphQLSchema, type: Composite): readonly Composite[] {
  return isInterfaceType(type) ? schema.getPossibleTypes(type) : [];
}

function writtenAt(own: ReadonlyMap<string, Requirement>, type: Composite, fieldName: string): Requirement[] {
  const field = type.getFields()[fieldName];
  // An implementing type always has the fields of its interface, but not the other way round.
  if (field === undefined) return [];
  const coordinates = [`${type.name}.${fieldName}`, type.name, getNamedType(field.type).name];
  return coordinates.flatMap((coordinate) => own.get(coordinate) ?? []);
}

function addRequirement(result: Map<string, Requirement>, coordinate: string, requirement: Requirement): void {
  const before = result.get(coordinate);
  result.set(coordinate, before === undefined ? requirement : mergeRequirements(before, requirement));
}
