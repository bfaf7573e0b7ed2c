/** How an answer says that it is not whole: `x-partial`, the same for aggregates and for REST from the graph. */

export interface MissingPart {
  /** Name or path, e.g. `orders` or `user.email`. */
  readonly part: string;
  readonly code: string;
}

const maxNamed = 10;

/** A list of RFC 9651: `orders;code=GATEWAY_TIMEOUT, user.email;code=FORBIDDEN`. */
export function partialHeader(missing: readonly MissingPart[]): string[] {
  if (missing.length === 0) return [];
  const members = missing.slice(0, maxNamed).map(({ part, code }) => `${toToken(part)};code=${toToken(code)}`);
  return ['x-partial', members.join(', ')];
}

/** What is no token becomes one; codes of services may be anything. */
function toToken(text: string): string {
  const plain = text.slice(0, 100).replaceAll(/[^A-Za-z0-9!#$%&'*+.^_`|~:/-]/g, '_');
  return /^[A-Za-z*]/.test(plain) ? plain : `_${plain}`.replace(/^_/, '*');
}
