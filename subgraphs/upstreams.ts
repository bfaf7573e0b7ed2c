/** All that runs behind the call: per service and instance what a snapshot names, kept alive from snapshot to snapshot. */
import { randomBytes } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { ResilienceOptions } from '../policies/resilience.ts';
import { type Call, type CallObserver, createCall } from './call.ts';
import { type Clock, systemClock } from './clock.ts';
import type { GraphqlEndpoint } from './graphql-endpoint.ts';
import { unblemished } from './health-source.ts';
import type { InstanceConnections } from './instance-connections.ts';
import type { InstanceState, InstanceSurroundings } from './instance-state.ts';
import type { InstanceStatus } from './instance-status.ts';
import type { PoolHealth } from './pool-health.ts';
import { ServiceUpstream, type UpstreamDefaults } from './service-upstream.ts';
import { emptySnapshot, type Snapshot } from './snapshot.ts';
import { createUpgradeCall, type OpenUpgrade } from './upgrade-call.ts';

export interface UpstreamsOptions {
  /** Settings of services that do not say otherwise. */
  readonly defaults: ResilienceOptions;
  /** Where the gateway runs, for services that prefer instances nearby. @default no zone comes first */
  readonly zone?: string | undefined;
  /** Secrets for the cookies of sessions. @default a random one: sessions end with this process, and are its own */
  readonly sessionSecrets?: readonly string[] | undefined;
  readonly observer?: CallObserver;
  /** @default Math.random */
  readonly random?: () => number;
  /** The clock of `context.deadlineAtMs`. @default performance.now */
  readonly now?: () => number;
  /** Timers of ejections. @default the system's, with `now` */
  readonly clock?: Pick<Clock, 'now' | 'setTimer'>;
  /** Name resolution for connections to instances, which may refuse addresses. @default dns.lookup */
  readonly lookup?: LookupFunction;
  /** Time without a byte, in a body that a service sends. */
  readonly bodyIdleTimeoutMs: number;
  /**
   * How long a service that left the registry can still be called, by requests that began when it was part of the graph
   * (invariant 2). The deadline of a request is the right time. @default 30000
   */
  readonly lingerMs?: number;
  /**
   * When set, nothing is probed here: {@link Upstreams.tellHealth} says how instances are, and this hears of those that
   * could not be connected to.
   */
  readonly onEject?: ((service: string, instance: string, why: string) => void) | undefined;
  /** Where `onEject` is set: hears of connections that broke in the middle of a call. */
  readonly onDoubt?: ((service: string, instance: string) => void) | undefined;
  /** Processes of this gateway that call the same instances and share what `concurrency` allows. @default 1 */
  readonly processes?: number | undefined;
}

export interface Upstreams extends AsyncDisposable {
  /** Makes, keeps and retires what the snapshot names. Calls under way are not disturbed. */
  apply(snapshot: Snapshot): void;
  /** Takes other defaults, for all services at once. */
  configure(next: Pick<UpstreamsOptions, 'defaults' | 'zone' | 'sessionSecrets'>): void;
  /** The GraphQL endpoint of a service; undefined when it is not known or has none. */
  endpointOf(service: string): GraphqlEndpoint | undefined;
  readonly call: Call;
  /** For requests that ask to leave HTTP. */
  readonly openUpgrade: OpenUpgrade;
  /** The instances of a service as they are now; none for an unknown service. */
  status(service: string): readonly InstanceStatus[];
  /** The instances of a service as a whole; undefined for an unknown service. */
  poolHealth(service: string): PoolHealth | undefined;
  /** The breaker of a service as a whole; null where it has none. */
  serviceBreaker(service: string): BreakerState | null;
  /** Takes an instance out, because another process could not connect to it, until a probe has succeeded. */
  eject(service: string, instance: string, why: string): void;
  /** Looks at an instance, because a connection of another process to it broke. */
  doubt(service: string, instance: string): void;
  /** Says how an instance is, where `onEject` is set. `reachable`: whether it can at least be connected to. */
  tellHealth(service: string, instance: string, healthy: boolean, why: string, reachable?: boolean): void;
  /** Looks at all instances of a service now, then as {@link status}. */
  probe(service: string): Promise<readonly InstanceStatus[]>;
}

