/**
 * Values of header rules: text with variables in braces, e.g. `{viewer.claims.tenant}`. They are compiled when the
 * configuration is loaded; a variable that nobody knows is a mistake then, one that has no value later is none.
 */
import type { RequestContext } from './request-context.ts';
import { isViewerHeader } from './viewer-headers.ts';

/** What is known where a rule stands. */
export interface TemplateScope {
  /** Undefined where a rule is for requests of several services. */
  readonly service?: string | undefined;
  /** Pattern of the route; undefined where there is none, or several. */
  readonly routePath?: string | undefined;
}

/** A value for one request; undefined where a variable in it has none. */
export type Template = (context: RequestContext, path: string) => string | undefined;

type Read = (context: RequestContext, path: string) => unknown;

const readers: Readonly<Record<string, Read>> = {
  'viewer.id': ({ viewer }) => viewer?.id,
  'viewer.kind': ({ viewer }) => viewer?.kind,
  'viewer.issuer': ({ viewer }) => viewer?.issuer,
  'viewer.roles': ({ viewer }) => viewer?.roles,
  'viewer.scopes': ({ viewer }) => viewer && [...viewer.scopes],
  'request.id': ({ id }) => id,
  'request.method': ({ method }) => method,
  'request.host': ({ client }) => octets(client.host),
  'request.ip': ({ client }) => client.address,
  'request.protocol': ({ client }) => client.protocol,
};

const credentialNames: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-api-key', 'proxy-authorization']);

/** A variable in braces, or a brace that stands for itself: `{{` and `}}`. */
const pieces = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;

/** What is wrong with a value; null when nothing is. */
export function findTemplateMistake(text: string, scope: TemplateScope): string | null {
  for (const [piece, variable] of text.matchAll(pieces)) {
    if (piece === '{' || piece === '}') return `a single ${piece}: write {{ or }} for a brace that stands for itself`;
    if (variable === undefined) continue;
    const header = readHeaderName(variable);
    if (header !== undefined && isViewerHeader(header))
      return `{${variable}} is what a client claims: take {viewer.id}`;
    if (findReader(variable, scope) === undefined) return `unknown variable {${variable}}${hintFor(variable, scope)}`;
  }
  return null;
}

function hintFor(variable: string, { routePath }: TemplateScope): string {
  if (variable.startsWith('route.params.'))
    return routePath === undefined ? ': parameters are known to rules of routes' : ` in ${routePath}`;
  if (variable === 'service') return ': there are several here';
  return '';
}

/** Compiles a value in which {@link findTemplateMistake} finds nothing. */
export function compileTemplate(text: string, scope: TemplateScope): Template {
  const parts: (string | Read)[] = [];
  let from = 0;
  for (const match of text.matchAll(pieces)) {
    const [piece, variable] = match;
    parts.push(text.slice(from, match.index));
    from = match.index + piece.length;
    parts.push(variable === undefined ? piece.charAt(0) : (findReader(variable, scope) ?? missing));
  }
  parts.push(text.slice(from));
  if (parts.every((part) => typeof part === 'string')) {
    const constant = parts.join('').trim();
    return () => constant;
  }
  return (context, path) => {
    let value = '';
    for (const part of parts) {
      if (typeof part === 'string') value += part;
      else {
        const read = format(part(context, path));
        if (read === undefined) return undefined;
        value += read;
      }
    }
    return value.trim();
  };
}

const missing: Read = () => undefined;

/** The variables of a value, and the headers that it reads. */
export function listVariables(text: string): readonly string[] {
  return [...text.matchAll(pieces)].flatMap(([, variable]) => (variable === undefined ? [] : [variable]));
}

/** Whether a value holds what a client proves itself with. */
export function readsCredentials(text: string): boolean {
  return listVariables(text).some((variable) => isCredential(readHeaderName(variable) ?? ''));
}

export function isCredential(lowerCaseName: string): boolean {
  return credentialNames.has(lowerCaseName);
}

/**
 * What tells one asker from another by the variables of a value, as names for `describeAsker`: headers by their name, the
 * rest in braces. The id of a request tells nothing: it is another one each time.
 */
export function listAskerParts(text: string): readonly string[] {
  return listVariables(text).flatMap((variable) => {
    if (variable === 'request.id' || variable === 'service') return [];
    return [readHeaderName(variable) ?? `{${variable}}`];
  });
}

/** Whether a name of {@link listAskerParts} is no header's. */
export function isInBraces(part: string): boolean {
  return part.startsWith('{');
}

/** A name of {@link listAskerParts} that stands in braces, for one request. */
export function readAskerPart(part: string, context: RequestContext): string | null {
  return format(findReader(part.slice(1, -1), {})?.(context, '')) ?? null;
}

function readHeaderName(variable: string): string | undefined {
  return /^request\.header\.([A-Za-z0-9_-]+)$/.exec(variable)?.[1]?.toLowerCase();
}

function findReader(variable: string, { service, routePath }: TemplateScope): Read | undefined {
  if (Object.hasOwn(readers, variable)) return readers[variable];
  const header = readHeaderName(variable);
  if (header !== undefined)
    return ({ headers }) => (typeof headers[header] === 'string' ? octets(headers[header]) : undefined);
  if (variable === 'service') return service === undefined ? undefined : () => service;
  const claim = /^viewer\.claims\.(.+)$/.exec(variable)?.[1];
  if (claim !== undefined) return ({ viewer }) => readClaim(viewer?.claims, claim);
  const parameter = /^route\.params\.(\w+)$/.exec(variable)?.[1];
  const position = parameter === undefined ? -1 : findParameter(routePath ?? '', parameter);
  // By position in the path as it came: percent-encoded as it is, it holds nothing that a header could not.
  return position < 0 ? undefined : (_, path) => octets(path.split('/')[position] ?? '');
}

/** The claim of that name, or else what a path of names leads to. */
function readClaim(claims: Readonly<Record<string, unknown>> | undefined, name: string): unknown {
  if (claims === undefined) return undefined;
  if (Object.hasOwn(claims, name)) return claims[name];
  return name.split('.').reduce<unknown>((value, key) => {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
  }, claims);
}

/** Marks what came in a header, and so may go out in one as it is. */
interface Octets {
  readonly octets: string;
}

function octets(text: string): Octets {
  return { octets: text };
}

function format(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : encode(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) {
    const items = value.flatMap((item) => format(item)?.replaceAll(',', '%2C') ?? []);
    return items.length === 0 ? undefined : items.join(',');
  }
  const raw = (value as Octets | null | undefined)?.octets;
  // Node refuses what RFC 9110 section 5.5 does; this is for what other servers might let in.
  return typeof raw === 'string' && raw !== '' ? raw.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '') : undefined;
}

/** Percent-encodes what a field cannot hold (RFC 9110 section 5.5), and the percent sign: it can be decoded again. */
function encode(value: string): string {
  return value.toWellFormed().replace(/[^\x20-\x7e]|%/gu, encodeURIComponent);
}

/** The position of a parameter in a pattern, whatever it must look like. */
function findParameter(pattern: string, name: string): number {
  return pattern.split('/').findIndex((segment) => segment === `:${name}` || segment.startsWith(`:${name}(`));
}
