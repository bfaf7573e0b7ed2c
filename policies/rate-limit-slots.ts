/** Slots of concurrency limits: who holds one, for how long without a word, and who keeps saying so. */
import { type CountResult, slotRetryMs } from './rate-limit-count.ts';

/** Holders of slots by key. Only keys with a holder take memory. */
export interface Slots {
  take(key: string, limit: number, holder: string, leaseMs: number): CountResult;
  /** The holder goes on. One that is not known any more gets its place back: its request is under way all the same. */
  renew(key: string, holder: string, leaseMs: number): void;
  release(key: string, holder: string): void;
  /** Slots that are held. */
  readonly size: number;
  clear(): void;
}

/** Slots in memory. With an endless lease only `release` frees one. */
export function createSlots(now: () => number = () => performance.now()): Slots {
  const byKey = new Map<string, Map<string, number>>();

  function holdersOf(key: string): Map<string, number> {
    const known = byKey.get(key);
    if (known !== undefined) return known;
    const holders = new Map<string, number>();
    byKey.set(key, holders);
    return holders;
  }

  return {
    take(key, limit, holder, leaseMs) {
      const holders = holdersOf(key);
      // Whoever holds is looked through only where there is no room.
      if (holders.size >= limit) for (const [other, endsAt] of holders) if (endsAt <= now()) holders.delete(other);
      const allowed = holders.size < limit;
      if (allowed) holders.set(holder, now() + leaseMs);
      const remaining = Math.max(0, limit - holders.size);
      return { allowed, remaining, retryAfterMs: remaining > 0 ? 0 : slotRetryMs, resetMs: 0 };
    },
    renew(key, holder, leaseMs) {
      holdersOf(key).set(holder, now() + leaseMs);
    },
    release(key, holder) {
      const holders = byKey.get(key);
      if (holders?.delete(holder) && holders.size === 0) byKey.delete(key);
    },
    get size() {
      let size = 0;
      for (const holders of byKey.values()) size += holders.size;
      return size;
    },
    clear: () => byKey.clear(),
  };
}

/** A slot that this process holds somewhere else. */
export interface HeldSlot {
  readonly key: string;
  readonly holder: string;
  readonly leaseMs: number;
}

export interface LeaseKeeper {
  /** Renews the slot until the returned function is called. */
  hold(slot: HeldSlot): () => void;
  close(): void;
}

/** Renews the slots of this process three times within each lease, and gives them back. */
export function createLeaseKeeper(
  renew: (slots: readonly HeldSlot[]) => void,
  release: (slot: HeldSlot) => void,
): LeaseKeeper {
  const byLease = new Map<number, Set<HeldSlot>>();
  const timers: NodeJS.Timeout[] = [];

  function heldFor(leaseMs: number): Set<HeldSlot> {
    const known = byLease.get(leaseMs);
    if (known !== undefined) return known;
    const held = new Set<HeldSlot>();
    byLease.set(leaseMs, held);
    const renewAll = (): void => {
      if (held.size > 0) renew([...held]);
    };
    timers.push(setInterval(renewAll, leaseMs / 3).unref());
    return held;
  }

  return {
    hold(slot) {
      const held = heldFor(slot.leaseMs);
      held.add(slot);
      return () => {
        if (held.delete(slot)) release(slot);
      };
    },
    close() {
      for (const timer of timers) clearInterval(timer);
      byLease.clear();
    },
  };
}
