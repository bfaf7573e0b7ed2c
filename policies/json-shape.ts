/** Changes of JSON that need no expression: parts picked, dropped, renamed, wrapped and unwrapped, by paths. */

/** Keys from the root; lists on the way stand for each of their elements. */
type Path = readonly string[];

export interface ShapeSteps {
  readonly unwrap?: string | undefined;
  readonly pick?: readonly string[] | undefined;
  readonly drop?: readonly string[] | undefined;
  readonly rename?: Readonly<Record<string, string>> | undefined;
  readonly wrap?: string | undefined;
}

/** One part of a path, and what is below it; null where the path ends. */
type Tree = Map<string, Tree | null>;

/** Compiles steps, which are done in this order: unwrap, pick, drop, rename, wrap. Null where there are none. */
export function compileShape({ unwrap, pick, drop, rename, wrap }: ShapeSteps): ((value: unknown) => unknown) | null {
  const steps: ((value: unknown) => unknown)[] = [];
  if (unwrap !== undefined) {
    const path = parsePath(unwrap);
    steps.push((value) => path.reduce(readKey, value) ?? null);
  }
  if (pick !== undefined) {
    const tree = buildTree(pick);
    steps.push((value) => pickParts(value, tree));
  }
  if (drop !== undefined) {
    const tree = buildTree(drop);
    steps.push((value) => dropParts(value, tree));
  }
  for (const [from, to] of Object.entries(rename ?? {})) {
    const path = parsePath(from);
    steps.push((value) => renameKey(value, path, to));
  }
  if (wrap !== undefined) {
    const path = parsePath(wrap);
    steps.push((value) => path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value));
  }
  return steps.length === 0 ? null : (value) => steps.reduce((current, step) => step(current), value);
}

function parsePath(text: string): Path {
  return text.split('.');
}

/** Of a shorter path everything is meant, also where a longer one begins with it. */
function buildTree(paths: readonly string[]): Tree {
  const root: Tree = new Map();
  for (const path of [...paths].sort((a, b) => a.length - b.length).map(parsePath)) {
    let tree: Tree | null = root;
    for (const [index, key] of path.entries()) {
      const known: Tree | null | undefined = tree.get(key);
      if (known === null) break;
      const next: Tree | null = index === path.length - 1 ? null : (known ?? new Map());
      tree.set(key, next);
      if (next === null) break;
      tree = next;
    }
  }
  return root;
}

function pickParts(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((item) => pickParts(item, tree));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).flatMap(([key, inner]) => {
    const below = tree.get(key);
    return below === undefined ? [] : [[key, below === null ? inner : pickParts(inner, below)]];
  });
  return Object.fromEntries(entries);
}

function dropParts(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((item) => dropParts(item, tree));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).flatMap(([key, inner]) => {
    const below = tree.get(key);
    if (below === null) return [];
    return [[key, below === undefined ? inner : dropParts(inner, below)]];
  });
  return Object.fromEntries(entries);
}

function renameKey(value: unknown, [key = '', ...rest]: Path, to: string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameKey(item, [key, ...rest], to));
  if (!isObject(value) || !Object.hasOwn(value, key)) return value;
  const entries = Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
    if (name === key) return rest.length === 0 ? [[to, inner]] : [[name, renameKey(inner, rest, to)]];
    return rest.length === 0 && name === to ? [] : [[name, inner]];
  });
  return Object.fromEntries(entries);
}

function readKey(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
