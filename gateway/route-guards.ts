/** What holds for a route as a whole, beside its service: a breaker of its own, and what stands in for it. */
import { OutageGuard, type OutageGuardOptions } from '../policies/outage-guard.ts';
import type { RouteTarget } from './route-table.ts';

/** The guards of all routes. They outlive routing tables: what a breaker knows is not forgotten with a registration. */
export class RouteGuards {
  #guards = new Map<string, OutageGuard>();
  readonly #options: OutageGuardOptions;

  constructor(options: OutageGuardOptions = {}) {
    this.#options = options;
  }

  /** Takes over what a new table says. Routes that are not in it are forgotten. */
  configure(targets: readonly RouteTarget[]): void {
    const before = this.#guards;
    this.#guards = new Map();
    for (const { service, label, route } of targets) {
      const { circuitBreaker } = route;
      if (circuitBreaker === undefined) continue;
      const name = `${service} ${label}`;
      const guard = before.get(name) ?? new OutageGuard(name, {}, this.#options);
      guard.configure({ circuitBreaker });
      this.#guards.set(name, guard);
    }
  }

  /** Undefined for a route without a breaker. */
  find({ service, label }: RouteTarget): OutageGuard | undefined {
    return this.#guards.size === 0 ? undefined : this.#guards.get(`${service} ${label}`);
  }
}
