/** What a schema asks of viewers, and which fields of an operation one may not have: worked out once per document where it can be. */
import {
  type DocumentNode,
  type ExecutionArgs,
  type FragmentDefinitionNode,
  type GraphQLError,
  type GraphQLSchema,
  getArgumentValues,
  getOperationAST,
  getVariableValues,
  Kind,
  type OperationDefinitionNode,
  separateOperations,
} from 'graphql';
import { checkRequirement, needsArguments } from './authorize.ts';
import type { AuthorizationMode } from './authorize-options.ts';
import type { GatewayError } from './errors.ts';
import { toExpressionValue } from './expression.ts';
import { type FieldRequirements, requireViewers } from './field-requirements.ts';
import { type FieldSelection, walkSelections } from './field-selections.ts';
import { type Denial, FilteredOperations } from './filtered-operation.ts';
import type { RequestContext } from './request-context.ts';
import type { Requirement } from './requirement.ts';
import type { Rights } from './rights.ts';

export interface FieldAuthorizationOptions {
  /** With types and interfaces worked in: see {@link buildFieldRequirements}. */
  readonly requirements: FieldRequirements;
  /** Whether every root field needs a viewer unless it is in `publicFields`. */
  readonly required: boolean;
  /** Root fields, as `Query.field`, that `required` leaves open. A requirement of their own holds all the same. */
  readonly publicFields: ReadonlySet<string>;
  /** What roles give, what policies stand for, and what happens to whoever may not. */
  readonly rights?: Rights;
}

/** What is known of an operation of a document, whoever asks. */
export interface KnownOperation {
  /** Null where it is not clear which operation would run. */
  readonly node: OperationDefinitionNode | null;
  /** The operation that runs, without its neighbours: those need not be allowed. */
  readonly document: DocumentNode;
  readonly operations: readonly OperationDefinitionNode[];
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** All that it may ask for, whatever its variables are. */
  readonly requirements: readonly Requirement[];
  /** Whether some of them look at values of arguments. */
  readonly isDecidedByArguments: boolean;
  readonly filtered: FilteredOperations;
}

/** The requirements of one schema, and what they say of documents. Those come from the parser's cache. */
export class SchemaAuthorization {
  readonly #schema: GraphQLSchema;
  readonly #byField: FieldRequirements;
  readonly #rights: Rights;
  readonly #byDocument = new WeakMap<DocumentNode, Map<string, KnownOperation>>();

  constructor(schema: GraphQLSchema, options: FieldAuthorizationOptions, rights: Rights) {
    const { requirements, required, publicFields } = options;
    this.#schema = schema;
    this.#byField = required ? requireViewers(schema, requirements, publicFields) : requirements;
    this.#rights = rights;
  }

  read({ document, operationName }: ExecutionArgs): KnownOperation {
    const byName = this.#byDocument.get(document) ?? new Map<string, KnownOperation>();
    this.#byDocument.set(document, byName);
    const node = getOperationAST(document, operationName) ?? null;
    // Which operation would run is not clear. Execution makes an error of that; until then all of them count.
    const name = node === null ? '' : (node.name?.value ?? '');
    const key = node === null ? '?' : name;
    let known = byName.get(key);
    if (known === undefined) {
      known = this.#readOperation(node === null ? document : (separateOperations(document)[name] ?? document), node);
      byName.set(key, known);
    }
    return known;
  }

