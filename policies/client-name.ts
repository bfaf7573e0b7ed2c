/** The name that a client gives itself. It is what the client says, and no more. */
import type { IncomingHttpHeaders } from 'node:http';

const clientNameHeaders = ['graphql-client-name', 'apollographql-client-name', 'x-client-name'] as const;

/** The value of the header that names the client, as it came; undefined where there is none. */
export function readClientName(headers: IncomingHttpHeaders): string | string[] | undefined {
  const name = clientNameHeaders.find((header) => headers[header] !== undefined);
  return name === undefined ? undefined : headers[name];
}
