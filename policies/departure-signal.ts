/** A departure that somebody makes happen: the one implementation of {@link Departure}. */
import type { Departure } from './request-context.ts';

export class DepartureSignal implements Departure {
  happened = false;
  readonly #listeners = new Set<() => void>();

  /** Tells all who listen, once. */
  happen(): void {
    if (this.happened) return;
    this.happened = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  subscribe(listener: () => void): () => void {
    if (this.happened) listener();
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
