/** What holds for a route as a whole, beside its service: a breaker of its own, and what stands in for it. */
import { FieldGuard, type FieldGuardOptions } from '../policies/field-resilience.ts';
import type { RouteTarget } from './route-table.ts';

/** The guards of all routes. They outlive routing tables: what a breaker knows is not forgotten with a registration. */
export class RouteGuards {
  #guards = new Map<string, FieldGuard>();
  readonly #options: FieldGuardOptions;

  constructor(options: FieldGuardOptions = {}) {
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
      const guard = before.get(name) ?? new FieldGuard(name, {}, this.#options);
      guard.configure({ circuitBreaker });
      this.#guards.set(name, guard);
    }
  }

  /** Undefined for a route without a breaker. */
  find({ service, label }: RouteTarget): FieldGuard | undefined {
    return this.#guards.size === 0 ? undefined : this.#guards.get(`${service} ${label}`);
  }
}
