/**
 * Limits of bytes. How much a request will take is known only at its end, so it passes when anything is left, and what
 * then passes is charged after the fact: a debt that later requests pay. A body under way is never cut for it.
 */
import type { RequestContext } from './request-context.ts';

/** The bodies whose bytes a rule counts: of request and answer, or of one of them. */
export type ByteCount = 'bytes' | 'requestBytes' | 'responseBytes';

/** Whom a request's bytes are charged to, by one rule. */
export interface ByteAccount {
  readonly key: string;
  readonly count: ByteCount;
  readonly charge: (bytes: number) => void;
}

/** A long body is charged in parts of this size, so that others see what it takes before it is over. */
const partBytes = 262_144;

/** What one request owes to all the rules that count its bytes. */
export class ByteMeter {
  readonly #accounts = new Map<string, { readonly account: ByteAccount; owedBytes: number }>();

  /** Of a batch each operation is asked for, but its bytes pass once. */
  open(account: ByteAccount, requestBytes: number): void {
    if (this.#accounts.has(account.key)) return;
    const passed = account.count === 'responseBytes' ? 0 : requestBytes;
    // One was taken when it was asked for.
    this.#accounts.set(account.key, { account, owedBytes: passed - 1 });
  }

  passRequest(bytes: number): void {
    this.#pass(bytes, 'responseBytes');
  }

  passResponse(bytes: number): void {
    this.#pass(bytes, 'requestBytes');
  }

  /** Charges what has not been charged yet. */
  settle(): void {
    for (const entry of this.#accounts.values()) settle(entry);
  }

  #pass(bytes: number, uncounted: ByteCount): void {
    for (const entry of this.#accounts.values()) {
      if (entry.account.count === uncounted) continue;
      entry.owedBytes += bytes;
      if (entry.owedBytes >= partBytes) settle(entry);
    }
  }
}

function settle(entry: { readonly account: ByteAccount; owedBytes: number }): void {
  if (entry.owedBytes <= 0) return;
  entry.account.charge(entry.owedBytes);
  entry.owedBytes = 0;
}

/** Begins to count the bytes of a request that rules let pass. What of its body has been read already counts as well. */
export function meterBytes(request: RequestContext, accounts: readonly ByteAccount[]): void {
  if (accounts.length === 0) return;
  let { meter } = request;
  if (meter === undefined) {
    meter = new ByteMeter();
    request.meter = meter;
    // Also of an answer that its client did not wait for.
    request.atEnd(() => request.meter?.settle());
  }
  for (const account of accounts) meter.open(account, request.requestBytes ?? 0);
}

/** Whether the rule counts bytes. */
export function isByteCount(count: string): count is ByteCount {
  return count === 'bytes' || count === 'requestBytes' || count === 'responseBytes';
}
