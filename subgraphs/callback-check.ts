/** What a callback path of logins cannot be at the same time. */
import type { Mistake } from '../policies/schema-mistakes.ts';
import type { Route } from './service-definition.ts';

/** Options that would change, keep, copy or lead elsewhere what must pass as it is. */
const contradicting = [
  'rewrite',
  'redirect',
  'respond',
  'split',
  'mirror',
  'retire',
  'cache',
  'cookies',
  'transform',
  'validate',
] as const;

/** The mistakes of one route, by paths from it. */
export function findCallbackMistakes(route: Route): Mistake[] {
  if (route.callback !== true) return [];
  return contradicting
    .filter((name) => route[name] !== undefined)
    .map((name) => ({ path: [name], message: `a \`callback\` passes as it is: it has no \`${name}\`` }));
}
