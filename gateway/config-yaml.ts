/**
 * Configuration text: YAML, and JSON as the part of it that it is (YAML 1.2 section 1.3). Variables are expanded after
 * parsing, so that a value can never become structure.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, Scalar, visit } from 'yaml';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import type { Locate } from './config.ts';

/** Variables of the environment, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a text says, and where it says it. */
export interface ConfigText {
  readonly value: unknown;
  /** Syntax errors, duplicate keys, missing variables. */
  readonly mistakes: readonly Mistake[];
  readonly locate: Locate;
}

/** Aliases that may be resolved: a few hundred bytes of nested ones would make gigabytes. */
const maxAliasCount = 100;

/** Reads configuration text; `file` is how mistakes name it. Without a value when the text cannot be read at all. */
export function parseConfigText(text: string, file: string, environment: Environment): ConfigText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const faults = listFaults(document, text, lines);
  if (faults.length > 0) {
    const mistakes = faults.map(({ message, offset }) => ({ path: [], message: `${place(offset)}: ${message}` }));
    return { value: undefined, mistakes, locate: () => undefined };
  }
  const locate: Locate = (path, atKey) => {
    const offset = findOffset(document.contents, path, atKey);
    return offset === undefined ? file : place(offset);
  };
  const mistakes = expandVariables(document, environment);
  try {
    // An empty file says nothing, which is a configuration: all defaults.
    return { value: document.toJS({ maxAliasCount }) ?? {}, mistakes, locate };
  } catch (error) {
    const message = `${file}: ${error instanceof Error ? error.message : 'aliases cannot be resolved'}`;
    return { value: undefined, mistakes: [{ path: [], message }], locate: () => undefined };
  }
}

interface Fault {
  readonly message: string;
  readonly offset: number;
}

/** Syntax errors and warnings; of a line only the first, because the others follow from it. */
function listFaults(document: Document.Parsed, text: string, lines: LineCounter): Fault[] {
  const seen = new Set<number>();
  return [...document.errors, ...document.warnings].flatMap((fault) => {
    const offset = fault.pos[0];
    const { line } = lines.linePos(offset);
    if (seen.has(line)) return [];
    seen.add(line);
    const inFlow = fault.code === 'UNEXPECTED_TOKEN' || fault.code === 'MISSING_CHAR';
    const hint =
      inFlow && (text.split('\n')[line - 1] ?? '').includes('${')
        ? '; between { } or [ ], YAML takes a variable only in quotes: put the key on a line of its own'
        : '';
    const message = fault.code === 'DUPLICATE_KEY' ? 'this key was there before' : fault.message;
    return [{ message: `${message}${hint}`, offset }];
  });
}

/** Replaces variables in scalars that are values. What cannot be replaced is a mistake. */
function expandVariables(document: Document.Parsed, environment: Environment): Mistake[] {
  const mistakes: Mistake[] = [];
  const paths = listScalarPaths(document.contents, []);
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string') return;
      const complaints: string[] = [];
      node.value = expandScalar(node, node.value, environment, complaints);
      const path = paths.get(node) ?? [];
      mistakes.push(...complaints.map((message) => ({ path, message })));
    },
  });
  return mistakes;
}

/** A plain scalar that is one variable gets the type that its value would have if it stood there. */
function expandScalar(node: Scalar, text: string, environment: Environment, complaints: string[]): unknown {
  const expanded = expandText(text, environment, complaints);
  return node.type === Scalar.PLAIN && /^\$\{[^}]*\}$/.test(text) ? typeOfPlain(expanded) : expanded;
}

function expandText(text: string, environment: Environment, complaints: string[]): string {
  // The first alternative is the escape: `$${` stands for `${`.
  return text.replace(/\$\$\{|\$\{([^}]*)\}/g, (match, inner: string | undefined) => {
    if (inner === undefined) return '$' + '{';
    const [, name, fallback] = /^([A-Za-z_]\w*)(?::-(.*))?$/s.exec(inner) ?? [];
    if (name === undefined) {
      complaints.push(`${match} is not a variable; expected \${NAME} or \${NAME:-default}, or $\${ for the characters`);
      return match;
    }
    const value = environment[name];
    // As in the shell, `:-` also stands in for an empty value.
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) complaints.push(`the environment variable ${name} is not set and has no default`);
    return value ?? '';
  });
}

/** Only what survives the way back: `1.10` is a version and `007` an id, not numbers. */
function typeOfPlain(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d/.test(text) && String(Number(text)) === text ? Number(text) : text;
}

function listScalarPaths(
  node: unknown,
  path: ValuePath,
  paths = new Map<unknown, ValuePath>(),
): Map<unknown, ValuePath> {
  if (isScalar(node)) paths.set(node, path);
  if (isSeq(node)) for (const [index, item] of node.items.entries()) listScalarPaths(item, [...path, index], paths);
  if (isMap(node))
    for (const { key, value } of node.items)
      listScalarPaths(value, [...path, isScalar(key) ? String(key.value) : ''], paths);
  return paths;
}

/** Where a path leads in the text: its value, else its key, else the nearest thing around it. */
function findOffset(root: unknown, path: ValuePath, atKey: boolean): number | undefined {
  let node: unknown = root;
  let offset = offsetOf(root);
  for (const [depth, key] of path.entries()) {
    const pair = isMap(node)
      ? node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      : undefined;
    const next: unknown = isSeq(node) ? node.items[Number(key)] : pair?.value;
    const keyWanted = atKey && depth === path.length - 1;
    offset = (keyWanted ? undefined : offsetOf(next)) ?? offsetOf(pair?.key) ?? offset;
    node = next;
  }
  return offset;
}

/** Where a node begins. An empty value has no text of its own, so its key is the better place. */
function offsetOf(node: unknown): number | undefined {
  if (isScalar(node)) return node.range != null && node.range[0] < node.range[1] ? node.range[0] : undefined;
  return isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined;
}
