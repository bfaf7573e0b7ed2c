/** What would happen to an operation at the GraphQL door. */
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLError,
  getOperationAST,
  type OperationDefinitionNode,
  validate,
} from 'graphql';
import { useFieldAuthorization } from '../policies/authorize-fields.ts';
import { parseBounded } from '../policies/document-bounds.ts';
import { createShapeMeasure, type OperationShape } from '../policies/document-shape.ts';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { OperationDemand } from '../policies/operation-cost.ts';
import { findCostExcess, findExcess, findTextExcess, toLimitError } from '../policies/query-limits.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { createFieldOwners } from '../schema/field-owners.ts';
import type { PlanOutline } from '../schema/plan-outline.ts';
import { isComposed } from '../subgraphs/snapshot.ts';
import { listDoorLayers, listGraphqlCallLayers } from './explain-layers.ts';
import {
  buildPolicySources,
  createExplainedRequest,
  describeKinds,
  describeRefusal,
  describeRules,
  type ExplainedAuthentication,
  type ExplainedKind,
  type ExplainedRefusal,
  type ExplainedRule,
  type ExplainSources,
  explainAuthentication,
  type OperationQuestion,
  readHeaders,
} from './explanation.ts';
import type { GraphqlInsight } from './graphql-generation.ts';
import { createFieldLayers, listGatewayLayers } from './policy-layers.ts';

export interface OperationExplanation {
  readonly door: 'graphql';
  /** What would become of it, as far as this can be known without limits being counted and services being asked. */
  readonly outcome: { readonly passes: true } | { readonly passes: false; readonly refusal: ExplainedRefusal };
  readonly authentication: ExplainedAuthentication;
  /** Null where the document cannot be parsed, or names no single operation. */
  readonly operation: string | null;
  readonly mistakes: readonly string[];
  readonly cost: number | null;
  readonly depth: number | null;
  /** The class of viewers whose `graphql.limits` hold, and the first one that it is over. */
  readonly limits: { readonly class: string; readonly refusal?: ExplainedRefusal } | null;
  /** `filtered`: it would be executed without the fields that the viewer may not have. */
  readonly access: {
    readonly granted: boolean;
    readonly filtered?: true;
    readonly refusals?: readonly ExplainedRefusal[];
  } | null;
  /** Rules for every operation, in the order in which they would be asked; those of fields stand there. */
  readonly rateLimits: readonly ExplainedRule[];
  /** Fields in the order of the document, with what is said of them. */
  readonly fields: readonly ExplainedField[];
  readonly execution: ExplainedExecution | null;
  readonly policies: readonly ExplainedKind[];
  /** What holds for the calls to each service that may be asked. */
  readonly calls: Readonly<Record<string, readonly ExplainedKind[]>>;
}

interface ExplainedField {
  readonly field: string;
  readonly times: number;
  /** Services that can resolve it. */
  readonly services: readonly string[];
  readonly rateLimits: readonly ExplainedRule[];
  readonly policies: readonly ExplainedKind[];
}

/** Planned: what is asked in which order. Stitched: services that may be asked; the order is found on the way. */
type ExplainedExecution =
  | { readonly engine: 'planned'; readonly plan: PlanOutline }
  | { readonly engine: 'stitched'; readonly services: readonly string[] };

interface ReadOperation {
  readonly document: DocumentNode;
  readonly node: OperationDefinitionNode;
}

export async function explainOperation(
  sources: ExplainSources,
  question: OperationQuestion,
): Promise<OperationExplanation> {
  const { generation } = sources.dataPlane.current;
  const headers = readHeaders(question.headers);
  const { viewer, authentication } = await explainAuthentication(sources.dataPlane.authenticator, headers, 'POST');
  const policies = buildPolicySources(sources);
  const known = {
    door: 'graphql',
    authentication,
    rateLimits: describeRules(listGatewayLayers(policies)),
    policies: describeKinds(listDoorLayers(policies, sources.configured)),
  } as const;
  const refusedFirst = authentication.outcome === 'refused' ? authentication.refusal : null;
  const read = readOperation(sources, question);
  if ('mistakes' in read) {
    const refusal = refusedFirst ?? read.refusal;
    return { ...known, ...unread, outcome: { passes: false, refusal }, mistakes: read.mistakes };
  }
  const { document, node } = read;
  const variables = question.variables ?? {};
  const demand = generation.insight.measure(document, node, variables);
  const gateway = createExplainedRequest(viewer, headers, 'graphql', 'POST');
  const shape = createShapeMeasure()(document, question.operationName);
  const limits = explainLimits(generation.insight, question.query, shape, demand.cost, gateway);
  const { refusals, filtered } =
    refusedFirst === null
      ? await judgeAccess(sources, read, question, gateway)
      : { refusals: [refusedFirst], filtered: false };
  const execution = await explainExecution(sources, read, question, demand);
  const refusal = refusedFirst ?? limits.refusal ?? refusals[0];
  return {
    ...known,
    outcome: refusal === undefined ? { passes: true } : { passes: false, refusal },
    operation: `${node.operation} ${node.name?.value ?? 'anonymous'}`,
    mistakes: [],
    cost: demand.cost,
    depth: shape.depth,
    limits,
    access: refusals.length === 0 ? { granted: true, ...(filtered && { filtered }) } : { granted: false, refusals },
    fields: explainFields(sources, demand),
    execution,
    calls: Object.fromEntries(
      listAsked(execution).map((name) => {
        const definition = sources.snapshot.services.find((service) => service.name === name)?.definition ?? {};
        return [name, describeKinds(listGraphqlCallLayers(policies, sources.configured, name, definition))];
      }),
    ),
  };
}

