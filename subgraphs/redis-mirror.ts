/**
 * What one gateway knows of the registry in Redis: the state that was read or written last, and from that, what a
 * reading means and what has to be written. It asks nobody.
 */
import { randomUUID } from 'node:crypto';
import { type AuditEntry, maxAuditEntries } from './audit.ts';
import type { HistoryEntry } from './history.ts';
import type { RedisReading } from './redis-commands.ts';
import { decodeDocument, encodeDocument, listReferences } from './redis-documents.ts';
import { buildFingerprint, listElementReferences, parseElements, RedisLog } from './redis-log.ts';
import { policyMember } from './redis-scripts.ts';
import { type Service, type Snapshot, type StoredPolicy, sortByName } from './snapshot.ts';
import type { StoredState } from './store.ts';

/** A service or a policy. */
interface KnownDocument {
  readonly value: Service | StoredPolicy;
  readonly json: string;
  readonly references: readonly string[];
}

interface EncodedDocument extends KnownDocument {
  /** Long texts that Redis may lack. */
  readonly texts: ReadonlyMap<string, string>;
}

/** What Redis held when it was read or written last. */
interface Base {
  readonly stamp: string;
  readonly snapshot: Snapshot;
  /** By member: services by their name, policies by that behind `policy:`, which no service can be called. */
  readonly documents: ReadonlyMap<string, KnownDocument>;
}

/** What has to be written to come from what is known to a state. */
export interface RedisWrite {
  /** The stamp that Redis must have; `any` when only the lists grow. */
  readonly expected: string;
  readonly revision: number;
  readonly stamp: string;
  /** The counted lists of the save script. */
  readonly lists: readonly (string | number)[];
  /** It is written: this is what is known now. */
  commit(): void;
}

export class RedisMirror {
  readonly #texts = new Map<string, string>();
  readonly #audit = new RedisLog();
  readonly #history = new RedisLog();
  #base: Base | null = null;

  get stamp(): string {
    return this.#base?.stamp ?? '';
  }

  get snapshot(): Snapshot | undefined {
    return this.#base?.snapshot;
  }

