/**
 * Callback paths of logins (OAuth, OpenID Connect, SAML): forwarded byte for byte, and nothing of the answer touched that the
 * browser goes on with. Their query holds secrets (`code`, `state`), so nobody keeps the answer or tells the next page of it.
 */
import { filterHeaders } from '../policies/http-headers.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import type { EdgePolicies, ShapeAnswer } from './edge-policies.ts';

const untouched: ReadonlySet<string> = new Set(['location', 'set-cookie']);
/** RFC 9700 section 4.2.4 for the first; the code in the URL is good for one use, and so is the answer. */
const added: readonly (readonly [string, string])[] = [
  ['referrer-policy', 'no-referrer'],
  ['cache-control', 'no-store'],
];

/** Without what levels above say of messages of all routes: written at the route itself it would be a mistake. */
export function withoutChanges(route: Route): Route {
  const { cache: _, cookies: __, retire: ___, transform: ____, validate: _____, ...kept } = route;
  return kept;
}

/** What holds for the heads at such a route: that of any, but for what would change the login. */
export function buildCallbackEdge(edge: EdgePolicies): EdgePolicies {
  const { answer } = edge;
  const shape: ShapeAnswer = (headers, context) => {
    const shaped = answer === null ? [...headers] : answer(headers, context);
    const names = new Set(added.map(([name]) => name));
    const kept = filterHeaders(shaped, (name) => !untouched.has(name) && !names.has(name));
    return [...kept, ...filterHeaders(headers, (name) => untouched.has(name)), ...added.flat()];
  };
  // The page may show what came with it, beside a code: its size would tell of that (BREACH).
  return { ...edge, cookies: null, compression: null, answer: shape };
}
