/** Kept answers in their store: one at the key of the address, or, where they vary, each at a key of its own. */
import { readAnswerTags } from '../policies/answer-tags.ts';
import type { ForwardReason } from '../policies/cache-status.ts';
import type { CacheEntry, CacheStore } from '../policies/cache-store.ts';
import type { StoredHead } from '../policies/http-caching.ts';
import { buildNamedTag, foreignAnswers, tagsOfPath } from './cache-tags.ts';
import type { KeptAnswer } from './cached-receiver.ts';
import type { CallRequest } from './call.ts';
import { type CacheRequest, variantKey } from './http-cache-key.ts';

/** What is kept for a request. */
export interface Found {
  /** That of the answer, if there is one for these headers. */
  readonly key: string;
  readonly answer: KeptAnswer | null;
  readonly epoch: number;
  readonly missReason: ForwardReason;
}

/** Looks up the answer for a request. */
export async function findKept(store: CacheStore, { primaryKey, headers }: CacheRequest): Promise<Found> {
  const { entry, epoch } = await store.get(primaryKey);
  if (entry === null) return { key: primaryKey, answer: null, epoch, missReason: 'uri-miss' };
  const vary = readVary(entry);
  if (vary === null) return { key: primaryKey, answer: readAnswer(entry, []), epoch, missReason: 'uri-miss' };
  const key = variantKey(primaryKey, vary, headers);
  const variant = await store.get(key);
  const answer = variant.entry === null ? null : readAnswer(variant.entry, vary);
  return { key, answer, epoch: variant.epoch, missReason: 'vary-miss' };
}

/** Keeps an answer; whether the store took it. */
export async function keepAnswer(
  store: CacheStore,
  { service, path, routedBy }: CallRequest,
  { primaryKey }: CacheRequest,
  kept: KeptAnswer,
  epoch: number,
): Promise<boolean> {
  const named = readAnswerTags(kept.head.rawHeaders).map((name) => buildNamedTag(service, name));
  const byRoute = routedBy === undefined ? [] : tagsOfPath(foreignAnswers(service, routedBy), path);
  const how = { ttlMs: kept.keepMs, tags: [...tagsOfPath(service, path), ...byRoute, ...named], epoch };
  if (kept.vary.length > 0) {
    const names: VaryNames = { version: 1, vary: kept.vary };
    await store.set(primaryKey, { meta: names, body: Buffer.alloc(0) }, how);
  }
  return await store.set(kept.requestVariant, { meta: kept.head, body: kept.body }, how);
}

/** In the place of an answer: there are several, by these fields of requests. */
interface VaryNames {
  readonly version: 1;
  readonly vary: readonly string[];
}

function readVary({ meta }: CacheEntry): readonly string[] | null {
  return (meta as Partial<VaryNames>).vary ?? null;
}

function readAnswer({ meta, body }: CacheEntry, vary: readonly string[]): KeptAnswer | null {
  const head = meta as StoredHead;
  return head.version === 1 && head.policy !== undefined ? { head, body, vary, requestVariant: '', keepMs: 0 } : null;
}