  mayRun({ requirements, isDecidedByArguments }: KnownOperation, gateway: RequestContext): boolean {
    if (isDecidedByArguments) return false;
    const surroundings = { rights: this.#rights, request: gateway };
    return requirements.every((requirement) => checkRequirement(requirement, gateway.viewer, surroundings) === null);
  }

  /** Whether some of what it asks for may be left out. */
  mayFilter({ requirements }: KnownOperation): boolean {
    return requirements.some((requirement) => this.#modeOf(requirement) === 'filter');
  }

  /** Judges field by field for one request. */
  judgeFor(gateway: RequestContext) {
    const verdicts = new Map<Requirement, GatewayError | null>();
    return (
      selection: Omit<FieldSelection, 'path'>,
      variables: Readonly<Record<string, unknown>> | null,
    ): Pick<Denial, 'refusal' | 'mode'> | null => this.#judgeField(selection, variables, gateway, verdicts);
  }

  /** Which fields of the operation the viewer may not read with these variables. */
  listDenials(
    { operations, fragments }: KnownOperation,
    { variableValues }: ExecutionArgs,
    gateway: RequestContext,
  ): { readonly denials: readonly Denial[]; readonly mistakes: readonly GraphQLError[] } {
    const denials: Denial[] = [];
    const mistakes: GraphQLError[] = [];
    const judge = this.judgeFor(gateway);
    for (const operation of operations) {
      const { coerced, errors = [] } = getVariableValues(
        this.#schema,
        operation.variableDefinitions ?? [],
        variableValues ?? {},
      );
      mistakes.push(...errors);
      const variables = coerced ?? null;
      walkSelections(operation, {
        schema: this.#schema,
        fragments,
        // Variables that are wrong make execution fail; whether it will is not for this policy to rely on.
        variables,
        onField: (selection) => {
          const denial = judge(selection, variables);
          if (denial !== null) denials.push({ ...selection, ...denial });
          return denial === null;
        },
      });
    }
    return { denials, mistakes };
  }

  #judgeField(
    selection: Omit<FieldSelection, 'path'>,
    variables: Readonly<Record<string, unknown>> | null,
    gateway: RequestContext,
    verdicts: Map<Requirement, GatewayError | null>,
  ): Pick<Denial, 'refusal' | 'mode'> | null {
    for (const requirement of this.#listAsked(selection, variables)) {
      let refusal = verdicts.get(requirement);
      if (refusal === undefined) {
        const isOfField = needsArguments(requirement, this.#rights);
        refusal = checkRequirement(requirement, gateway.viewer, {
          rights: this.#rights,
          request: gateway,
          ...(isOfField && { args: readArguments(selection, variables) }),
        });
        if (!isOfField) verdicts.set(requirement, refusal);
      }
      if (refusal !== null) return { refusal, mode: this.#modeOf(requirement) };
    }
    return null;
  }

  #modeOf({ mode }: Requirement): AuthorizationMode {
    return mode ?? this.#rights.mode;
  }

  /** What a field asks for, and what each argument does that is given. */
  #listAsked(
    { node, parent, field }: Omit<FieldSelection, 'path'>,
    variables: Readonly<Record<string, unknown>> | null,
  ): Requirement[] {
    const coordinate = `${parent.name}.${field.name}`;
    const given = (node.arguments ?? []).flatMap(({ name, value }) => {
      // A variable without a value leaves the argument out (GraphQL section 6.4.1); null is a value.
      const isAbsent =
        value.kind === Kind.VARIABLE && variables !== null && !Object.hasOwn(variables, value.name.value);
      return isAbsent ? [] : (this.#byField.get(`${coordinate}(${name.value})`) ?? []);
    });
    const own = this.#byField.get(coordinate);
    return own === undefined ? given : [own, ...given];
  }

  #readOperation(document: DocumentNode, node: OperationDefinitionNode | null): KnownOperation {
    const operations: OperationDefinitionNode[] = [];
    const fragments = new Map<string, FragmentDefinitionNode>();
    for (const definition of document.definitions) {
      if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition);
      if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
    }
    const requirements = new Set<Requirement>();
    for (const operation of operations) {
      walkSelections(operation, {
        schema: this.#schema,
        fragments,
        variables: null,
        onField: (selection) => {
          for (const requirement of this.#listAsked(selection, null)) requirements.add(requirement);
          return true;
        },
      });
    }
    const filtered = new FilteredOperations(document);
    const asked = [...requirements];
    const isDecidedByArguments = asked.some((requirement) => needsArguments(requirement, this.#rights));
    return { node, document, operations, fragments, requirements: asked, isDecidedByArguments, filtered };
  }
}

function readArguments(
  { field, node }: Omit<FieldSelection, 'path'>,
  variables: Readonly<Record<string, unknown>> | null,
): Readonly<Record<string, unknown>> {
  try {
    return toExpressionValue(getArgumentValues(field, node, variables)) as Readonly<Record<string, unknown>>;
  } catch {
    // Wrong: execution says so, to those who may ask.
    return {};
  }
}
