/** Errors of merged fields at the place where they belong. */

import { pathToArray, relocatedError } from '@graphql-tools/utils';
import { GraphQLError, type GraphQLFieldResolver } from 'graphql';

type Path = readonly (string | number)[];

/**
 * Stitching locates the errors of a look-up by the list that the objects stand in, without their index: six products
 * give six errors at `products.price`. The resolver of the field knows the whole path.
 */
export function withExactPaths<Source, Context, Args>(
  resolve: GraphQLFieldResolver<Source, Context, Args>,
): GraphQLFieldResolver<Source, Context, Args> {
  return (source, args, context, info) => {
    const locate = (value: unknown): unknown => locateErrors(value, () => pathToArray(info.path));
    const rethrow = (error: unknown): never => {
      throw locate(error);
    };
    const value: unknown = resolve(source, args, context, info);
    return value instanceof Promise ? value.then(locate, rethrow) : locate(value);
  };
}

function locateErrors(value: unknown, readPath: () => Path): unknown {
  if (value instanceof GraphQLError) return locate(value, readPath());
  if (value instanceof AggregateError) {
    const path = readPath();
    return new AggregateError(
      value.errors.map((error) => locate(error, path)),
      value.message,
    );
  }
  if (!Array.isArray(value) || !value.some((item) => item instanceof GraphQLError)) return value;
  const path = readPath();
  return value.map((item, index) => locate(item, [...path, index]));
}

/** What the error's path has beyond the field, which is where in the service's answer it happened, stays. */
function locate(error: unknown, path: Path): unknown {
  if (!(error instanceof GraphQLError) || error.path === undefined) return error;
  return relocatedError(error, [...path, ...findRest(error.path, path)]);
}

function findRest(errorPath: Path, path: Path): Path {
  const names = path.filter((segment) => typeof segment === 'string');
  let matched = 0;
  let end = 0;
  for (; end < errorPath.length && matched < names.length; end += 1) {
    if (typeof errorPath[end] === 'number') continue;
    if (errorPath[end] !== names[matched]) return [];
    matched += 1;
  }
  // The path of a list's item ends in its index: the error's own index at this place says the same.
  for (let index = path.length; typeof path[index - 1] === 'number' && typeof errorPath[end] === 'number'; index -= 1) {
    end += 1;
  }
  return errorPath.slice(end);
}
