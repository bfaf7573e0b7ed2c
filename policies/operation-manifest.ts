/** A manifest of trusted documents: read whole or not at all. */
import { hash } from 'node:crypto';
import { parseBounded } from './document-bounds.ts';

export interface OperationManifest {
  readonly size: number;
  /** The text of an operation; undefined where the client has none of that id. */
  find(id: string, clientName: string | undefined): string | undefined;
  /** Whether it is the text of one of them. */
  hasText(text: string): boolean;
}

const maxOperations = 100_000;
const maxIdLength = 512;
/** Largest manifest, in bytes. */
export const maxManifestBytes = 67_108_864;
/** Documents that are parsed in one turn of the event loop. */
const parsedAtOnce = 50;

interface Entry {
  readonly id: string;
  readonly text: string;
  /** Where it is for one client alone. */
  readonly clientName: string | undefined;
}

/** Reads a manifest in Apollo's or in Relay's format. Rejects with what is wrong with it. */
export async function parseManifest(json: string): Promise<OperationManifest> {
  const entries = readEntries(parseJson(json));
  // A file that was cut off or an empty answer would lock everybody out.
  if (entries.length === 0) throw new Error('the manifest holds no operation');
  if (entries.length > maxOperations) throw new Error(`the manifest holds more than ${maxOperations} operations`);
  const byKey = new Map<string, string>();
  const texts = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    assertEntry(entry);
    const key = keyOf(entry.id, entry.clientName);
    const known = byKey.get(key);
    if (known !== undefined && known !== entry.text)
      throw new Error(`the manifest has two documents of the id ${JSON.stringify(entry.id)}`);
    byKey.set(key, entry.text);
    if (entry.clientName === undefined) texts.add(entry.text);
    // Requests that are waiting come first.
    if (index % parsedAtOnce === parsedAtOnce - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    size: byKey.size,
    find(id, clientName) {
      const own = clientName === undefined ? undefined : byKey.get(keyOf(id, clientName));
      return own ?? byKey.get(keyOf(id, undefined));
    },
    hasText: (text) => texts.has(text),
  };
}

/** A length before the name: no pair of them reads like another. */
function keyOf(id: string, clientName: string | undefined): string {
  return clientName === undefined ? `-${id}` : `${clientName.length}:${clientName}${id}`;
}

function parseJson(text: string): unknown {
  if (text.length > maxManifestBytes) throw new Error(`the manifest is longer than ${maxManifestBytes} bytes`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error('the manifest is not JSON', { cause: error });
  }
}

function readEntries(value: unknown): readonly Partial<Entry>[] {
  if (!isObject(value)) throw new Error('the manifest is no object');
  if ('format' in value && isObjectList(value['operations'])) return readApollo(value, value['operations']);
  return Object.entries(value).map(([id, text]) => ({ id, text: text as string }));
}

function readApollo(manifest: Record<string, unknown>, operations: readonly unknown[]): readonly Partial<Entry>[] {
  const { format, version } = manifest;
  if (format !== 'apollo-persisted-query-manifest' || version !== 1)
    throw new Error('the manifest is not of the format apollo-persisted-query-manifest, version 1');
  return operations.map((operation) => {
    if (!isObject(operation)) throw new Error('the manifest lists something that is no operation');
    const { id, body, clientName } = operation;
    if (clientName !== undefined && clientName !== null && typeof clientName !== 'string')
      throw new Error('the manifest names a client by something that is no text');
    return { id: id as string, text: body as string, clientName: clientName ?? undefined };
  });
}

function assertEntry(entry: Partial<Entry>): asserts entry is Entry {
  const { id, text } = entry;
  if (typeof id !== 'string' || id === '' || id.length > maxIdLength)
    throw new Error(`the manifest has an id that is no text of 1 to ${maxIdLength} characters`);
  const name = JSON.stringify(id);
  if (typeof text !== 'string') throw new Error(`the document of the id ${name} is no text`);
  // What looks like a hash of the text must be one: a client may come to rely on it.
  const digest = /^sha256:([0-9a-f]{64})$/.exec(id)?.[1];
  if (digest !== undefined && digest !== hash('sha256', text))
    throw new Error(`the document of the id ${name} does not have that hash`);
  try {
    parseBounded(text, { noLocation: true });
  } catch (error) {
    throw new Error(`the document of the id ${name} cannot be parsed`, { cause: error });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isObjectList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}
