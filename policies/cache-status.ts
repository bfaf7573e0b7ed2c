/** `Cache-Status` (RFC 9211): what a cache did with a request, for whoever wonders. */

/** Why a request went to the service (RFC 9211 section 2.2). */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale';

export interface CacheStatus {
  /** Seconds that the answer stays fresh; negative for a stale one. */
  readonly ttlSeconds?: number;
  /** Absent for a hit. */
  readonly forward?: ForwardReason;
  readonly forwardStatus?: number;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  /** A token of our own, e.g. `stale-if-error`. */
  readonly detail?: string;
}

/** The member of this cache. */
export function formatCacheStatus(status: CacheStatus): string {
  const { ttlSeconds, forward, forwardStatus, stored, collapsed, detail } = status;
  return [
    'Selvage',
    forward === undefined ? 'hit' : `fwd=${forward}`,
    ...(forwardStatus === undefined ? [] : [`fwd-status=${forwardStatus}`]),
    ...(ttlSeconds === undefined ? [] : [`ttl=${Math.floor(ttlSeconds)}`]),
    ...(stored === true ? ['stored'] : []),
    ...(collapsed === true ? ['collapsed'] : []),
    ...(detail === undefined ? [] : [`detail=${detail}`]),
  ].join('; ');
}
