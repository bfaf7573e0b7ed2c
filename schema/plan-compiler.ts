/** From a query plan to something that runs: all that can be known before the first request is worked out here. */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  isAbstractType,
  Kind,
  type OperationDefinitionNode,
  visit,
} from 'graphql';
import { AnswerState } from './answer-state.ts';
import { compileRootWriter, type WriteValue } from './answer-writer.ts';
import type { SubgraphExecutor } from './graph.ts';
import { compileIntrospection, type Introspect, isIntrospectionField } from './introspection-fields.ts';
import { assertMutationsInOrder } from './mutation-check.ts';
import { assertPlanIsSound } from './plan-check.ts';
import { InvalidVariablesError, UnsupportedPlanError } from './plan-errors.ts';
import { withFragmentsInPlace } from './plan-fragments.ts';
import { buildPlanOutline } from './plan-outline.ts';
import type { JsonObject } from './plan-paths.ts';
import type { PlanRun } from './plan-run.ts';
import { compileSteps } from './plan-steps.ts';
import { createFitsType } from './plan-types.ts';
import type { PlannedOperation } from './planned-operation.ts';
import type { QueryPlan } from './query-plan.ts';

export interface PlanOptions {
  readonly plan: QueryPlan;
  readonly document: DocumentNode;
  readonly operationName?: string | undefined;
  /** The public schema that the operation is valid against. */
  readonly schema: GraphQLSchema;
  /** Its answers belong to whoever asked: they are written into. Two executions must never get the same object. */
  readonly execute: SubgraphExecutor;
  /** Whether the text of a service's own errors reaches the client. */
  readonly subgraphErrors: 'pass' | 'mask';
  /**
   * The possible types of the supergraph's abstract types (`buildPossibleTypes` of plan-types.ts). Plans name types
   * which the public schema does not have. Without it, only types of the public schema are known.
   */
  readonly possibleTypes?: ReadonlyMap<string, ReadonlySet<string>> | undefined;
}

/** Writers for one combination of the variables that `@skip` and `@include` look at. */
interface Writers {
  readonly write: WriteValue;
  readonly introspect: Introspect;
}

/** Operations with many such variables are rare, and clients who try all combinations shall not fill the memory. */
const maxWriters = 16;

/** Compiles a plan. Throws UnsupportedPlanError for what only the stitched engine can do. */
export function compilePlan(options: PlanOptions): PlannedOperation {
  const { document, operationName, schema, execute, subgraphErrors, possibleTypes } = options;
  const operation = getOperationAST(document, operationName);
  if (!operation) throw new UnsupportedPlanError('The document has no such operation');
  if (operation.operation === 'subscription') throw new UnsupportedPlanError('Subscriptions are not planned');
  const node = options.plan.node && withFragmentsInPlace(options.plan.node, createAbstractTest(schema, possibleTypes));
  assertPlanIsSound(node, document);
  assertMutationsInOrder(node, operation, document);
  const fits = createFitsType(schema, possibleTypes);
  const step = compileSteps(node, { execute, passSubgraphErrors: subgraphErrors === 'pass', fits });
  const findWriters = createWriterLookUp(operation, document, schema);
  return {
    outline: buildPlanOutline(node),
    async execute(given, context) {
      const variables = coerceVariables(schema, operation, given);
      const run: PlanRun = { context, variables, data: {}, errors: null, shared: new Map(), plain: true };
      await step(run);
      const { write, introspect } = findWriters(variables);
      const state = new AnswerState(run, introspect(given));
      const data = write(run.data, state);
      return { data: data === '' ? 'null' : data, errors: state.listErrors() };
    },
  };
}

function createAbstractTest(schema: GraphQLSchema, possibleTypes: PlanOptions['possibleTypes']) {
  return (name: string): boolean => possibleTypes?.has(name) === true || isAbstractType(schema.getType(name));
}

/** CoerceVariableValues of the GraphQL specification (section 6.1.2). */
function coerceVariables(
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  given: Readonly<Record<string, unknown>>,
): JsonObject {
  const variables: JsonObject = Object.create(null);
  if (variableDefinitions.length === 0) return variables;
  const { coerced, errors } = getVariableValues(schema, variableDefinitions, given, { maxErrors: 50 });
  if (errors !== undefined) throw new InvalidVariablesError(errors);
  return Object.assign(variables, coerced);
}

function createWriterLookUp(
  operation: OperationDefinitionNode,
  document: DocumentNode,
  schema: GraphQLSchema,
): (variables: JsonObject) => Writers {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const node of document.definitions) {
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
  }
  const names = listConditionVariables(document);
  const compiled = new Map<string, Writers>();
  return (variables) => {
    const combination = names.map((name) => (variables[name] === true ? '1' : '0')).join('');
    const known = compiled.get(combination);
    if (known !== undefined) return known;
    if (compiled.size >= maxWriters) compiled.clear();
    const values = new Map(names.map((name) => [name, variables[name] === true]));
    const writers = compileWriters(operation, fragments, schema, (name) => values.get(name) === true);
    compiled.set(combination, writers);
    return writers;
  };
}

function compileWriters(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  schema: GraphQLSchema,
  isTrue: (variable: string) => boolean,
): Writers {
  const type = schema.getRootType(operation.operation);
  if (!type) throw new UnsupportedPlanError(`The schema has no ${operation.operation}`);
  const introspected: FieldNode[] = [];
  const write = compileRootWriter({ schema, fragments, isTrue }, type, operation.selectionSet, (key, nodes) => {
    if (!nodes.some(isIntrospectionField)) return undefined;
    introspected.push(...nodes);
    return (_value, state) => state.introspected.get(key) ?? 'null';
  });
  return { write, introspect: compileIntrospection(introspected, operation, fragments.values(), schema) };
}

function listConditionVariables(document: DocumentNode): string[] {
  const names = new Set<string>();
  visit(document, {
    Directive({ name, arguments: args = [] }) {
      const [argument] = args;
      if (name.value !== 'skip' && name.value !== 'include') return;
      if (argument?.value.kind === Kind.VARIABLE) names.add(argument.value.name.value);
    },
  });
  return [...names];
}
