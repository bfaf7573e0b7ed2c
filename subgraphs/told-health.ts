/**
 * The health of one instance as another process tells it. What this process sees for itself holds at once: an instance
 * that it cannot connect to is out, until it is told more, or a moment has passed.
 */
import { type Clock, systemClock, type Timer } from './clock.ts';
import { type Health, type HealthSource, unblemished } from './health-source.ts';

export interface ToldHealthOptions {
  readonly onChange: (health: Health) => void;
  /** A call of this process could not connect: for whoever probes, and tells the others. */
  readonly onEject: (why: string) => void;
  /** A connection broke in the middle of a call: for whoever probes, to look whether anybody still listens. */
  readonly onDoubt?: (() => void) | undefined;
  /** @default the system's */
  readonly clock?: Pick<Clock, 'setTimer'>;
}

/** How long a suspicion holds that nobody answers: the one who probes may be gone, and the instance may be back. */
const suspicionMs = 2_000;

/** How long the answer to a doubt may take: a probe of whoever probes. */
const doubtEveryMs = 250;

export class ToldHealth implements HealthSource {
  #told: Health = unblemished;
  #suspicion: Health | null = null;
  #timer: Timer | null = null;
  #doubtTimer: Timer | null = null;
  #stopped = false;
  readonly #options: ToldHealthOptions;

  constructor(options: ToldHealthOptions) {
    this.#options = options;
  }

  get health(): Health {
    return this.#suspicion ?? this.#told;
  }

  configure(): void {}

  eject(why: string): void {
    if (this.#stopped || this.health.state === 'ejected') return;
    this.#suspicion = { state: 'ejected', why, reachable: false };
    const clock = this.#options.clock ?? systemClock;
    this.#timer = clock.setTimer(() => this.tell(this.#told), suspicionMs);
    this.#options.onChange(this.#suspicion);
    this.#options.onEject(why);
  }

  /** Passed on; once in a while is enough, for many calls break when a process dies. */
  doubt(): void {
    if (this.#stopped || this.#doubtTimer !== null || this.health.state !== 'healthy') return;
    const clock = this.#options.clock ?? systemClock;
    this.#doubtTimer = clock.setTimer(() => {
      this.#doubtTimer = null;
    }, doubtEveryMs);
    this.#options.onDoubt?.();
  }

  /** What whoever probes has found out. It settles a suspicion, too. */
  tell(health: Health): void {
    if (this.#stopped) return;
    const before = this.health;
    this.#timer?.cancel();
    this.#suspicion = null;
    this.#told = health;
    if (health.state !== before.state || health.reachable !== before.reachable) this.#options.onChange(health);
  }

  /** Nothing: who probes is another. */
  check(): Promise<void> {
    return Promise.resolve();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#doubtTimer?.cancel();
  }
}
