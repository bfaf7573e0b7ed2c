/** A stream of JSON values, one per line, none of them longer than it may be. */
import { DiscoveryError } from './provider.ts';

const maxLineLength = 4_000_000;

/** Values in the order in which their lines end. What stands behind the last line break is left out: it is not whole. */
export async function* parseJsonLines(who: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield parseJson(who, line);
    if (rest.length > maxLineLength) throw new DiscoveryError(`${who} sent a line that does not end`);
  }
}

/** A JSON text, or a {@link DiscoveryError} that does not repeat it. */
export function parseJson(who: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DiscoveryError(`${who} answered what is not JSON`);
  }
}
