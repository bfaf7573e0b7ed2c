/** Errors of planned execution: those that refuse, and those that wait at their place in the answer. */
import { GraphQLError } from 'graphql';
import { GatewayError } from '../policies/errors.ts';

export type Path = readonly (string | number)[];

/** A plan that this executor would not run rightly. The stitched engine answers such operations. */
export class UnsupportedPlanError extends Error {
  override readonly name = 'UnsupportedPlanError';
}

/** Variables that the operation cannot take: an answer without data, with one error for each of them. */
export class InvalidVariablesError extends GatewayError {
  readonly errors: readonly GraphQLError[];

  constructor(errors: readonly GraphQLError[]) {
    super('BAD_REQUEST', errors[0]?.message);
    this.errors = errors;
  }
}

interface ErrorNode {
  errors: Error[];
  readonly children: Map<string | number, ErrorNode>;
}

/**
 * What services said went wrong, by the place in the answer that it concerns. An error comes out when a null is written
 * at its place or above it. It stays in when there is a value after all, or when the client never asked for the field:
 * the stitched engine does the same.
 */
export class PathErrors {
  readonly #root: ErrorNode = { errors: [], children: new Map() };

  add(path: Path, error: Error): void {
    let node = this.#root;
    for (const segment of path) {
      let child = node.children.get(segment);
      if (child === undefined) {
        child = { errors: [], children: new Map() };
        node.children.set(segment, child);
      }
      node = child;
    }
    if (!node.errors.some((known) => isSameError(known, error))) node.errors.push(error);
  }

  /** The errors at the path and beneath it, as they are. */
  peek(path: Path): Error[] {
    const node = this.#find(path);
    return node === undefined ? [] : listErrors(node);
  }

  /** Moves the errors at the path and beneath it into the list. False when there never were any. */
  take(path: Path, list: GraphQLError[]): boolean {
    const node = this.#find(path);
    if (node === undefined) return false;
    takeErrors(node, [...path], list);
    return true;
  }

  /** The error nearest above the path that has not come out. */
  findAbove(path: Path): Error | undefined {
    let found: Error | undefined;
    let node: ErrorNode | undefined = this.#root;
    for (const segment of path) {
      found = node.errors[0] ?? found;
      node = node.children.get(segment);
      if (node === undefined) break;
    }
    return found;
  }

  #find(path: Path): ErrorNode | undefined {
    let node: ErrorNode | undefined = this.#root;
    for (const segment of path) {
      node = node.children.get(segment);
      if (node === undefined) return undefined;
    }
    return node;
  }
}

/** A field that is asked for by two fetches, of which one depends on a `@skip`, fails twice and has one error. */
function isSameError(one: Error, other: Error): boolean {
  if (one === other) return true;
  if (one instanceof GatewayError && other instanceof GatewayError) {
    return one.code === other.code && one.service === other.service;
  }
  return (
    one instanceof GraphQLError &&
    other instanceof GraphQLError &&
    one.message === other.message &&
    one.extensions['code'] === other.extensions['code']
  );
}

function listErrors(node: ErrorNode): Error[] {
  return [...node.errors, ...[...node.children.values()].flatMap(listErrors)];
}

function takeErrors(node: ErrorNode, path: (string | number)[], list: GraphQLError[]): void {
  for (const error of node.errors) list.push(locateError(error, path));
  // Emptied but not removed: that there was an error explains any further null at this place.
  node.errors = [];
  for (const [segment, child] of node.children) takeErrors(child, [...path, segment], list);
}

/** The error at a place of the answer. A GatewayError stays findable: the error contract reads its code and headers. */
export function locateError(error: Error, path: Path): GraphQLError {
  if (error instanceof GatewayError) {
    const { code, service } = error;
    const extensions = { code, ...(service !== undefined && { service }) };
    return new GraphQLError(error.message, { path, originalError: error, extensions });
  }
  if (!(error instanceof GraphQLError)) return new GraphQLError(error.message, { path, originalError: error });
  const { originalError, extensions } = error;
  return new GraphQLError(error.message, { path, extensions, ...(originalError && { originalError }) });
}
