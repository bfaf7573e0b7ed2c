/** Reading again and again what a shared store has, so that no request waits for it. */

export interface FollowOptions {
  /** @default 1000 */
  readonly intervalMs?: number;
  /** The store cannot be read, or can be again. Told once each. */
  readonly onAvailable: (available: boolean, error?: unknown) => void;
}

export interface StoreFollower {
  /** Resolves when the store was read for the first time, or could not be. Never rejects. */
  readonly begun: Promise<void>;
  close(): void;
}

/** Calls `read` at once and in every interval after the one before has ended. */
export function followStore(
  read: (isClosed: () => boolean) => Promise<void>,
  { intervalMs = 1_000, onAvailable }: FollowOptions,
): StoreFollower {
  let available = true;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function turn(): Promise<void> {
    try {
      await read(() => closed);
      if (!available && !closed) onAvailable(true);
      available = true;
    } catch (error) {
      if (available && !closed) onAvailable(false, error);
      available = false;
    }
    if (!closed) timer = setTimeout(turn, intervalMs).unref();
  }

  return {
    begun: turn(),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
