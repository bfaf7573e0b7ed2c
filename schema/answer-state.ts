/** What the writer of an answer notes while it writes: where there were nulls, and why. */
import { GraphQLError } from 'graphql';
import { unguard } from './alias-guard.ts';
import { locateError, type Path, type PathErrors } from './plan-errors.ts';
import type { PlanRun } from './plan-run.ts';

/** A null in the answer. */
interface NullNote {
  /** From the null up to the root: segments are added as the writer comes back from it. */
  readonly reversedPath: (string | number)[];
  /** What is wrong with it if no service said why; undefined for a null that may be. */
  readonly error: Error | undefined;
  /** Whether no service said anything, not even null. */
  readonly missing: boolean;
}

/** The text of an object that stands in several places of the answer. */
export interface SharedText {
  readonly writer: unknown;
  readonly text: string;
}

/** One writing of one answer. */
export class AnswerState {
  /** Texts of introspection fields, by response key. */
  readonly introspected: ReadonlyMap<string, string>;
  /** Objects that stand in several places, each with its {@link SharedText} once it was written. Null if there are none. */
  readonly shared: Map<object, unknown> | null;
  /** Whether no string of the answer can have anything to escape. */
  readonly plain: boolean;
  readonly #errors: PathErrors | null;
  readonly #notes: NullNote[] = [];

  constructor({ errors, shared, plain }: PlanRun, introspected: ReadonlyMap<string, string>) {
    this.introspected = introspected;
    this.plain = plain;
    this.#errors = errors;
    this.shared = shared.size > 0 ? shared : null;
  }

  /** Rises with every note. Whoever writes something with parts compares it, to add its own segment to their paths. */
  get noted(): number {
    return this.#notes.length;
  }

  /** Notes a null that may be: of interest only when a service may have said why. */
  noteNull(missing: boolean): void {
    if (this.#errors !== null) this.#notes.push({ reversedPath: [], error: undefined, missing });
  }

  /** Notes a value that cannot be. */
  noteError(error: Error, missing = false): void {
    this.#notes.push({ reversedPath: [], error, missing });
  }

  /** Adds the segment to the paths of all notes since. */
  locate(since: number, segment: string | number): void {
    for (let index = since; index < this.#notes.length; index++) this.#notes[index]?.reversedPath.push(segment);
  }

  /** The errors of the answer: at each null what services said about it, else what is wrong with it by itself. */
  listErrors(): GraphQLError[] {
    const list: GraphQLError[] = [];
    for (const { reversedPath, error, missing } of this.#notes) {
      const path: Path = reversedPath.toReversed();
      if (this.#explain(path, missing, error !== undefined, list) || error === undefined) continue;
      list.push(error instanceof GraphQLError ? wrapError(error, path) : locateError(error, path));
    }
    return list.map(withClientPath);
  }

  /** Adds what services said about a null. False when that is nothing. */
  #explain(path: Path, missing: boolean, isFatal: boolean, list: GraphQLError[]): boolean {
    if (this.#errors === null) return false;
    if (this.#errors.take(path, list)) return true;
    // The fetch that should have brought it failed, and another one brought the object that it is missing in.
    const cause = missing ? this.#errors.findAbove(path) : undefined;
    if (cause !== undefined) list.push(locateError(cause, path));
    if (cause !== undefined) return true;
    // One field of an object may have failed and taken the others along, in the service as well as here.
    return isFatal && typeof path.at(-1) === 'string' && this.#errors.take(path.slice(0, -1), list);
  }
}

/** The error at the place where the client sees it. */
function withClientPath(error: GraphQLError): GraphQLError {
  const path = error.path?.map((segment) => (typeof segment === 'string' ? unguard(segment) : segment));
  if (path === undefined || path.every((segment, index) => segment === error.path?.[index])) return error;
  const { message, originalError = null, extensions } = error;
  return new GraphQLError(message, { path, originalError, extensions });
}

/** As graphql-js locates what a type says about a value. */
function wrapError(error: GraphQLError, path: Path): GraphQLError {
  return new GraphQLError(error.message, { path, originalError: error, extensions: error.extensions });
}
