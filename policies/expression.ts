/**
 * Expressions in configurations: CEL, by one library, in one place. An expression is read and type-checked once, sees only
 * the values it is given, and cannot be made slow by a client: whatever it does is bounded by the size of those values.
 */
import { type ASTNode, Environment, ParseError, TypeError as TypeMismatch } from '@marcbachmann/cel-js';

/** Longest expression that is read. */
export const maxExpressionLength = 2_000;

/** Types of CEL: `string`, `list<string>`, `map<string, dyn>`, ... or fields of an object with types of their own. */
export type ExpressionType = string | { readonly [field: string]: ExpressionType };

export interface ExpressionEnvironment {
  /** Reads an expression that gives this type. Throws an {@link ExpressionMistake}. */
  parse(source: string, returns: 'bool' | 'string' | 'dyn'): Expression;
}

export interface Expression {
  readonly source: string;
  /** Which of the variables it looks at. */
  readonly variables: ReadonlySet<string>;
  /** The value for these variables, made by {@link toExpressionValue}. Throws where there is none, e.g. for a missing key. */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown;
}

/** What is wrong with an expression, in a sentence for whoever wrote it. */
export class ExpressionMistake extends Error {
  override readonly name = 'ExpressionMistake';
}

const limits = { maxAstNodes: 500, maxDepth: 50, maxListElements: 200, maxMapEntries: 100, maxCallArguments: 10 };
const loops: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/**
 * Builds an environment: the variables that expressions may use. Costs a millisecond; made once for each purpose. With
 * `mixedLiterals` a map or a list may hold values of several types, as JSON does.
 */
export function createExpressionEnvironment(
  variables: Readonly<Record<string, ExpressionType>>,
  { mixedLiterals = false }: { readonly mixedLiterals?: boolean } = {},
): ExpressionEnvironment {
  const environment = new Environment({ limits, homogeneousAggregateLiterals: !mixedLiterals });
  for (const [name, type] of Object.entries(variables)) {
    if (typeof type === 'string') environment.registerVariable(name, type);
    else environment.registerVariable({ name, schema: type as Record<string, string> });
  }
  allowMixedNumbers(environment);
  const names = Object.keys(variables);
  return {
    parse(source, returns) {
      if (source.length > maxExpressionLength) {
        throw new ExpressionMistake(`expected an expression of at most ${maxExpressionLength} characters`);
      }
      const { ast, type } = read(environment, source, names);
      if (type !== returns && type !== 'dyn' && returns !== 'dyn') {
        throw new ExpressionMistake(`expected an expression that gives a ${returns}, got one that gives ${type}`);
      }
      const used = new Set<string>();
      assertBounded(ast, used, false);
      const run = environment.parse(source);
      return {
        source,
        variables: new Set(names.filter((name) => used.has(name))),
        evaluate: (values) => run(values as Record<string, unknown>),
      };
    },
  };
}

/** JSON as CEL has it: whole numbers are its `int`, so that `claims.level + 1` is what it looks like. */
export function toExpressionValue(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (value instanceof Set) return [...value];
  if (Array.isArray(value)) return value.map(toExpressionValue);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, toExpressionValue(inner)]])),
  );
}

/** What an expression gave, as JSON. An `int` that a number of JSON cannot hold exactly becomes a string. */
export function fromExpressionValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(fromExpressionValue);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  const entries = value instanceof Map ? value.entries() : Object.entries(value);
  return Object.fromEntries([...entries].map(([key, inner]) => [String(key), fromExpressionValue(inner)]));
}

/** CEL compares `int` with `double` but does not calculate with both; of JSON numbers nobody knows beforehand which it is. */
function allowMixedNumbers(environment: Environment): void {
  const operations: Record<string, (a: number, b: number) => number> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
  };
  for (const [operator, calculate] of Object.entries(operations)) {
    const mixed = (a: unknown, b: unknown): number => calculate(Number(a), Number(b));
    environment.registerOperator(`int ${operator} double: double`, mixed);
    environment.registerOperator(`double ${operator} int: double`, mixed);
  }
}

function read(environment: Environment, source: string, names: readonly string[]): { ast: ASTNode; type: string } {
  try {
    const checked = environment.check(source);
    if (!checked.valid) throw checked.error;
    return { ast: environment.parse(source).ast, type: String(checked.type) };
  } catch (error) {
    if (!(error instanceof ParseError || error instanceof TypeMismatch)) throw error;
    const place = error.range === undefined ? '' : ` at character ${error.range.start + 1}`;
    const known = names.map((name) => `\`${name}\``).join(', ');
    throw new ExpressionMistake(`expected a CEL expression over ${known}: ${error.summary}${place}`, { cause: error });
  }
}

/**
 * Refuses what could take long: regular expressions (here they can backtrack for hours, in CEL's own library they cannot),
 * loops in loops, and names for values that could be doubled again and again.
 */
function assertBounded(node: unknown, used: Set<string>, inLoop: boolean): void {
  if (Array.isArray(node)) {
    for (const inner of node) assertBounded(inner, used, inLoop);
    return;
  }
  if (typeof node !== 'object' || node === null || !('op' in node)) return;
  const { op, args } = node as ASTNode;
  if (op === 'id') used.add(args);
  if (op !== 'rcall') {
    assertBounded(args, used, inLoop);
    return;
  }
  const [name, receiver, given] = args;
  if (name === 'matches') {
    throw new ExpressionMistake('`matches` is not allowed: use ==, in, startsWith, endsWith or contains');
  }
  if (name === 'bind') throw new ExpressionMistake('`cel.bind` is not allowed');
  if (loops.has(name) && inLoop) throw new ExpressionMistake(`\`${name}\` is not allowed within another loop`);
  assertBounded(receiver, used, inLoop);
  assertBounded(given, used, inLoop || loops.has(name));
}
