/** The media type of a message (RFC 9110 section 8.3.1). */

/** Its `type/subtype` in lower case, without parameters; undefined where the message names none. */
export function readMediaType(rawHeaders: readonly string[]): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length !== 12 || rawHeaders[i]?.toLowerCase() !== 'content-type') continue;
    return rawHeaders[i + 1]?.split(';', 1)[0]?.trim().toLowerCase();
  }
  return undefined;
}
