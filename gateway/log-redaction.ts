/** What may be logged of anything at all: bounded in length, depth and number, and without credentials. */

const redacted = '[redacted]';
const maxTextLength = 2_000;
const maxDepth = 5;
const maxEntries = 50;
const maxCauses = 5;
/** All values of one line together: fifty entries five levels deep would be many. */
const maxValues = 500;

const secretName =
  /^(?:proxy-)?authorization$|^(?:set-)?cookies?$|(?:password|passwd|secret|token|api[-_]?key|credentials?)$/i;

/** Each pattern is linear in the length of the text, which is cut before. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/\b((?:set-)?cookie["']?\s{0,3}[:=]\s{0,3})[^\r\n]+/gi, `$1${redacted}`],
  [/\b(bearer|basic)\s{1,3}[\w.~+/=-]{6,}/gi, `$1 ${redacted}`],
  [
    /((?:authorization|password|passwd|secret|token|api[-_]?key)["']?\s{0,3}[:=]\s{0,3})(?:"[^"]*"?|'[^']*'?|[^\s,;&"']+)/gi,
    `$1${redacted}`,
  ],
  // A JSON Web Token anywhere, whole or cut off (RFC 7515: base64url of `{"`, dots between the parts).
  [/\beyJ[\w-]{6,}(?:\.[\w-]*){0,4}/g, redacted],
  [/(:\/\/)[^\s/@]+@/g, `$1${redacted}@`],
];

/** A text without credentials and of bounded length. */
export function redactText(text: string, maxLength = maxTextLength): string {
  let result = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  for (const [pattern, replacement] of secretTexts) result = result.replace(pattern, replacement);
  return result;
}

/** Fields of a log line as plain JSON. Errors become what {@link describeError} says of them. */
export function buildLoggable(fields: Readonly<Record<string, unknown>>, withStacks: boolean): Record<string, unknown> {
  return copyEntries(Object.entries(fields), { left: maxValues, withStacks }, 0);
}

interface Budget {
  left: number;
  readonly withStacks: boolean;
}

function copyEntries(entries: [string, unknown][], budget: Budget, depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of entries.slice(0, maxEntries)) {
    copy[redactText(name, 100)] = isSecret(name, value) ? redacted : copyValue(value, budget, depth + 1);
  }
  return copy;
}

/** That something is secret or not is none: a switch of that name says no more. */
function isSecret(name: string, value: unknown): boolean {
  return typeof value !== 'boolean' && secretName.test(name);
}

function copyValue(value: unknown, budget: Budget, depth: number): unknown {
  if (--budget.left < 0) return '[more]';
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return describeError(value, budget.withStacks);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth > maxDepth) return '[deep]';
  if (value instanceof Map) return copyEntries(mapEntries(value), budget, depth);
  if (Array.isArray(value) || value instanceof Set) {
    return [...value].slice(0, maxEntries).map((item) => copyValue(item, budget, depth + 1));
  }
  return copyEntries(Object.entries(value), budget, depth);
}

function mapEntries(map: ReadonlyMap<unknown, unknown>): [string, unknown][] {
  return [...map].map(([key, value]) => [String(key), value]);
}

interface ErrorDescription {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly service?: string;
  readonly stack?: string;
  readonly causes?: readonly ErrorDescription[];
}

/** Type, code and message of an error and of its causes, outermost first; the stack only where it is asked for. */
export function describeError(error: unknown, withStack: boolean): ErrorDescription {
  const causes: ErrorDescription[] = [];
  let cause = causeOf(error);
  while (cause !== undefined && causes.length < maxCauses) {
    causes.push(describeOne(cause, false));
    cause = causeOf(cause);
  }
  return { ...describeOne(error, withStack), ...(causes.length > 0 && { causes }) };
}

/** The cause; of several at once (a connection tried on each address) the first stands for all. */
function causeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  return error.cause ?? (error instanceof AggregateError ? error.errors[0] : undefined);
}

function describeOne(error: unknown, withStack: boolean): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: redactText(describeThrown(error)) };
  const code = 'code' in error ? error.code : undefined;
  const service = 'service' in error ? error.service : undefined;
  return {
    type: redactText(String(error.name), 100),
    ...(isShort(code) && { code: redactText(String(code), 100) }),
    message: redactText(String(error.message)),
    ...(typeof service === 'string' && { service: redactText(service, 100) }),
    ...(withStack && error.stack !== undefined && { stack: redactText(error.stack, 8_000) }),
  };
}

function isShort(code: unknown): code is string | number {
  return typeof code === 'string' || typeof code === 'number';
}

/** Something thrown that is no error: only a text is worth a line, of an object just that it was one. */
function describeThrown(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null ? 'an object was thrown' : String(thrown);
}
