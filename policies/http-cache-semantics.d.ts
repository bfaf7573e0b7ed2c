/** The part of http-cache-semantics that is used here; the package brings no types. */
declare module 'http-cache-semantics' {
  interface CacheRequest {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
  }

  interface CacheResponse {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
  }

  export interface CacheVerdict {
    readonly response: CacheResponse | undefined;
    readonly revalidation: { readonly synchronous: boolean } | undefined;
  }

  export default class CachePolicy {
    constructor(
      request: CacheRequest | undefined,
      response: CacheResponse | undefined,
      options?: { readonly shared?: boolean; readonly cacheHeuristic?: number; readonly _fromObject?: object },
    );
    now(): number;
    storable(): boolean;
    stale(): boolean;
    /** Seconds. */
    age(): number;
    /** Seconds. */
    maxAge(): number;
    evaluateRequest(request: CacheRequest): CacheVerdict;
    toObject(): object;
  }
}
