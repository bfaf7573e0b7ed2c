/**
 * A circuit breaker, of an instance or of anything else that is called: it opens when too large a share of the last
 * calls failed, and lets a single call through after a while to see whether all is well again.
 */
import { CountBreaker } from 'cockatiel';
import type { BreakerSettings } from './circuit-breaker-options.ts';

export type BreakerState = 'closed' | 'open' | 'half-open';

type State =
  | { readonly name: 'closed' }
  | { readonly name: 'open'; readonly untilMs: number }
  | { readonly name: 'half-open'; probing: boolean };

/**
 * Counting is cockatiel's; the states are our own, because its policy makes other calls wait in half-open until the
 * probe has ended, where a balancer wants to know at once that it must choose another instance.
 *
 * Whoever begins a call gets a permit, and gives it back with what became of the call. Permits of an earlier state
 * count for nothing: a call that began before the breaker opened says nothing about the instance now.
 */
export class CircuitBreaker {
  #state: State = { name: 'closed' };
  #numbers: BreakerSettings;
  #counter: CountBreaker;
  #permit = 0;
  readonly #onChange: (state: BreakerState) => void;

  constructor(numbers: BreakerSettings, onChange: (state: BreakerState) => void = () => {}) {
    this.#numbers = numbers;
    this.#counter = createCounter(numbers);
    this.#onChange = onChange;
  }

  get state(): BreakerState {
    return this.#state.name;
  }

  /** Codes of GraphQL errors that whoever calls should take for failures. */
  get errorCodes(): ReadonlySet<string> {
    return this.#numbers.breakerErrorCodes;
  }

  /** Whether a call may begin now. */
  isReady(nowMs: number): boolean {
    const state = this.#state;
    if (state.name === 'closed') return true;
    return state.name === 'open' ? nowMs >= state.untilMs : !state.probing;
  }

  /** Begins a call, which {@link isReady} must have allowed, and returns its permit. */
  begin(nowMs: number): number {
    if (this.#state.name !== 'closed') this.#beginProbe(nowMs);
    return this.#permit;
  }

  succeed(permit: number): void {
    if (permit !== this.#permit) return;
    if (this.#state.name === 'closed') this.#counter.success(0);
    else this.reset();
  }

  fail(permit: number, nowMs: number): void {
    if (permit !== this.#permit) return;
    if (this.#state.name !== 'closed' || this.#counter.failure(0)) {
      this.#enter({ name: 'open', untilMs: nowMs + this.#numbers.breakerOpenForMs });
    }
  }

  /** Ends a call that says nothing about the instance, e.g. because the client left. The next call may probe. */
  release(permit: number): void {
    if (permit === this.#permit && this.#state.name === 'half-open') this.#state.probing = false;
  }

  /** Milliseconds until a call may begin; 0 when one may now, or as soon as the probe under way has ended. */
  retryAfterMs(nowMs: number): number {
    return this.#state.name === 'open' ? Math.max(0, this.#state.untilMs - nowMs) : 0;
  }

  /** Closes and forgets what it counted, e.g. when another process has taken the instance's place. */
  reset(): void {
    this.#counter = createCounter(this.#numbers);
    if (this.#state.name !== 'closed') this.#enter({ name: 'closed' });
  }

  /** Takes new numbers. What was counted is forgotten when they differ; an open breaker stays open as long as it was to. */
  configure(numbers: BreakerSettings): void {
    const same =
      numbers.breakerFailureShare === this.#numbers.breakerFailureShare &&
      numbers.breakerMinimumCalls === this.#numbers.breakerMinimumCalls;
    this.#numbers = numbers;
    if (!same) this.#counter = createCounter(numbers);
  }

  #beginProbe(nowMs: number): void {
    if (!this.isReady(nowMs)) throw new Error('a call began although the breaker does not allow it');
    if (this.#state.name === 'half-open') this.#state.probing = true;
    else this.#enter({ name: 'half-open', probing: true });
  }

  #enter(state: State): void {
    this.#state = state;
    this.#permit++;
    this.#onChange(state.name);
  }
}

/**
 * The window is five times the minimum: small enough to notice a dying instance within some tens of calls, large enough
 * that one in five calls failing at random does not open a breaker set to a half.
 */
function createCounter(numbers: BreakerSettings): CountBreaker {
  // Cockatiel opens above the threshold and refuses 0 and 1; we open at the share that people write.
  const threshold = Math.min(1 - 1e-6, Math.max(1e-9, numbers.breakerFailureShare - 1e-6));
  return new CountBreaker({
    threshold,
    size: numbers.breakerMinimumCalls * 5,
    minimumNumberOfCalls: numbers.breakerMinimumCalls,
  });
}