  /** How many entries of the lists are known. */
  get counts(): readonly [audit: number, history: number] {
    return [this.#audit.count, this.#history.count];
  }

  get state(): StoredState | null {
    if (this.#base === null) return null;
    const history = this.#history.entries as readonly HistoryEntry[];
    return {
      formatVersion: 1,
      snapshot: this.#base.snapshot,
      audit: this.#audit.entries as readonly AuditEntry[],
      ...(history.length > 0 && { history }),
    };
  }

  /** Hashes of texts that a reading needs and nobody has read yet. */
  listMissingTexts({ documents, audit, history }: RedisReading): readonly string[] {
    const needed = [
      ...documents.flatMap(([, json]) => listReferences(json)),
      ...listElementReferences([...audit, ...history]),
    ];
    return [...new Set(needed)].filter((hash) => !this.#texts.has(hash));
  }

  addText(hash: string, text: string): void {
    this.#texts.set(hash, text);
  }

  /** Takes a reading in. Throws when a text is missing. */
  apply(reading: RedisReading): void {
    const { revision, stamp, mode } = reading;
    if (mode !== 'same') {
      const documents = new Map(mode === 'full' ? [] : this.#base?.documents);
      for (const [member, json] of reading.documents) {
        if (json === '') documents.delete(member);
        else documents.set(member, this.#read(member, json));
      }
      this.#base = { stamp, snapshot: this.#keepIfSame(buildSnapshot(revision, documents)), documents };
    }
    // A list that had more entries than it has now has lost them: it is another one.
    if (reading.auditCount < this.#audit.count) this.#audit.clear();
    if (reading.historyCount < this.#history.count) this.#history.clear();
    this.#audit.append(parseElements(reading.audit, this.#texts), maxAuditEntries);
    this.#history.append(parseElements(reading.history, this.#texts), reading.historyLength);
    this.#audit.count = reading.auditCount;
    this.#history.count = reading.historyCount;
    this.#dropTexts();
  }

  /** Redis holds nothing. */
  forget(): void {
    this.#base = null;
    this.#audit.clear();
    this.#history.clear();
    this.#texts.clear();
  }

  /** What has to be written for Redis to hold this state; null when it does. */
  plan(state: StoredState): RedisWrite | null {
    const base = this.#base;
    const documents = this.#encode(state.snapshot);
    const changed = [...documents].filter(([member, { json }]) => base?.documents.get(member)?.json !== json);
    const removed = [...(base?.documents.keys() ?? [])].filter((member) => !documents.has(member));
    const isSame =
      base !== null && changed.length + removed.length === 0 && base.snapshot.revision === state.snapshot.revision;
    const audits = this.#audit.listNew(state.audit, (entry) => fingerprintOf(entry as AuditEntry));
    const histories = this.#history.listNew(state.history ?? [], () => '');
    if (isSame && audits.length + histories.length === 0) return null;

    const historyLimit = state.history?.length ?? 0;
    const before = base === null ? new Set<string>() : this.#listUsedTexts(base.documents);
    const fresh = new Map([
      ...changed.flatMap(([, { texts }]) => [...texts]),
      ...[...audits, ...histories].flatMap(({ document }) => [...document.texts]),
    ]);
    const after = new Set([
      ...[...documents.values()].flatMap(({ references }) => references),
      ...this.#audit.listReferences(),
      ...this.#history.listReferences(
        histories.map(({ element }) => element),
        historyLimit || undefined,
      ),
    ]);
    const unused = isSame ? [] : [...before].filter((hash) => !after.has(hash) && !fresh.has(hash));
    const missing = [...fresh].filter(([hash]) => !before.has(hash));
    const stamp = isSame ? this.stamp : randomUUID();
    return {
      expected: isSame ? 'any' : this.stamp,
      revision: state.snapshot.revision,
      stamp,
      lists: [
        ...[changed.length, ...changed.flatMap(([member, { json }]) => [member, json])],
        ...[removed.length, ...removed],
        ...[missing.length, ...missing.flat()],
        ...[unused.length, ...unused],
        ...[audits.length, ...audits.flatMap(({ element, text }) => [element.fingerprint, text]), maxAuditEntries],
        ...[histories.length, ...histories.map(({ text }) => text), historyLimit],
      ],
      commit: () => {
        for (const [hash, text] of fresh) this.#texts.set(hash, text);
        this.#base = { stamp, documents, snapshot: state.snapshot };
        // The counts stay behind: what others appended meanwhile has to be read, and what is known is told by its id.
        this.#audit.append(
          audits.map(({ element }) => element),
          maxAuditEntries,
        );
        const generations = histories.map(({ element }) => element);
        if (historyLimit > 0) this.#history.append(generations, historyLimit);
        this.#dropTexts();
      },
    };
  }

  /** Objects stay the same as long as what they say does: who compares them by identity need not look deeper. */
  #read(member: string, json: string): KnownDocument {
    const known = this.#base?.documents.get(member);
    if (known?.json === json) return known;
    const value = decodeDocument(json, this.#texts) as KnownDocument['value'];
    return { value, json, references: listReferences(json) };
  }

  #encode({ services, policies = [] }: Snapshot): ReadonlyMap<string, EncodedDocument> {
    return new Map([
      ...services.map((service) => [service.name, this.#encodeOne(service.name, service)] as const),
      ...policies.map((policy) => {
        const member = `${policyMember}${policy.name}`;
        return [member, this.#encodeOne(member, policy)] as const;
      }),
    ]);
  }

  #encodeOne(member: string, value: KnownDocument['value']): EncodedDocument {
    const known = this.#base?.documents.get(member);
    if (known?.value === value) return { ...known, texts: new Map() };
    const { json, texts } = encodeDocument(value);
    return { value, json, references: [...texts.keys()], texts };
  }

  #keepIfSame(next: Snapshot): Snapshot {
    const known = this.snapshot;
    const isSame =
      known?.revision === next.revision &&
      areSame(known.services, next.services) &&
      areSame(known.policies ?? [], next.policies ?? []);
    return isSame ? known : next;
  }

  #listUsedTexts(documents: ReadonlyMap<string, KnownDocument>): Set<string> {
    const ofDocuments = [...documents.values()].flatMap(({ references }) => references);
    return new Set([...ofDocuments, ...this.#audit.listReferences(), ...this.#history.listReferences()]);
  }

  #dropTexts(): void {
    const used = this.#listUsedTexts(this.#base?.documents ?? new Map());
    for (const hash of this.#texts.keys()) if (!used.has(hash)) this.#texts.delete(hash);
  }
}

function buildSnapshot(revision: number, documents: ReadonlyMap<string, KnownDocument>): Snapshot {
  const services: Service[] = [];
  const policies: StoredPolicy[] = [];
  for (const [member, { value }] of documents) {
    if (member.startsWith(policyMember)) policies.push(value as StoredPolicy);
    else services.push(value as Service);
  }
  return {
    revision,
    services: sortByName(services),
    ...(policies.length > 0 && { policies: sortByName(policies) }),
  };
}

function areSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((entry, index) => entry === b[index]);
}

/** Of refusals, and of what discovery finds: those that are the same but for their time and count. */
function fingerprintOf({ outcome, author, action, code, targets }: AuditEntry): string {
  const isCounted = outcome === 'refused' || action === 'instances.discover';
  return isCounted ? buildFingerprint([author, action, code, targets]) : '';
}
