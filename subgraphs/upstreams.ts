/** All that runs behind the call: per service and instance what a snapshot names, kept alive from snapshot to snapshot. */
import type { LookupFunction } from 'node:net';
import type { Pool } from 'undici';
import type { ResilienceOptions } from '../policies/resilience.ts';
import { type Call, type CallObserver, createCall } from './call.ts';
import type { InstanceStatus, InstanceSurroundings } from './instance-state.ts';
import { ServiceUpstream } from './service-upstream.ts';
import type { Snapshot } from './snapshot.ts';

export interface UpstreamsOptions {
  /** Settings of services that do not say otherwise. */
  readonly defaults: ResilienceOptions;
  readonly observer?: CallObserver;
  /** @default Math.random */
  readonly random?: () => number;
  /** The clock of `context.deadlineAtMs`. @default performance.now */
  readonly now?: () => number;
  /** Name resolution for connections to instances, which may refuse addresses. @default dns.lookup */
  readonly lookup?: LookupFunction;
  /** Time without a byte, in a body that a service sends. */
  readonly bodyIdleTimeoutMs: number;
}

export interface Upstreams extends AsyncDisposable {
  /** Makes, keeps and retires what the snapshot names. Calls under way are not disturbed. */
  apply(snapshot: Snapshot): void;
  readonly call: Call;
  /** The instances of a service as they are now; none for an unknown service. */
  status(service: string): readonly InstanceStatus[];
  /** Looks at all instances of a service now, then as {@link status}. */
  probe(service: string): Promise<readonly InstanceStatus[]>;
}

export function createUpstreams(options: UpstreamsOptions): Upstreams {
  const { observer, lookup, bodyIdleTimeoutMs, random = Math.random, now = () => performance.now() } = options;
  const closingPools = new Set<Pool>();
  const surroundings: InstanceSurroundings = { observer, lookup, random, now, closingPools };
  let upstreams = new Map<string, ServiceUpstream>();

  function apply(snapshot: Snapshot): void {
    const previous = upstreams;
    upstreams = new Map();
    for (const service of snapshot.services) {
      const known = previous.get(service.name);
      known?.configure(service);
      upstreams.set(service.name, known ?? new ServiceUpstream(service, options.defaults, surroundings));
      previous.delete(service.name);
    }
    for (const gone of previous.values()) gone.retire();
  }

  function status(service: string): readonly InstanceStatus[] {
    return upstreams.get(service)?.instances.map((instance) => instance.status()) ?? [];
  }

  async function probe(service: string): Promise<readonly InstanceStatus[]> {
    const instances = upstreams.get(service)?.instances ?? [];
    await Promise.all(instances.map((instance) => instance.health.check()));
    return status(service);
  }

  async function dispose(): Promise<void> {
    const instances = [...upstreams.values()].flatMap((upstream) => upstream.instances);
    upstreams = new Map();
    await Promise.all([
      ...instances.map((instance) => instance.destroy()),
      ...[...closingPools].map((pool) => pool.destroy()),
    ]);
  }

  return {
    apply,
    call: createCall((service) => upstreams.get(service), { observer, random, now, bodyIdleTimeoutMs }),
    status,
    probe,
    [Symbol.asyncDispose]: dispose,
  };
}
