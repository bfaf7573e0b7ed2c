/**
 * Values as the Redis store keeps them: JSON in which long texts are replaced by their hash. A schema is stored and sent
 * once, whoever refers to it, and a change of a service's instances does not carry its schema along.
 */
import { createHash } from 'node:crypto';

/** Shorter texts are not worth a look-up. */
const minLength = 512;
const marker = '$text';

export interface RedisDocument {
  readonly json: string;
  /** The long texts in it, by hash. */
  readonly texts: ReadonlyMap<string, string>;
}

/** A value as JSON, and the texts that were taken out of it. */
export function encodeDocument(value: unknown): RedisDocument {
  const texts = new Map<string, string>();
  const json = JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'object' && part !== null) return renameKeys(part, /^\$+text$/, (name) => `$${name}`);
    if (typeof part !== 'string' || part.length < minLength) return part;
    const hash = createHash('sha256').update(part).digest('base64url');
    texts.set(hash, part);
    return { [marker]: hash };
  });
  return { json, texts };
}

/** The hashes of the texts that a document needs. */
export function listReferences(json: string): string[] {
  // A quote inside a string is escaped in JSON, so this matches only where the encoder wrote it.
  return [...json.matchAll(/\{"\$text":"([\w-]+)"\}/g)].map((match) => match[1] ?? '');
}

/** The value again. Throws when a text is missing. */
export function decodeDocument(json: string, texts: ReadonlyMap<string, string>): unknown {
  return JSON.parse(json, (_key, part: unknown) => {
    if (typeof part !== 'object' || part === null) return part;
    if (!(marker in part)) return renameKeys(part, /^\$\$+text$/, (name) => name.slice(1));
    const text = texts.get(String(part[marker]));
    if (text === undefined) throw new Error('a text of the stored registry is missing');
    return text;
  });
}

/** A key of the value's own that looks like the marker stands for itself, by one more `$`. */
function renameKeys(value: object, pattern: RegExp, rename: (key: string) => string): object {
  if (Array.isArray(value) || !Object.keys(value).some((key) => pattern.test(key))) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [pattern.test(key) ? rename(key) : key, part]));
}
