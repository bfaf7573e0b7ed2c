/** An operation as a client sends it, parsed. */
import { type DocumentNode, print } from 'graphql';

export interface Operation {
  readonly document: DocumentNode;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly operationName: string | undefined;
}

/** The operation as text, for reports. */
export function describeOperation({ document, variables, operationName }: Operation): string {
  const lines = [print(document)];
  if (Object.keys(variables).length > 0) lines.push(`variables: ${JSON.stringify(variables)}`);
  if (operationName !== undefined) lines.push(`operationName: ${operationName}`);
  return lines.join('\n');
}
