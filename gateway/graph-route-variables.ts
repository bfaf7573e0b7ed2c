/** Variables of a bound operation, of what a REST request says: texts become what the types of the graph want. */
import {
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  getVariableValues,
  isInputObjectType,
  isListType,
  type OperationDefinitionNode,
  typeFromAST,
} from 'graphql';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { readPointer } from './json-pointer.ts';

/** What variables can come from. */
export interface VariableValues {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The parsed body; undefined where there is none. */
  readonly body: unknown;
}

/** Where one variable comes from. */
export interface VariableSource {
  readonly name: string;
  readonly from: 'params' | 'query' | 'headers' | 'body';
  /** Name of the parameter or field, or the keys within the body. */
  readonly keys: readonly string[];
  readonly type: GraphQLInputType;
  /** Whether a value must come with the request. */
  readonly isRequired: boolean;
  readonly hasDefault: boolean;
}

export interface SourceOptions {
  readonly schema: GraphQLSchema;
  readonly operation: OperationDefinitionNode;
  readonly params: ReadonlySet<string>;
  readonly hasBody: boolean;
  /** What the configuration says. */
  readonly variables: Readonly<Record<string, string>>;
}

/** The sources of all variables. Throws an error whose message says which variable can have no value. */
export function listSources({ schema, operation, params, hasBody, variables }: SourceOptions): VariableSource[] {
  return (operation.variableDefinitions ?? []).map(({ variable, type: node, defaultValue }) => {
    const name = variable.name.value;
    const type = typeFromAST(schema, node as never) as GraphQLInputType | undefined;
    if (type === undefined) throw new Error(`the graph has no type for $${name}`);
    const said = variables[name] ?? (params.has(name) ? `params.${name}` : hasBody ? `body.${name}` : `query.${name}`);
    const [from = '', ...keys] = said.split('.');
    const isObject = isInputObjectType(getNamedType(type));
    if (isObject && from !== 'body') throw new Error(`$${name} is an input object, which only a body can hold`);
    return {
      name,
      from: from as VariableSource['from'],
      keys: from === 'body' ? keys : [keys.join('.')],
      type,
      isRequired: getNullableType(type) !== type && defaultValue === undefined,
      hasDefault: defaultValue !== undefined,
    };
  });
}

/** The values for a request. Throws BAD_REQUEST with what was expected of each that does not fit. */
export function readVariables(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  sources: readonly VariableSource[],
  values: VariableValues,
): Record<string, unknown> {
  const inputs: Record<string, unknown> = {};
  const reasons: ErrorReason[] = [];
  for (const source of sources) {
    const value = readSource(source, values);
    if (value !== undefined) inputs[source.name] = value;
    const reason = findReason(schema, operation, source, value);
    if (reason !== null) reasons.push(reason);
  }
  if (reasons.length === 0) return inputs;
  const first = reasons[0]?.message ?? '';
  throw new GatewayError('BAD_REQUEST', `The request does not fit: ${first}`, { reasons });
}

/** By the rules of graphql-js, one variable at a time: so that each is told by where it came from. */
function findReason(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  source: VariableSource,
  value: unknown,
): ErrorReason | null {
  const definitions = (operation.variableDefinitions ?? []).filter(
    ({ variable }) => variable.name.value === source.name,
  );
  const { errors = [] } = getVariableValues(schema, definitions, value === undefined ? {} : { [source.name]: value });
  const [error] = errors;
  if (error === undefined) return null;
  const place = describePlace(source);
  if (value === undefined) return { message: `${place} is missing: expected ${String(source.type)}`, path: place };
  const detail = error.message.replace(/^Variable "\$\w+" /, '');
  return { message: `${place}: expected ${String(source.type)}; ${detail}`.slice(0, 500), path: place };
}

/** `query.first`, as the configuration writes it. */
export function describePlace({ from, keys }: Pick<VariableSource, 'from' | 'keys'>): string {
  return [from, ...keys].join('.');
}

function readSource({ from, keys, type }: VariableSource, values: VariableValues): unknown {
  const [key = ''] = keys;
  if (from === 'body') return readPointer(values.body, keys);
  if (from === 'params')
    return Object.hasOwn(values.params, key) ? coerceText(values.params[key] ?? '', type) : undefined;
  if (from === 'headers') {
    const value = values.headers[key];
    return value === undefined ? undefined : coerceTexts([value].flat(), type);
  }
  const texts = values.query.getAll(key);
  return texts.length === 0 ? undefined : coerceTexts(texts, type);
}

/** A parameter that comes twice is a list, and where no list is wanted no value at all. */
function coerceTexts(texts: readonly string[], type: GraphQLInputType): unknown {
  const inner = getNullableType(type);
  if (isListType(inner)) return texts.map((text) => coerceText(text, inner.ofType));
  return texts.length === 1 ? coerceText(texts[0] ?? '', type) : texts;
}

/** What cannot be what its type wants stays a text, for graphql-js to refuse. */
function coerceText(text: string, type: GraphQLInputType): unknown {
  switch (getNamedType(type).name) {
    case 'Int':
    case 'Float':
      return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
    case 'Boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    default:
      return text;
  }
}
