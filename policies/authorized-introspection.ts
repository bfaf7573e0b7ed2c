/** Introspection that shows a viewer what it may ask: an Envelop plugin over the visible schema. */
import type { Plugin } from '@envelop/core';
import {
  type DocumentNode,
  type ExecutionArgs,
  execute,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import { checkRequirement, needsArguments } from './authorize.ts';
import { GatewayError, toGraphQLError } from './errors.ts';
import { requireViewers } from './field-requirements.ts';
import type { GraphqlContext, RequestContext } from './request-context.ts';
import type { Requirement } from './requirement.ts';
import { noRights, type Rights } from './rights.ts';
import type { FieldAuthorizationOptions } from './schema-authorization.ts';
import { buildVisibleSchema } from './visible-schema.ts';

/** Schemas that are kept: one for each set of rights that viewers have. */
const maxSchemas = 20;

/**
 * Answers operations that ask for the schema and nothing else. Others that ask for it as well are refused: they would be
 * executed where the whole schema is known.
 */
export function useAuthorizedIntrospection(
  schema: GraphQLSchema,
  options: FieldAuthorizationOptions,
): Plugin<GraphqlContext> {
  const visible = new VisibleSchemas(schema, options);
  const kinds = new WeakMap<DocumentNode, Map<string, IntrospectionKind>>();

  function classifyOnce({ document, operationName }: ExecutionArgs): IntrospectionKind {
    const byName = kinds.get(document) ?? new Map<string, IntrospectionKind>();
    kinds.set(document, byName);
    const name = operationName ?? '';
    const kind = byName.get(name) ?? classifyOperation(document, operationName);
    byName.set(name, kind);
    return kind;
  }

  return {
    onExecute({ args, setResultAndStopExecution }) {
      const kind = classifyOnce(args);
      if (kind === 'none') return;
      const { gateway } = args.contextValue as GraphqlContext;
      if (kind === 'mixed') {
        const error = new GatewayError('BAD_REQUEST', 'The schema must be asked for in an operation of its own');
        setResultAndStopExecution({ errors: [toGraphQLError(error, gateway.id)] });
        return;
      }
      const { document, operationName, variableValues } = args;
      const answer = execute({ schema: visible.of(gateway), document, operationName, variableValues });
      setResultAndStopExecution(answer as Awaited<typeof answer>);
    },
  };
}

type IntrospectionKind = 'none' | 'alone' | 'mixed';

function classifyOperation(document: DocumentNode, operationName: string | null | undefined): IntrospectionKind {
  const operation = getOperationAST(document, operationName);
  // Nothing is executed then.
  if (operation == null) return 'none';
  const found = { atRoot: false, below: false, others: false };
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const seen = new Set<string>();
  const look = ({ selections }: SelectionSetNode, isRoot: boolean): void => {
    for (const selection of selections) {
      if (selection.kind === Kind.INLINE_FRAGMENT) look(selection.selectionSet, isRoot);
      if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const place = `${isRoot} ${selection.name.value}`;
        const fragment = fragments.get(selection.name.value);
        if (fragment === undefined || seen.has(place)) continue;
        seen.add(place);
        look(fragment.selectionSet, isRoot);
      }
      if (selection.kind !== Kind.FIELD) continue;
      const { value: name } = selection.name;
      const asksSchema = name === '__schema' || name === '__type';
      if (asksSchema && isRoot) found.atRoot = true;
      // A field may lead back to Query, where the schema can be asked for again.
      else if (asksSchema) found.below = true;
      else if (isRoot && name !== '__typename') found.others = true;
      if (!asksSchema && selection.selectionSet !== undefined) look(selection.selectionSet, false);
    }
  };
  look(operation.selectionSet, true);
  if (found.below) return 'mixed';
  if (!found.atRoot) return 'none';
  return found.others ? 'mixed' : 'alone';
}

class VisibleSchemas {
  readonly #schema: GraphQLSchema;
  readonly #byCoordinate: ReadonlyMap<string, Requirement>;
  /** Each once, without what only arguments can decide. */
  readonly #checked: ReadonlyMap<Requirement, Requirement>;
  readonly #rights: Rights;
  readonly #known = new Map<string, GraphQLSchema>();

  constructor(schema: GraphQLSchema, options: FieldAuthorizationOptions) {
    const { requirements, required, publicFields, rights = noRights } = options;
    this.#schema = schema;
    this.#byCoordinate = required ? requireViewers(schema, requirements, publicFields) : requirements;
    this.#rights = rights;
    this.#checked = new Map(
      [...new Set(this.#byCoordinate.values())].map((asked) => [asked, withoutArguments(asked, rights)]),
    );
  }

  of(gateway: RequestContext): GraphQLSchema {
    const surroundings = { rights: this.#rights, request: gateway };
    const denied = new Set<Requirement>();
    let key = '';
    for (const [asked, checked] of this.#checked) {
      const isDenied = checkRequirement(checked, gateway.viewer, surroundings) !== null;
      if (isDenied) denied.add(asked);
      key += isDenied ? '1' : '0';
    }
    let schema = this.#known.get(key);
    this.#known.delete(key);
    schema ??= buildVisibleSchema({
      schema: this.#schema,
      isDenied: (coordinate) => {
        const asked = this.#byCoordinate.get(coordinate);
        return asked !== undefined && denied.has(asked);
      },
    });
    // The first of the map is the one used longest ago.
    for (const oldest of this.#known.keys()) if (this.#known.size >= maxSchemas) this.#known.delete(oldest);
    this.#known.set(key, schema);
    return schema;
  }
}

function withoutArguments(requirement: Requirement, rights: Rights): Requirement {
  if (!needsArguments(requirement, rights)) return requirement;
  const { policies: _, expressions = [], ...rest } = requirement;
  return { ...rest, expressions: expressions.filter(({ variables }) => !variables.has('args')) };
}