export function createUpstreams(options: UpstreamsOptions): Upstreams {
  const {
    observer,
    lookup,
    bodyIdleTimeoutMs,
    lingerMs = 30_000,
    random = Math.random,
    now = () => performance.now(),
    clock = { now, setTimer: systemClock.setTimer },
    onEject,
    onDoubt,
  } = options;
  const closingPools = new Set<InstanceConnections>();
  const surroundings: InstanceSurroundings = {
    observer,
    lookup,
    random,
    now,
    clock,
    onEject,
    onDoubt,
    processes: options.processes,
    closingPools,
  };
  const randomSecrets = [randomBytes(32).toString('base64url')];
  let defaults = buildDefaults(options);
  let latest = emptySnapshot;
  let upstreams = new Map<string, ServiceUpstream>();
  const lingering = new Map<string, { upstream: ServiceUpstream; timer: NodeJS.Timeout }>();

  function buildDefaults(next: Pick<UpstreamsOptions, 'defaults' | 'zone' | 'sessionSecrets'>): UpstreamDefaults {
    const { defaults: resilience, zone, sessionSecrets = [] } = next;
    return { resilience, zone, sessionSecrets: sessionSecrets.length > 0 ? sessionSecrets : randomSecrets };
  }

  function apply(snapshot: Snapshot): void {
    latest = snapshot;
    const previous = upstreams;
    upstreams = new Map();
    for (const service of snapshot.services) {
      const known = previous.get(service.name) ?? recall(service.name);
      known?.configure(service, defaults);
      upstreams.set(service.name, known ?? new ServiceUpstream(service, defaults, surroundings));
      previous.delete(service.name);
    }
    for (const gone of previous.values()) linger(gone);
  }

  /** A service that is gone takes no new requests; those that began before may need it to their end. */
  function linger(upstream: ServiceUpstream): void {
    const { name } = upstream;
    const timer = setTimeout(() => recall(name)?.retire(), lingerMs);
    lingering.set(name, { upstream, timer: timer.unref() });
    upstream.leave();
  }

  function recall(name: string): ServiceUpstream | undefined {
    const found = lingering.get(name);
    clearTimeout(found?.timer);
    lingering.delete(name);
    return found?.upstream;
  }

  function find(service: string): ServiceUpstream | undefined {
    return upstreams.get(service) ?? lingering.get(service)?.upstream;
  }

  function status(service: string): readonly InstanceStatus[] {
    return upstreams.get(service)?.instances.map((instance) => instance.status()) ?? [];
  }

  function findInstances(service: string, id: string): readonly InstanceState[] {
    return upstreams.get(service)?.instances.filter((instance) => instance.id === id) ?? [];
  }

  async function probe(service: string): Promise<readonly InstanceStatus[]> {
    const instances = upstreams.get(service)?.instances ?? [];
    await Promise.all(instances.map((instance) => instance.health.check()));
    return status(service);
  }

  async function dispose(): Promise<void> {
    const gone = [...lingering.keys()].flatMap((name) => recall(name) ?? []);
    const instances = [...upstreams.values(), ...gone].flatMap((upstream) => upstream.instances);
    upstreams = new Map();
    await Promise.all([
      ...instances.map((instance) => instance.destroy()),
      ...[...closingPools].map((pool) => pool.destroy()),
    ]);
  }

  return {
    apply,
    configure(next) {
      defaults = buildDefaults(next);
      apply(latest);
    },
    endpointOf: (service) => find(service)?.endpoint,
    call: createCall(find, { observer, random, now, bodyIdleTimeoutMs }),
    openUpgrade: createUpgradeCall(find, { observer, now, bodyIdleTimeoutMs }),
    status,
    poolHealth: (service) => upstreams.get(service)?.health,
    serviceBreaker: (service) => upstreams.get(service)?.breaker.state ?? null,
    eject(service, id, why) {
      for (const instance of findInstances(service, id)) instance.health.eject(why);
    },
    doubt(service, id) {
      for (const instance of findInstances(service, id)) instance.health.doubt();
    },
    tellHealth(service, id, healthy, why, reachable = true) {
      const health = healthy ? unblemished : ({ state: 'unhealthy', why, reachable } as const);
      for (const instance of findInstances(service, id)) instance.health.tell(health);
    },
    probe,
    [Symbol.asyncDispose]: dispose,
  };
}
