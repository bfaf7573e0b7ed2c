/** Header fields as a list of names and values in turn, and as an object. */

/** By name in lower case; several fields of one name as one list (RFC 9110 section 5.3), which Set-Cookie never is. */
export function toHeaderMap(raw: readonly string[]): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = raw[i + 1] ?? '';
    const before = map[name];
    map[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return map;
}

/** The fields whose name (in lower case) passes. */
export function filterHeaders(raw: readonly string[], keep: (lowerCaseName: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (keep(name.toLowerCase())) kept.push(name, raw[i + 1] ?? '');
  }
  return kept;
}

/** Names of a list such as `Vary`, in lower case. */
export function parseNames(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
}
