/**
 * From a path of a request to names of files. Whatever some file system might read as something else than a plain name is
 * no name at all, on every system alike: nobody's folder is safe because of where it happens to stand.
 */

const maxSegments = 32;
const maxNameLength = 200;
/** Separators of all systems, drives and streams (`a.txt:x`), wildcards, and control characters. */
const oddCharacters = /[\p{Cc}/\\:*?"<>|]/u;
/** Names that are devices on Windows, whatever their ending. */
const device = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)(\..*)?$/i;

/**
 * The names that a raw path below a prefix consists of; the last is empty for a folder. Null where it can be no file that
 * may be served: names that begin with a dot among them.
 */
export function parseFilePath(rawPath: string): readonly string[] | null {
  const segments = rawPath.split('/');
  if (segments.length > maxSegments) return null;
  const names = segments.map(decodeName);
  const last = names.length - 1;
  return names.every((name, index) => (name === '' ? index === last : name !== null && isPlainName(name)))
    ? (names as string[])
    : null;
}

function decodeName(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

function isPlainName(name: string): boolean {
  if (name.length > maxNameLength || name.startsWith('.') || /[. ]$/.test(name)) return false;
  // Short names of Windows (`PROGRA~1`) stand for others.
  return !oddCharacters.test(name) && !device.test(name) && !/~\d+(\.|$)/.test(name);
}