const unread = {
  operation: null,
  cost: null,
  depth: null,
  limits: null,
  access: null,
  fields: [],
  execution: null,
  calls: {},
} as const;

interface Unreadable {
  readonly mistakes: readonly string[];
  readonly refusal: ExplainedRefusal;
}

function readOperation({ dataPlane }: ExplainSources, question: OperationQuestion): ReadOperation | Unreadable {
  const { graph, insight } = dataPlane.current.generation;
  let document: DocumentNode;
  try {
    document = parseBounded(question.query);
  } catch (thrown) {
    return unreadable('GRAPHQL_PARSE_FAILED', [thrown instanceof Error ? thrown.message : String(thrown)]);
  }
  const errors = validate(graph.schema, document, insight.validationRules);
  if (errors.length > 0) return unreadable('GRAPHQL_VALIDATION_FAILED', messagesOf(errors));
  const node = getOperationAST(document, question.operationName);
  if (node) return { document, node };
  return unreadable('BAD_REQUEST', ['The document has no such operation, or several and no `operationName`']);
}

function unreadable(
  code: 'GRAPHQL_PARSE_FAILED' | 'GRAPHQL_VALIDATION_FAILED' | 'BAD_REQUEST',
  mistakes: string[],
): Unreadable {
  return { mistakes, refusal: describeRefusal(new GatewayError(code, mistakes[0])) };
}

function messagesOf(errors: readonly GraphQLError[]): string[] {
  return errors.slice(0, 20).map(({ message }) => message);
}

/** By the very plugin that refuses operations, asked outside the pipeline. */
async function judgeAccess(
  { dataPlane }: ExplainSources,
  { document }: ReadOperation,
  { operationName, variables = {} }: OperationQuestion,
  gateway: RequestContext,
): Promise<{ readonly refusals: readonly ExplainedRefusal[]; readonly filtered: boolean }> {
  const { graph, insight } = dataPlane.current.generation;
  const args = {
    schema: graph.schema,
    document,
    operationName,
    variableValues: variables,
    contextValue: { gateway },
  } as unknown as ExecutionArgs;
  let refusal: ExecutionResult | undefined;
  const event = {
    args,
    setResultAndStopExecution(result: ExecutionResult) {
      refusal = result;
    },
    setExecuteFn() {},
    extendContext() {},
  };
  await useFieldAuthorization(insight.authorization).onExecute?.(event as never);
  const refusals = (refusal?.errors ?? []).map((error) => {
    const code = error.extensions['code'];
    const original = error.originalError ?? error;
    const { status } = toGatewayError(original);
    return {
      code: typeof code === 'string' ? code : 'FORBIDDEN',
      status: code === 'UNAUTHENTICATED' ? 401 : code === 'FORBIDDEN' ? 403 : status,
      message: error.message,
    };
  });
  return { refusals, filtered: event.args.document !== document };
}

/** What `graphql.limits` say of an operation, in the order of the pipeline. */
function explainLimits(
  { queryLimiter }: GraphqlInsight,
  text: string,
  shape: OperationShape,
  cost: number,
  gateway: RequestContext,
): NonNullable<OperationExplanation['limits']> {
  const limits = queryLimiter.limitsFor(gateway);
  const excess = findTextExcess(text, limits) ?? findExcess(shape, limits) ?? findCostExcess(cost, limits);
  const refuses = excess !== null && queryLimiter.mode === 'enforce';
  return { class: limits.className, ...(refuses && { refusal: describeRefusal(toLimitError(excess)) }) };
}

function explainFields(sources: ExplainSources, demand: OperationDemand): readonly ExplainedField[] {
  const { snapshot, graph } = sources;
  const owners = createFieldOwners()(snapshot);
  const layers = createFieldLayers({
    ...buildPolicySources(sources),
    schema: graph.schema,
    services: snapshot.services,
    owners,
  });
  return [...demand.fields].map(([field, times]) => {
    const [type = '', name = ''] = field.split('.');
    const own = layers.list(type, name);
    return {
      field,
      times,
      services: owners.get(field) ?? [],
      rateLimits: describeRules(own),
      policies: describeKinds(own),
    };
  });
}

async function explainExecution(
  { dataPlane, snapshot }: ExplainSources,
  { document }: ReadOperation,
  { query, operationName }: OperationQuestion,
  demand: OperationDemand,
): Promise<ExplainedExecution> {
  const { engine } = dataPlane.current.generation.insight;
  const prepared = (await engine?.prepare(document, query, operationName ?? null)) ?? null;
  if (prepared?.outline !== undefined) return { engine: 'planned', plan: prepared.outline };
  const owners = createFieldOwners()(snapshot);
  const asked = new Set([...demand.fields.keys()].flatMap((field) => owners.get(field) ?? []));
  const composed = snapshot.services.filter(isComposed).map(({ name }) => name);
  return { engine: 'stitched', services: composed.filter((name) => asked.has(name)) };
}

function listAsked(execution: ExplainedExecution): readonly string[] {
  return execution.engine === 'stitched' ? execution.services : [...new Set(listOutlined(execution.plan))];
}

function listOutlined(outline: PlanOutline): readonly string[] {
  if ('ask' in outline) return [outline.ask];
  return ('sequence' in outline ? outline.sequence : outline.parallel).flatMap(listOutlined);
}
