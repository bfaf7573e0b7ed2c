/**
 * The health of one instance: checked actively where the service has a health path, taken out at once when it cannot be
 * connected to, and probed until it is back.
 */
import { parseDurationMs } from '../policies/units.ts';
import type { HealthOptions } from './service-definition.ts';

/** Healthy: in the rotation. Unhealthy: failed its checks. Ejected: a call could not connect to it. */
export type HealthState = 'healthy' | 'unhealthy' | 'ejected';

/** {@link HealthOptions} in numbers. */
export interface HealthSettings {
  /** Null: no active checks, and being able to connect brings an ejected instance back. */
  readonly path: string | null;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyAfter: number;
  readonly healthyAfter: number;
}

/** Timers that do not keep the process alive. */
export interface Timers {
  set(callback: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

export interface HealthMonitorOptions {
  readonly settings: HealthSettings;
  /** Looks at the instance once; rejects with the reason when it is not well. */
  readonly probe: (settings: HealthSettings) => Promise<void>;
  /** The instance entered the rotation or left it. */
  readonly onChange: (healthy: boolean, why: string) => void;
  /** @default Math.random */
  readonly random?: () => number;
  /** @default setTimeout, not keeping the process alive */
  readonly timers?: Timers;
}

/** An instance that is out is looked at soon, then less often, but often enough to be back within about a second. */
const firstRecheckMs = 250;
const slowestRecheckMs = 1_000;

/** Settings of a service's health checks; without options there are no active ones. */
export function buildHealthSettings(options: HealthOptions | undefined): HealthSettings {
  return {
    path: options === undefined ? null : (options.path ?? '/health'),
    intervalMs: parseDurationMs(options?.interval ?? '10s'),
    timeoutMs: parseDurationMs(options?.timeout ?? '2s'),
    unhealthyAfter: options?.unhealthyAfter ?? 2,
    healthyAfter: options?.healthyAfter ?? 1,
  };
}

/** Watches one instance until it is stopped. Probes never overlap. */
export class HealthMonitor {
  #settings: HealthSettings;
  #state: HealthState = 'healthy';
  /** Probes in a row that spoke against the present state. */
  #contrary = 0;
  /** Probes since the instance left the rotation. */
  #rechecks = 0;
  #underWay: Promise<void> | null = null;
  #timer: unknown = null;
  #stopped = false;
  readonly #options: HealthMonitorOptions;
  readonly #timers: Timers;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#timers = options.timers ?? unrefTimers;
    this.#schedule(Math.min(this.#settings.intervalMs, 1_000) * this.#random());
  }

  get state(): HealthState {
    return this.#state;
  }

  configure(settings: HealthSettings): void {
    if (isSame(settings, this.#settings)) return;
    this.#settings = settings;
    // Failed checks that are no longer made can never be made good: connecting decides then.
    if (settings.path === null && this.#state === 'unhealthy') this.#state = 'ejected';
    if (this.#underWay === null) this.#schedule(this.#delayMs());
  }

  /** Takes the instance out at once, because a call could not connect to it. */
  eject(why: string): void {
    if (this.#stopped || this.#state === 'ejected') return;
    const wasHealthy = this.#state === 'healthy';
    this.#state = 'ejected';
    this.#contrary = 0;
    this.#rechecks = 0;
    if (this.#underWay === null) this.#schedule(this.#delayMs());
    if (wasHealthy) this.#options.onChange(false, why);
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
    const before = this.#state;
    let failure: string | null = null;
    try {
      await this.#options.probe(this.#settings);
    } catch (thrown) {
      failure = describe(thrown);
    }
    this.#underWay = null;
    if (this.#stopped) return;
    // Ejected meanwhile: this probe may have seen the instance before it went down.
    if (this.#state === before) this.#judge(failure);
    this.#schedule(this.#delayMs());
  }

  #judge(failure: string | null): void {
    if (this.#state !== 'healthy') this.#rechecks++;
    if ((failure === null) === (this.#state === 'healthy')) {
      this.#contrary = 0;
      return;
    }
    this.#contrary++;
    const { path, unhealthyAfter, healthyAfter } = this.#settings;
    if (failure === null && this.#contrary >= (path === null ? 1 : healthyAfter))
      this.#turn('healthy', 'probe succeeded');
    else if (failure !== null && path !== null && this.#contrary >= unhealthyAfter) this.#turn('unhealthy', failure);
  }

  #turn(state: 'healthy' | 'unhealthy', why: string): void {
    this.#state = state;
    this.#contrary = 0;
    this.#rechecks = 0;
    this.#options.onChange(state === 'healthy', why);
  }

  /** Jitter keeps the instances, and the gateways, from probing in step. */
  #delayMs(): number {
    const { intervalMs } = this.#settings;
    const longest = this.#state === 'healthy' ? intervalMs : Math.min(intervalMs, slowestRecheckMs);
    const delayMs = this.#state === 'healthy' ? longest : Math.min(firstRecheckMs * 2 ** this.#rechecks, longest);
    return delayMs * (0.8 + 0.4 * this.#random());
  }

  #schedule(delayMs: number): void {
    this.#timers.clear(this.#timer);
    if (this.#stopped || (this.#state === 'healthy' && this.#settings.path === null)) return;
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

function isSame(a: HealthSettings, b: HealthSettings): boolean {
  return (
    a.path === b.path &&
    a.intervalMs === b.intervalMs &&
    a.timeoutMs === b.timeoutMs &&
    a.unhealthyAfter === b.unhealthyAfter &&
    a.healthyAfter === b.healthyAfter
  );
}

/** Short, and without the address that a socket's own message contains. */
function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'unknown';
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.message;
}
