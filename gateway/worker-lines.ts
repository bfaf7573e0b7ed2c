/** Whole lines out of what another process writes. */

/** A line that is longer is no line of a log. */
const maxLineLength = 1_048_576;

/** Hands on what is whole, and keeps the rest until the next chunk. */
export function createLineReader(forward: (lines: string) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = '';
  return (chunk) => {
    const text = rest + decoder.decode(chunk, { stream: true });
    const end = text.lastIndexOf('\n') + 1;
    rest = text.length - end > maxLineLength ? '' : text.slice(end);
    if (end > 0) forward(text.slice(0, end));
  };
}
