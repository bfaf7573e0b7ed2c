/** Which fields of an operation a viewer may not read, where one of them refuses it whole: generic-auth over our core. */
import { envelop, useEngine } from '@envelop/core';
import { useGenericAuth, type ValidateUserFnParams } from '@envelop/generic-auth';
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  getDirectiveValues,
  getOperationAST,
  getVariableValues,
  type SelectionNode,
  separateOperations,
  visit,
} from 'graphql';
import { type GatewayError, toGraphQLError } from './errors.ts';
import type { FieldSelection } from './field-selections.ts';
import type { GraphqlContext, RequestContext, Viewer } from './request-context.ts';

/** Errors that one refused operation lists. Aliases would make it as many as the client likes. */
const maxErrors = 10;

/** Why the viewer may not read a field; null where they may. `variables` are null where they are wrong. */
export type JudgeField = (
  selection: Omit<FieldSelection, 'path'>,
  variables: Readonly<Record<string, unknown>> | null,
) => GatewayError | null;

interface ValidationContext extends GraphqlContext, Record<string, unknown> {
  readonly judge: JudgeField;
  readonly variables: Readonly<Record<string, unknown>> | null;
  errorCount: number;
}

/** Says why a viewer may not run an operation, or null. The arguments' document holds that operation alone. */
export type FieldValidation = (
  args: ExecutionArgs,
  gateway: RequestContext,
  judge: JudgeField,
) => Promise<ExecutionResult | null>;

/**
 * The validation of generic-auth, in an Envelop of its own. In the one of the door it would replace the document with a
 * copy, which caches keyed by documents do not know; judge by the types of whichever schema came last; and pass the
 * second of two operations that share a context object.
 */
export function createFieldValidation(): FieldValidation {
  const passed: ExecutionResult = Object.freeze({});
  const getEnveloped = envelop({
    plugins: [
      useEngine({ execute: () => passed }),
      useGenericAuth<Viewer, ValidationContext>({
        mode: 'protect-granular',
        resolveUserFn: (context) => context.gateway.viewer,
        extractScopes: () => [],
        validateUser: validateField,
      }),
    ],
  });
  return async (args, gateway, judge) => {
    const variables = readVariables(args);
    const enveloped = getEnveloped({ gateway, judge, variables, errorCount: 0 });
    const contextValue = await enveloped.contextFactory();
    const result = await enveloped.execute({ ...args, document: withoutSkipped(args, variables), contextValue });
    // Without `data`: nothing was executed, so the refusal is an answer of its own and keeps its status.
    return result === passed ? null : { errors: (result as ExecutionResult).errors ?? [] };
  };
}

function validateField(params: ValidateUserFnParams<Viewer>): GraphQLError | undefined {
  const { field, fieldNode, parentType, path, executionArgs } = params;
  const context = executionArgs.contextValue as ValidationContext;
  // The operation is refused already; nobody reads ten thousand reasons.
  if (context.errorCount >= maxErrors) return undefined;
  const parent = parentType as FieldSelection['parent'];
  const refusal = context.judge({ node: fieldNode, parent, field }, context.variables);
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

/** Variables that are wrong make execution fail; whether it will is not for this policy to rely on. */
function readVariables({ schema, document, operationName, variableValues }: ExecutionArgs) {
  const operation = getOperationAST(document, operationName);
  if (operation === null || operation === undefined) return null;
  return getVariableValues(schema, operation.variableDefinitions ?? [], variableValues ?? {}).coerced ?? null;
}

/**
 * The document without what @skip and @include leave out, and without the fragments that only such parts use. generic-auth
 * looks at the directives of single fields only, not at those of their parents.
 */
function withoutSkipped(
  { document, operationName }: ExecutionArgs,
  variables: Readonly<Record<string, unknown>> | null,
): DocumentNode {
  if (variables === null) return document;
  const drop = (node: SelectionNode): null | undefined => (isLeftOut(node, variables) ? null : undefined);
  const shorter = visit(document, { Field: drop, InlineFragment: drop, FragmentSpread: drop });
  return separateOperations(shorter)[getOperationAST(document, operationName)?.name?.value ?? ''] ?? shorter;
}

function isLeftOut(node: SelectionNode, variables: Readonly<Record<string, unknown>>): boolean {
  return (
    getDirectiveValues(GraphQLSkipDirective, node, variables)?.['if'] === true ||
    getDirectiveValues(GraphQLIncludeDirective, node, variables)?.['if'] === false
  );
}
