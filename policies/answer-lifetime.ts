/** What services say, in the headers of their answers, about how long what is made of them may be kept, and for whom. */
import { parseCacheControl, readMs } from './cache-control.ts';
import { toHeaderMap } from './http-headers.ts';

/** Of one answer, or of several together. */
export interface AnswerHints {
  /** Infinity where nothing is said. */
  readonly maxAgeMs: number;
  readonly isPrivate: boolean;
  /** Whether it may never be given out stale. */
  readonly isStrict: boolean;
  /** By which it can be dropped. */
  readonly tags: Iterable<string>;
}

/** Gathers what the answers say that a request needs: the least time, and private where one of them is. */
export class AnswerLifetime implements AnswerHints {
  maxAgeMs = Number.POSITIVE_INFINITY;
  isPrivate = false;
  isStrict = false;
  readonly tags = new Set<string>();

  add({ maxAgeMs, isPrivate, isStrict, tags }: AnswerHints): void {
    this.maxAgeMs = Math.min(this.maxAgeMs, maxAgeMs);
    this.isPrivate ||= isPrivate;
    this.isStrict ||= isStrict;
    for (const tag of tags) this.tags.add(tag);
  }
}

/** Reads `Cache-Control` and `Age` as a shared cache does (RFC 9111 section 4.2.1). An answer without them says nothing. */
export function readAnswerHints(rawHeaders: readonly string[], tags: readonly string[]): AnswerHints {
  const { 'cache-control': control, age } = toHeaderMap(rawHeaders);
  const directives = parseCacheControl(control);
  const isRefused = directives.has('no-store') || directives.has('no-cache');
  const givenMs = readMs(directives, 's-maxage') ?? readMs(directives, 'max-age') ?? Number.POSITIVE_INFINITY;
  const ageMs = /^\d+$/.test(age?.trim() ?? '') ? Number(age) * 1_000 : 0;
  return {
    maxAgeMs: isRefused ? 0 : Math.max(0, givenMs - ageMs),
    isPrivate: directives.has('private'),
    isStrict: directives.has('must-revalidate') || directives.has('proxy-revalidate'),
    tags,
  };
}
