/** What of an answer is not what it should be, although the answer does not show it: something stands in. */

export type Substitute = 'stale' | 'fallback' | 'none';

/** Goes out as a member of `extensions.degraded`. */
export interface Degradation {
  /** Where, for a root field. */
  readonly path?: readonly string[];
  /** Which, for fields of other types: something stands in for it in one place or several. */
  readonly field?: string;
  /** Why the field itself could not be had. */
  readonly code: string;
  readonly with: Substitute;
}

/** A field failed, and something stands in for it, or nothing does. */
export type DegradedListener = (field: string, code: string, substitute: Substitute) => void;
