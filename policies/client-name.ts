/** The name that a GraphQL client gives itself. Anyone may give any: good for counting, never for protection. */
import type { IncomingHttpHeaders } from 'node:http';

/** In the order in which they are looked for. */
export const clientNameHeaders = ['graphql-client-name', 'apollographql-client-name', 'x-client-name'] as const;

/** The name; undefined where there is none, or one that is no name. */
export function readClientName(headers: IncomingHttpHeaders): string | undefined {
  const header = clientNameHeaders.find((name) => headers[name] !== undefined);
  const value = header === undefined ? undefined : headers[header];
  return typeof value === 'string' && /^[!-~][ -~]{0,127}$/.test(value) ? value : undefined;
}
