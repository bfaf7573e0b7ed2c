/** Reading a request body in the demo services. */
import type { IncomingMessage } from 'node:http';

/** The body as text, or null when it is larger than a demo needs. */
export async function readRequestText(request: IncomingMessage, maxBytes = 1_048_576): Promise<string | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
