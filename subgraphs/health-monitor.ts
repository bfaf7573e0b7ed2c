/**
 * The health of one instance, found out by probing: checked actively where the service says so, taken out at once when
 * it cannot be connected to, and probed until it is back.
 */
import { isDeepStrictEqual } from 'node:util';
import type { HealthSettings } from './health-settings.ts';
import { type Health, type HealthSource, type HealthState, unblemished } from './health-source.ts';
import { ProbeFailure } from './probe-request.ts';

/** Timers that do not keep the process alive. */
export interface Timers {
  set(callback: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

export interface HealthMonitorOptions {
  readonly settings: HealthSettings;
  /** Looks at the instance once; rejects with the reason when it is not well. */
  readonly probe: (settings: HealthSettings) => Promise<void>;
  /** The instance entered the rotation or left it, or is out for another reason than before. */
  readonly onChange: (health: Health) => void;
  /** @default Math.random */
  readonly random?: () => number;
  /** @default setTimeout, not keeping the process alive */
  readonly timers?: Timers;
}

/** An instance that is out is looked at soon, then less often, but often enough to be back within about a second. */
const firstRecheckMs = 250;
const slowestRecheckMs = 1_000;

/** Watches one instance until it is stopped. Probes never overlap. */
export class HealthMonitor implements HealthSource {
  #settings: HealthSettings;
  #health: Health = unblemished;
  /** Probes in a row that spoke against the present state. */
  #contrary = 0;
  /** Probes since the instance left the rotation. */
  #rechecks = 0;
  #underWay: Promise<void> | null = null;
  #timer: unknown = null;
  #stopped = false;
  #isDoubted = false;
  readonly #options: HealthMonitorOptions;
  readonly #timers: Timers;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#timers = options.timers ?? unrefTimers;
    this.#schedule(Math.min(this.#settings.intervalMs, 1_000) * this.#random());
  }

  get health(): Health {
    return this.#health;
  }

  configure(settings: HealthSettings): void {
    if (isDeepStrictEqual(settings, this.#settings)) return;
    this.#settings = settings;
    // Failed checks that are no longer made can never be made good: connecting decides then.
    if (settings.check === null && this.#health.state === 'unhealthy') {
      this.#health = { ...this.#health, state: 'ejected' };
    }
    if (this.#underWay === null) this.#schedule(this.#delayMs());
  }

  eject(why: string): void {
    if (this.#stopped || this.#health.state === 'ejected') return;
    this.#turn({ state: 'ejected', why, reachable: false });
    if (this.#underWay === null) this.#schedule(this.#delayMs());
  }

  doubt(): void {
    if (this.#stopped || this.#health.state !== 'healthy') return;
    this.#isDoubted = true;
    void this.check();
  }

  /** Probes now, or joins the probe under way. Never rejects. */
  check(): Promise<void> {
    this.#underWay ??= this.#probe();
    return this.#underWay;
  }

  stop(): void {
    this.#stopped = true;
    this.#timers.clear(this.#timer);
  }

  async #probe(): Promise<void> {
    this.#timers.clear(this.#timer);
    const before = this.#health.state;
    let failure: unknown = null;
    try {
      await this.#options.probe(this.#settings);
    } catch (thrown) {
      failure = thrown ?? new Error('unknown');
    }
    this.#underWay = null;
    if (this.#stopped) return;
    // Ejected meanwhile: this probe may have seen the instance before it went down.
    if (this.#health.state === before) this.#judge(failure);
    this.#schedule(this.#delayMs());
  }

  #judge(failure: unknown): void {
    const isHealthy = this.#health.state === 'healthy';
    const isDoubted = this.#isDoubted;
    this.#isDoubted = false;
    if (!isHealthy) this.#rechecks++;
    // A broken connection, and nobody listens: it is gone, and no threshold for checks that fail once in a while applies.
    if (isHealthy && isDoubted && failure instanceof ProbeFailure && !failure.connected) {
      this.#turn({ ...buildHealth('ejected', failure), reachable: false });
      return;
    }
    if ((failure === null) === isHealthy) {
      this.#contrary = 0;
      if (failure !== null) this.#stayOut(failure);
      return;
    }
    this.#contrary++;
    const { check, unhealthyAfter, healthyAfter } = this.#settings;
    if (failure === null && this.#contrary >= (check === null ? 1 : healthyAfter)) this.#turn(unblemished);
    else if (failure !== null && check !== null && this.#contrary >= unhealthyAfter) {
      this.#turn(buildHealth('unhealthy', failure));
    }
  }

  /** Still out: whether it can be connected to by now, and why it is out, may be news. */
  #stayOut(failure: unknown): void {
    const seen = buildHealth('unhealthy', failure);
    const isReachable = seen.reachable && this.#settings.check !== null;
    const health = isReachable ? seen : { ...seen, state: this.#health.state, reachable: false };
    const isNews = health.reachable !== this.#health.reachable || health.state !== this.#health.state;
    this.#health = health;
    if (isNews) this.#options.onChange(health);
  }

  #turn(health: Health): void {
    this.#health = health;
    this.#contrary = 0;
    this.#rechecks = 0;
    this.#options.onChange(health);
  }

  /** Jitter keeps the instances, and the gateways, from probing in step. */
  #delayMs(): number {
    const { intervalMs, jitter } = this.#settings;
    const isHealthy = this.#health.state === 'healthy';
    const longestMs = isHealthy ? intervalMs : Math.min(intervalMs, slowestRecheckMs);
    const delayMs = isHealthy ? longestMs : Math.min(firstRecheckMs * 2 ** this.#rechecks, longestMs);
    return delayMs * (1 - jitter + 2 * jitter * this.#random());
  }

  #schedule(delayMs: number): void {
    this.#timers.clear(this.#timer);
    if (this.#stopped || (this.#health.state === 'healthy' && this.#settings.check === null)) return;
    this.#timer = this.#timers.set(() => void this.check(), delayMs);
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }
}

const unrefTimers: Timers = {
  // Node's timers take 31 bits, and fire at once beyond.
  set: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, 2_147_483_647)).unref(),
  clear: (handle) => {
    if (handle instanceof Object) clearTimeout(handle as NodeJS.Timeout);
  },
};

function buildHealth(state: HealthState, failure: unknown): Health {
  return { state, why: describe(failure), reachable: !(failure instanceof ProbeFailure) || failure.connected };
}

/** Short, and without the address that a socket's own message contains. */
function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'unknown';
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.message;
}
