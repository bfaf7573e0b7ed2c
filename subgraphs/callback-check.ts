/** What a callback path of logins cannot be at the same time. */
import type { ErrorReason } from '../policies/errors.ts';
import type { Route } from './service-definition.ts';

/** Options that would change or keep what must pass as it is. */
export function findCallbackMistakes({ callback, rewrite, cache, cookies }: Route, index: number): ErrorReason[] {
  if (callback !== true) return [];
  const contradictions = { rewrite, cache, cookies };
  return Object.entries(contradictions).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [{ path: `/routes/${index}/${name}`, message: `a \`callback\` passes as it is: it has no \`${name}\`` }],
  );
}
