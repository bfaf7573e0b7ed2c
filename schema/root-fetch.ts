/** A fetch of root fields. */
import type { ExecutionResult } from 'graphql';
import { toGatewayError } from '../policies/errors.ts';
import { cloneJson, mergeObject } from './answer-merge.ts';
import { readFetchSelection } from './fetch-selection.ts';
import type { SubgraphRequest } from './graph.ts';
import type { Path } from './plan-errors.ts';
import { compilePath, type JsonObject } from './plan-paths.ts';
import { askService, errorsOf, type PlanRun, type Step, type StepOptions } from './plan-run.ts';
import type { FetchNode, FlattenNodePathSegment } from './query-plan.ts';
import { compileRewrites, listRenames } from './rewrites.ts';

type Place = (object: JsonObject, path: Path) => void;

/** Compiles a fetch without representations. Its answer goes to every object at the path; most often that is the root. */
export function compileRootFetch(
  node: FetchNode,
  segments: readonly FlattenNodePathSegment[],
  options: StepOptions,
): Step {
  const { rootKeys } = readFetchSelection(node.operation, options.fits);
  // Nothing but the names of root types, which are known here.
  if (rootKeys.length === 0) return () => undefined;
  const path = compilePath(segments, options.fits);
  const rewrite = compileRewrites(node.outputRewrites, options.fits);
  const renames = listRenames(node.outputRewrites);
  const buildRequest = compileRequest(node);

  function merge(run: PlanRun, { data, errors = [] }: ExecutionResult): void {
    rewrite?.(data);
    const answer = data as JsonObject | null | undefined;
    if (answer !== null && answer !== undefined) {
      if (segments.length === 0 && Object.keys(run.data).length === 0) run.data = answer;
      else path.walk(run.data, (object) => mergeObject(object, segments.length === 0 ? answer : cloneJson(answer)));
    }
    for (const error of errors) {
      const renamed = error.path?.map((segment) => renames.get(String(segment)) ?? segment) ?? [];
      const known = rootKeys.some((key) => (renames.get(key) ?? key) === renamed[0]);
      noteError(run, error, known ? [renamed] : rootKeys.map((key) => [renames.get(key) ?? key]));
    }
  }

  function noteError(run: PlanRun, error: Error, rests: readonly Path[]): void {
    const note: Place = (_object, place) => {
      for (const rest of rests) errorsOf(run).add([...place, ...rest], error);
    };
    path.locate(run.data, note);
  }

  return async (run) => {
    try {
      merge(run, await askService(run, buildRequest(run.variables), options));
    } catch (thrown) {
      noteError(
        run,
        toGatewayError(thrown),
        rootKeys.map((key) => [renames.get(key) ?? key]),
      );
    }
  };
}

interface RequestSource {
  readonly serviceName: string;
  readonly operation: string;
  readonly operationName?: string | null;
  readonly operationKind?: string | null;
  readonly variableUsages?: readonly string[] | null;
}

/** Compiles the request of a fetch, which takes its variables from those of the operation. */
export function compileRequest(
  node: RequestSource,
): (variables: JsonObject, representations?: JsonObject) => SubgraphRequest {
  const usages = node.variableUsages ?? [];
  const operationType = node.operationKind === 'mutation' ? 'mutation' : 'query';
  return (variables, representations) => ({
    service: node.serviceName,
    query: node.operation,
    variables: selectVariables(usages, variables, representations),
    operationName: node.operationName ?? undefined,
    operationType,
  });
}

function selectVariables(
  usages: readonly string[],
  variables: JsonObject,
  representations: JsonObject | undefined,
): JsonObject | undefined {
  if (usages.length === 0) return representations;
  // Without prototype: a variable may be called `__proto__`.
  const selected = Object.assign(Object.create(null), representations) as JsonObject;
  for (const name of usages) if (Object.hasOwn(variables, name)) selected[name] = variables[name];
  return selected;
}
