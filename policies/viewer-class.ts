/** Classes of viewers, for options that differ between them: `anonymous`, `role:editor`, `client:ios`. */
import Type from 'typebox';
import { readClientName } from './client-name.ts';
import type { RequestContext } from './request-context.ts';

/** JSON Schema of a class. */
export const ViewerClass = Type.String({
  pattern: '^(anonymous|authenticated|(role|scope|client|api-key):[!-~]{1,128})$',
  description:
    '`anonymous`, `authenticated`, `role:NAME`, `scope:NAME`, `api-key:NAME` (the viewer id of an API key), or `client:NAME` (what the client says of itself in `graphql-client-name`, which anyone may say).',
  examples: ['anonymous', 'role:editor', 'client:ios'],
});

/** What of a request is looked at. */
export type Asker = Pick<RequestContext, 'viewer' | 'headers'>;
export type IsInClass = (asker: Asker) => boolean;

/** A function that says whether a request belongs to a class. */
export function createClassTest(written: string): IsInClass {
  if (written === 'anonymous') return ({ viewer }) => viewer === null;
  if (written === 'authenticated') return ({ viewer }) => viewer !== null;
  const colon = written.indexOf(':');
  const [kind, name] = [written.slice(0, colon), written.slice(colon + 1)];
  if (kind === 'role') return ({ viewer }) => viewer?.roles.includes(name) === true;
  if (kind === 'scope') return ({ viewer }) => viewer?.scopes.has(name) === true;
  if (kind === 'api-key') return ({ viewer }) => viewer?.kind === 'api-key' && viewer.id === name;
  return ({ headers }) => readClientName(headers) === name;
}
