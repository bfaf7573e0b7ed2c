/** Which places of the answer may share the nested objects of one entity. */
import type { TargetPath } from './plan-run.ts';
import type { FlattenNodePathSegment } from './query-plan.ts';

/** A path in a comparable form. */
export function toSegments(path: readonly FlattenNodePathSegment[]): string[] {
  return path.map((segment) => JSON.stringify(segment));
}

/**
 * The group of each path. The entities of two paths may share their nested objects when every other fetch that writes
 * at or below one of the paths writes the same at the same place below the other. Otherwise the selections beneath
 * differ (the same response key with different arguments, say), and each needs a copy of its own.
 */
export function groupPaths(
  paths: readonly (readonly FlattenNodePathSegment[])[],
  targets: readonly TargetPath[],
): number[] {
  const groups = new Map<string, number>();
  return paths.map((path) => {
    const writes = describeWrites(toSegments(path), targets);
    const group = groups.get(writes) ?? groups.size;
    groups.set(writes, group);
    return group;
  });
}

function describeWrites(path: readonly string[], targets: readonly TargetPath[]): string {
  const prefix = path.filter(isStep);
  const writes = targets.flatMap(({ fetch, segments }) => {
    const rest = skipSteps(segments, prefix);
    return rest === null ? [] : [`${fetch}:${rest.join()}`];
  });
  return [...new Set(writes)].toSorted().join('\n');
}

/** What comes after the steps; null when they lead elsewhere. Type conditions lead nowhere. */
function skipSteps(segments: readonly string[], steps: readonly string[]): string[] | null {
  let at = 0;
  for (const step of steps) {
    while (at < segments.length && !isStep(segments[at] ?? '')) at++;
    if (segments[at] !== step) return null;
    at++;
  }
  return segments.slice(at);
}

function isStep(segment: string): boolean {
  return !segment.startsWith('{"TypeCondition"');
}
