/**
 * XML as JSON and back, by stated rules: attributes are keys with `@`, text beside them is `#text`, elements of one name
 * are a list, an empty element is null. Entities are those of XML itself and no others; a document type is refused.
 */
import type { XMLParser } from 'fast-xml-parser';
import { decodeUtf8, maxBodyDepth, TextMistake, TextTooLong } from './json-text.ts';
import type { XmlOptions } from './transform-options.ts';

export interface XmlCodec {
  /** Throws a {@link TextMistake}. */
  parse(bytes: Uint8Array): unknown;
  /** Throws a {@link TextMistake} for what XML cannot say, and {@link TextTooLong}. */
  write(value: unknown, maxBytes: number): string;
}

/** Elements and attributes of one document. The library takes some ten microseconds for each. */
const maxNodes = 20_000;

/** Loads the library, which most gateways never need. */
export async function createXmlCodec(options: XmlOptions = {}): Promise<XmlCodec> {
  const library = await import('fast-xml-parser');
  const parser = new library.XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
    processEntities: false,
    cdataPropName: '#cdata',
    ignoreDeclaration: true,
    ignorePiTags: true,
    maxNestedTags: maxBodyDepth,
    // Nothing here is looked up in a prototype, so no name needs another one.
    onDangerousProperty: (name) => name,
  });
  const lists = new Set(options.lists ?? []);
  return {
    parse(bytes) {
      const text = decodeUtf8(bytes);
      // Before the parser: it would read what a document type declares.
      if (/<!(?!--|\[CDATA\[)/.test(text)) throw new TextMistake('The body has a document type, which is not allowed');
      if (countNodes(text) > maxNodes)
        throw new TextMistake(`The body has more than ${maxNodes} elements and attributes`);
      if (library.XMLValidator.validate(text) !== true) throw new TextMistake('The body is no well-formed XML');
      return readDocument(parseNodes(parser, text), { lists, numbers: options.numbers === true });
    },
    write(value, maxBytes) {
      const root = isElement(value) ? value : { [options.root ?? 'root']: value };
      let text = '<?xml version="1.0" encoding="UTF-8"?>';
      const put = (part: string): void => {
        text += part;
        if (text.length > maxBytes) throw new TextTooLong();
      };
      for (const [name, inner] of Object.entries(root)) writeElement(name, inner, put);
      if (Buffer.byteLength(text) > maxBytes) throw new TextTooLong();
      return text;
    },
  };
}

type Node = Readonly<Record<string, unknown>>;

interface Reading {
  readonly lists: ReadonlySet<string>;
  readonly numbers: boolean;
}

/** Rather too many than too few: texts may look like attributes. */
function countNodes(text: string): number {
  let count = 0;
  for (const _ of text.matchAll(/<(?!\/)|=\s*["']/g)) if (++count > maxNodes) break;
  return count;
}

function parseNodes(parser: XMLParser, text: string): readonly Node[] {
  try {
    return parser.parse(text) as readonly Node[];
  } catch (error) {
    throw new TextMistake('The body is no well-formed XML', { cause: error });
  }
}

function readDocument(nodes: readonly Node[], reading: Reading): unknown {
  const [root, ...others] = nodes.filter((node) => nameOf(node) !== '#text');
  if (root === undefined || others.length > 0) throw new TextMistake('The body is no XML with one root element');
  const name = nameOf(root);
  return { [name]: readElement(root, name, name, reading) };
}

function nameOf(node: Node): string {
  return Object.keys(node).find((key) => key !== ':@') ?? '';
}

function readElement(node: Node, name: string, path: string, reading: Reading): unknown {
  const children = (node[name] ?? []) as readonly Node[];
  const result = new Map<string, unknown>();
  for (const [key, value] of Object.entries((node[':@'] ?? {}) as Record<string, unknown>)) {
    result.set(key, readText(decodeEntities(String(value)), reading));
  }
  let text = '';
  for (const child of children) {
    const kind = nameOf(child);
    if (kind === '#text') text += decodeEntities(String(child[kind]));
    else if (kind === '#cdata') text += readCdata(child);
    else addElement(result, kind, `${path}.${kind}`, readElement(child, kind, `${path}.${kind}`, reading), reading);
  }
  const isBlank = text.trim() === '';
  if (result.size === 0) return text === '' ? null : isBlank && children.length > 1 ? null : readText(text, reading);
  if (!isBlank) result.set('#text', readText(text.trim(), reading));
  return Object.fromEntries(result);
}

function addElement(into: Map<string, unknown>, name: string, path: string, value: unknown, { lists }: Reading): void {
  const before = into.get(name);
  if (Array.isArray(before)) before.push(value);
  else if (into.has(name)) into.set(name, [before, value]);
  else into.set(name, lists.has(path) ? [value] : value);
}

function readCdata(node: Node): string {
  return ((node['#cdata'] ?? []) as readonly Node[]).map((part) => String(part['#text'] ?? '')).join('');
}

/** Leading zeros, signs and exponents are not touched: `007` is no number of JSON, and often none at all. */
function readText(text: string, { numbers }: Reading): unknown {
  if (!numbers) return text;
  if (text === 'true' || text === 'false') return text === 'true';
  if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return text;
  const value = Number(text);
  return text.includes('.') || Number.isSafeInteger(value) ? value : BigInt(text);
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decodeEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replaceAll(/&([^;&\s]{0,20};)?/g, (_, named: string | undefined) => {
    const name = named?.slice(0, -1) ?? '';
    const known = Object.hasOwn(entities, name) ? entities[name] : readCharacter(name);
    if (known === undefined) throw new TextMistake('The body has an entity that is none of XML itself');
    return known;
  });
}

function readCharacter(name: string): string | undefined {
  const code = /^#x[0-9a-f]{1,6}$/i.test(name)
    ? Number.parseInt(name.slice(2), 16)
    : /^#\d{1,7}$/.test(name)
      ? Number(name.slice(1))
      : -1;
  if (code < 0 || code > 0x10ffff) return undefined;
  const character = String.fromCodePoint(code);
  return isText(character) ? character : undefined;
}

/** XML 1.0 section 2.2. */
function isText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold
  return !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text) && text.isWellFormed();
}

/** XML 1.0 section 2.3, of which the letters of ASCII and all beyond. */
const elementName = /^[A-Za-z_:\u0080-\uffff][A-Za-z0-9_:.\-\u0080-\uffff]*$/;

function isElement(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length === 1 && !/^[@#]/.test(keys[0] ?? '') && !Array.isArray(Object.values(value)[0]);
}

function writeElement(name: string, value: unknown, put: (part: string) => void): void {
  if (!elementName.test(name)) throw new TextMistake('The body has a key that is no name of an element');
  if (Array.isArray(value)) {
    // A list in a list has no name of its own.
    for (const item of value) writeElement(name, Array.isArray(item) ? { item } : item, put);
    return;
  }
  const entries = typeof value === 'object' && value !== null ? toEntries(value) : [['#text', value] as const];
  put(`<${name}`);
  for (const [key, inner] of entries) {
    if (!key.startsWith('@')) continue;
    const attribute = key.slice(1);
    if (!elementName.test(attribute)) throw new TextMistake('The body has a key that is no name of an attribute');
    put(` ${attribute}="${escapeText(inner)}"`);
  }
  put('>');
  for (const [key, inner] of entries) {
    if (key === '#text') put(escapeText(inner));
    else if (!key.startsWith('@') && inner !== undefined) writeElement(key, inner, put);
  }
  put(`</${name}>`);
}

function toEntries(value: object): readonly (readonly [string, unknown])[] {
  if (value instanceof Date) return [['#text', value.toISOString()]];
  return value instanceof Map ? [...value].map(([key, inner]) => [String(key), inner]) : Object.entries(value);
}

function escapeText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'object') throw new TextMistake('The body has an object where XML has text');
  const text = String(value);
  if (!isText(text)) throw new TextMistake('The body has a character that XML cannot hold');
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}
