/**
 * The health of one instance as another process tells it. Of several workers on one machine none probes: their primary
 * does so once for all, and hears from them which instances could not be connected to.
 */
import type { HealthMonitor, HealthState } from './health-monitor.ts';

/** What an instance needs of its health, whoever finds it out. */
export type InstanceHealth = Pick<HealthMonitor, 'state' | 'configure' | 'eject' | 'check' | 'stop'>;

export interface ToldHealthOptions {
  /** The instance entered the rotation or left it. */
  readonly onChange: (healthy: boolean, why: string) => void;
  /** A call could not connect to it: whoever probes must know. */
  readonly onEject: (why: string) => void;
}

export class ToldHealth implements InstanceHealth {
  #state: HealthState = 'healthy';
  readonly #options: ToldHealthOptions;

  constructor(options: ToldHealthOptions) {
    this.#options = options;
  }

  get state(): HealthState {
    return this.#state;
  }

  /** Out at once, without waiting for anybody's word; back only when told. */
  eject(why: string): void {
    if (this.#state === 'ejected') return;
    this.tell('ejected', why);
    this.#options.onEject(why);
  }

  tell(state: HealthState, why: string): void {
    const wasHealthy = this.#state === 'healthy';
    this.#state = state;
    if (wasHealthy !== (state === 'healthy')) this.#options.onChange(state === 'healthy', why);
  }

  configure(): void {}

  check(): Promise<void> {
    return Promise.resolve();
  }

  stop(): void {}
}
