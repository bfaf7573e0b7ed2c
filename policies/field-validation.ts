/** Which field of an operation a viewer may not read: the slow, exact answer, with an error for each. */
import { envelop, useEngine } from '@envelop/core';
import { useGenericAuth, type ValidateUserFnParams } from '@envelop/generic-auth';
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  GraphQLIncludeDirective,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getDirectiveValues,
  getOperationAST,
  getVariableValues,
  type SelectionNode,
  separateOperations,
  visit,
} from 'graphql';
import { checkRequirement } from './authorize.ts';
import { toGraphQLError } from './errors.ts';
import type { GraphqlContext, RequestContext, Viewer } from './request-context.ts';
import type { Requirement } from './requirement.ts';

/** Errors that one refused operation lists. Aliases would make it as many as the client likes. */
const maxErrors = 10;

interface ValidationContext extends GraphqlContext, Record<string, unknown> {
  errorCount: number;
}

/** Says why a viewer may not run an operation, or null. The arguments' document holds that operation alone. */
export type FieldValidation = (args: ExecutionArgs, gateway: RequestContext) => Promise<ExecutionResult | null>;

/**
 * The validation of generic-auth, in an Envelop of its own. In the one of the door it would replace the document with a
 * copy, which caches keyed by documents do not know; judge by the types of whichever schema came last; and pass the
 * second of two operations that share a context object.
 */
export function createFieldValidation(
  byField: (schema: GraphQLSchema) => ReadonlyMap<string, Requirement>,
): FieldValidation {
  const passed: ExecutionResult = Object.freeze({});
  const getEnveloped = envelop({
    plugins: [
      useEngine({ execute: () => passed }),
      useGenericAuth<Viewer, ValidationContext>({
        mode: 'protect-granular',
        resolveUserFn: (context) => context.gateway.viewer,
        extractScopes: () => [],
        validateUser: (params) => validateField(params, byField(params.executionArgs.schema)),
      }),
    ],
  });
  return async (args, gateway) => {
    const enveloped = getEnveloped({ gateway, errorCount: 0 });
    const contextValue = await enveloped.contextFactory();
    const result = await enveloped.execute({ ...args, document: withoutSkipped(args), contextValue });
    // Without `data`: nothing was executed, so the refusal is an answer of its own and keeps its status.
    return result === passed ? null : { errors: (result as ExecutionResult).errors ?? [] };
  };
}

function validateField(
  { field, fieldNode, parentType, path, executionArgs }: ValidateUserFnParams<Viewer>,
  byField: ReadonlyMap<string, Requirement>,
): GraphQLError | undefined {
  const requirement = byField.get(`${parentType.name}.${field.name}`);
  const context = executionArgs.contextValue as ValidationContext;
  // The operation is refused already; nobody reads ten thousand reasons.
  if (requirement === undefined || context.errorCount >= maxErrors) return undefined;
  const refusal = checkRequirement(requirement, context.gateway.viewer);
  if (refusal === null) return undefined;
  context.errorCount += 1;
  const { message, extensions, originalError } = toGraphQLError(refusal, context.gateway.id);
  return new GraphQLError(message, {
    nodes: fieldNode,
    // generic-auth writes "@" for the items of a list; a path in a response (GraphQL section 7.1.2) knows no such thing.
    path: path.filter((segment) => segment !== '@'),
    extensions,
    originalError: originalError ?? null,
  });
}

/**
 * The document without what @skip and @include leave out, and without the fragments that only such parts use. generic-auth
 * looks at the directives of single fields only, not at those of their parents.
 */
function withoutSkipped(args: ExecutionArgs): DocumentNode {
  const operation = getOperationAST(args.document, args.operationName);
  if (operation === null || operation === undefined) return args.document;
  const { coerced } = getVariableValues(args.schema, operation.variableDefinitions ?? [], args.variableValues ?? {});
  // Variables that are wrong make execution fail; whether it will is not for this policy to rely on.
  if (coerced === undefined) return args.document;
  const drop = (node: SelectionNode): null | undefined => (isLeftOut(node, coerced) ? null : undefined);
  const document = visit(args.document, { Field: drop, InlineFragment: drop, FragmentSpread: drop });
  return separateOperations(document)[operation.name?.value ?? ''] ?? document;
}

function isLeftOut(node: SelectionNode, variables: Record<string, unknown>): boolean {
  return (
    getDirectiveValues(GraphQLSkipDirective, node, variables)?.['if'] === true ||
    getDirectiveValues(GraphQLIncludeDirective, node, variables)?.['if'] === false
  );
}
