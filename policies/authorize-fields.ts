/** Authorization of GraphQL fields: the Envelop plugin over the core, for operations as a whole and field by field. */
import type { OnExecuteEventPayload, OnExecuteHookResult, Plugin } from '@envelop/core';
import { type DocumentNode, type ExecutionArgs, GraphQLError, type GraphQLSchema } from 'graphql';
import { toGraphQLError } from './errors.ts';
import { createFieldValidation } from './field-validation.ts';
import { restoreDenied } from './filtered-answer.ts';
import type { Denial } from './filtered-operation.ts';
import type { GraphqlContext, RequestContext } from './request-context.ts';
import { noRights } from './rights.ts';
import { type FieldAuthorizationOptions, type KnownOperation, SchemaAuthorization } from './schema-authorization.ts';

/** Errors that one refused operation lists. Aliases would make it as many as the client likes. */
const maxErrors = 10;

/**
 * Refuses operations that select a field which the viewer may not read, whole and before they run: mutations have no
 * half. Where the mode is `filter`, the operation runs without those fields instead, which are null then.
 *
 * Introspection and `__typename` are no fields in this sense; what clients may see of the schema is a setting of its own.
 */
export function useFieldAuthorization(options: FieldAuthorizationOptions): Plugin<GraphqlContext> {
  if (options.requirements.size === 0 && !options.required) return {};
  const { rights = noRights } = options;
  const bySchema = new WeakMap<GraphQLSchema, SchemaAuthorization>();
  const validateFields = createFieldValidation();
  return {
    onExecute: (event) => authorize(event, true),
    // A stream of answers is not filtered: it is refused.
    onSubscribe: (event) => authorize(event, false) as Promise<undefined> | undefined,
  };

  function authorize(
    event: Event,
    mayFilter: boolean,
  ): Promise<undefined> | OnExecuteHookResult<GraphqlContext> | undefined {
    const args: ExecutionArgs = event.args;
    const { gateway } = args.contextValue as GraphqlContext;
    let authorization = bySchema.get(args.schema);
    if (authorization === undefined) {
      authorization = new SchemaAuthorization(args.schema, options, rights);
      bySchema.set(args.schema, authorization);
    }
    const operation = authorization.read(args);
    // Nearly every request ends here.
    if (authorization.mayRun(operation, gateway)) return undefined;
    const filters = mayFilter && operation.node !== null && authorization.mayFilter(operation);
    return filters ? filter(event, authorization, operation) : reject(event, authorization, operation);
  }

  async function reject(
    event: Event,
    authorization: SchemaAuthorization,
    operation: KnownOperation,
  ): Promise<undefined> {
    const { gateway } = event.args.contextValue as GraphqlContext;
    const judge = authorization.judgeFor(gateway);
    const args = { ...event.args, document: operation.document };
    const refusal = await validateFields(
      args,
      gateway,
      (selection, variables) => judge(selection, variables)?.refusal ?? null,
    );
    if (refusal !== null) event.setResultAndStopExecution(refusal);
  }

  function filter(
    event: Event,
    authorization: SchemaAuthorization,
    operation: KnownOperation,
  ): OnExecuteHookResult<GraphqlContext> | undefined {
    const { args } = event;
    const { gateway } = args.contextValue as GraphqlContext;
    const { denials, mistakes } = authorization.listDenials(operation, args, gateway);
    if (denials.length === 0) return undefined;
    const rejected = denials.filter(({ mode }) => mode === 'reject');
    if (rejected.length > 0) {
      const errors = rejected.slice(0, maxErrors).map((denial) => buildError(denial, gateway));
      event.setResultAndStopExecution({ errors });
      return undefined;
    }
    // Execution would say so too, but of the variables of the whole operation only some are left then.
    if (mistakes.length > 0) {
      event.setResultAndStopExecution({ errors: mistakes.map(withStatus400) });
      return undefined;
    }
    const filtered = operation.filtered.of(denials);
    (args as { document: DocumentNode }).document = filtered.document;
    (args.contextValue as GraphqlContext).isFiltered = true;
    return {
      onExecuteDone: ({ result, setResult }) => {
        setResult(restoreDenied(result, filtered, denials, args.schema, gateway.id));
      },
    };
  }
}

type Event = Pick<OnExecuteEventPayload<GraphqlContext>, 'args' | 'setResultAndStopExecution'>;

function buildError({ refusal, node, path }: Denial, gateway: RequestContext): GraphQLError {
  const { message, extensions, originalError } = toGraphQLError(refusal, gateway.id);
  return new GraphQLError(message, { nodes: node, path, extensions, originalError: originalError ?? null });
}

/** As the executor marks what it refuses before it executes anything. */
function withStatus400({ message, nodes }: GraphQLError): GraphQLError {
  return new GraphQLError(message, { nodes: nodes ?? null, extensions: { http: { status: 400 } } });
}
