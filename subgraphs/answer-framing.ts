/** What undici's parser lets through and nobody can be sure to read as its sender meant it (RFC 9112 section 6.1). */

/** Why an answer cannot be believed to end where it seems to; null for none. `rawHeaders`: name, value, ... */
export function findFramingFault(status: number, rawHeaders: readonly string[]): string | null {
  // RFC 9110 section 15: no class of status codes is known beyond.
  if (status > 599) return `status ${status}`;
  let coded = false;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length !== 17 || name.toLowerCase() !== 'transfer-encoding') continue;
    // Any other coding would be read up to the end of the connection, or passed on as if it were the body.
    if (coded || rawHeaders[i + 1]?.trim().toLowerCase() !== 'chunked') return 'Transfer-Encoding';
    coded = true;
  }
  return null;
}
