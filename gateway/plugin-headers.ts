/** Header fields of plugins: what they may see, and what they may say. Whatever they may not say is their failure. */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { isHeldBack } from '../policies/reserved-headers.ts';
import type { HeaderChanges, HeaderFacts } from './plugin.ts';

/** One name with its lines; none to remove the field. In lower case. */
export interface HeaderChange {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Fields that say where a message ends or what its connection does: whoever sets them can smuggle another message. */
const framing: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const credentials: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'set-cookie',
  'x-api-key',
]);

/** The fields of an answer by which requests are told apart, and by which operators find them. */
const ownAnswerFields: ReadonlySet<string> = new Set(['x-request-id']);

/** What a plugin may change of a request, or throws a TypeError that says what it may not. */
export function parseRequestChanges(given: HeaderChanges['headers']): HeaderChange[] {
  // What a client cannot say to a service, a plugin cannot: who asks, and from where, is for the gateway to tell.
  return parseChanges(given, (name) => framing.has(name) || isHeldBack(name));
}

/** As {@link parseRequestChanges}, of an answer. */
export function parseAnswerChanges(given: HeaderChanges['headers']): HeaderChange[] {
  return parseChanges(given, (name) => framing.has(name) || ownAnswerFields.has(name));
}

function parseChanges(given: HeaderChanges['headers'], isForbidden: (name: string) => boolean): HeaderChange[] {
  if (given === undefined) return [];
  if (typeof given !== 'object' || given === null) throw new TypeError('`headers` is no object');
  return Object.entries(given).map(([spelled, value]) => {
    const name = spelled.toLowerCase();
    // Node's own checks: a token, and a value without control characters (RFC 9110 sections 5.1 and 5.5).
    validateHeaderName(name);
    if (isForbidden(name)) throw new TypeError(`plugins cannot change the header ${name}`);
    const lines = value === null ? [] : typeof value === 'string' ? [value] : value;
    if (!Array.isArray(lines)) throw new TypeError(`the header ${name} is neither a text, a list of texts, nor null`);
    for (const line of lines) {
      if (typeof line !== 'string') throw new TypeError(`the header ${name} is no text`);
      validateHeaderValue(name, line);
    }
    return { name, lines };
  });
}

/** Names and values in turn, changed. */
export function applyChanges(rawHeaders: readonly string[], changes: readonly HeaderChange[]): string[] {
  const replaced = new Set<string>();
  for (const { name, lines } of changes) if (name !== 'set-cookie' || lines.length === 0) replaced.add(name);
  const changed: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (!replaced.has(name.toLowerCase())) changed.push(name, rawHeaders[i + 1] ?? '');
  }
  for (const { name, lines } of changes) for (const line of lines) changed.push(name, line);
  return changed;
}

/** Fields as plugins see them, frozen; without credentials unless they may see those. */
export function buildHeaderFacts(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  withCredentials: boolean,
  alsoSecret: ReadonlySet<string>,
): HeaderFacts {
  const seen: Record<string, string | readonly string[] | undefined> = Object.create(null);
  for (const name in headers) {
    if (!withCredentials && (credentials.has(name) || alsoSecret.has(name))) continue;
    const value = headers[name];
    seen[name] = typeof value === 'object' ? Object.freeze([...value]) : value;
  }
  return Object.freeze(seen);
}

/** Names and values in turn, by name: as Node does with requests, but for all names. */
export function collectHeaders(rawHeaders: readonly string[]): Record<string, string | string[]> {
  const collected: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    const value = rawHeaders[i + 1] ?? '';
    const before = collected[name];
    if (name === 'set-cookie') collected[name] = [...(before ?? []), value];
    else collected[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return collected;
}
