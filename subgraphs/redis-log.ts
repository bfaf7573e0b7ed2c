/** A bounded list that many gateways append to: which entries are known here, and how to write those that are not. */
import { createHash, randomUUID } from 'node:crypto';
import { decodeDocument, encodeDocument, listReferences, type RedisDocument } from './redis-documents.ts';

interface Element {
  readonly id: string;
  readonly fingerprint: string;
  readonly entry: unknown;
  readonly json: string;
  readonly references: readonly string[];
}

export interface NewElement {
  readonly element: Element;
  readonly document: RedisDocument;
  /** As the list in Redis holds it. */
  readonly text: string;
}

export class RedisLog {
  /** How many entries the list ever had, when it was read last. */
  count = 0;
  #elements: readonly Element[] = [];
  #entries: readonly unknown[] = [];

  /** What stands in the list, oldest first. The same array as long as nothing changes. */
  get entries(): readonly unknown[] {
    return this.#entries;
  }

  /** Texts that the list needs, or would need with these elements in it. */
  listReferences(elements: readonly Element[] = [], limit = Number.POSITIVE_INFINITY): readonly string[] {
    return this.#join(elements, limit).flatMap(({ references }) => references);
  }

  /** Entries of a list that are not in Redis yet. */
  listNew(entries: readonly unknown[], fingerprintOf: (entry: unknown) => string): readonly NewElement[] {
    const known = new Set(this.#entries);
    const unknown = entries.filter((entry) => !known.has(entry));
    if (unknown.length === 0) return [];
    const jsons = new Set(this.#elements.map(({ json }) => json));
    return unknown
      .map((entry) => ({ entry, document: encodeDocument(entry) }))
      .filter(({ document }) => !jsons.has(document.json))
      .map(({ entry, document }) => {
        const fingerprint = fingerprintOf(entry);
        const id = randomUUID();
        const element = { id, fingerprint, entry, json: document.json, references: [...document.texts.keys()] };
        return { element, document, text: `${id} ${fingerprint} ${document.json}` };
      });
  }

  /** Takes in what was written, or what others wrote. */
  append(elements: readonly Element[], limit: number): void {
    const joined = this.#join(elements, limit);
    if (joined !== this.#elements) this.#set(joined);
  }

  clear(): void {
    this.count = 0;
    this.#set([]);
  }

  #join(elements: readonly Element[], limit: number): readonly Element[] {
    const known = new Set(this.#elements.map(({ id }) => id));
    const fresh = elements.filter(({ id }) => !known.has(id));
    if (fresh.length === 0 && this.#elements.length <= limit) return this.#elements;
    const all = [...this.#elements];
    for (const element of fresh) {
      if (element.fingerprint !== '' && all.at(-1)?.fingerprint === element.fingerprint) all.pop();
      all.push(element);
    }
    return all.slice(Math.max(0, all.length - limit));
  }

  #set(elements: readonly Element[]): void {
    this.#elements = elements;
    this.#entries = elements.map(({ entry }) => entry);
  }
}

/** References of elements as they stand in Redis. */
export function listElementReferences(texts: readonly string[]): string[] {
  return texts.flatMap((text) => listReferences(text));
}

export function parseElements(elements: readonly string[], texts: ReadonlyMap<string, string>): readonly Element[] {
  return elements.map((text) => {
    const [id = '', fingerprint = ''] = text.split(' ', 2);
    const json = text.slice(id.length + fingerprint.length + 2);
    return { id, fingerprint, json, entry: decodeDocument(json, texts), references: listReferences(json) };
  });
}

/** Short and without spaces. */
export function buildFingerprint(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 16);
}
