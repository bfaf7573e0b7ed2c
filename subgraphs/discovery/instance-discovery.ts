/**
 * Finds instances for all services that say where to look, and tells the registry: what changes close together becomes one
 * change. Nothing here ever holds up a start, a request or another provider.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AddressPolicy } from '../address-policy.ts';
import { type Clock, systemClock, type Timer } from '../clock.ts';
import { type Log, silentLog } from '../log.ts';
import type { Service, Snapshot } from '../snapshot.ts';
import type { DiscoveredList } from './discovered-instances.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import { createAddressCheck } from './instance-check.ts';
import { type DiscoveredInstance, type ProviderName, providerNames } from './provider.ts';
import { createProviders } from './providers.ts';
import { type DiscoveryObserver, type DiscoveryStatus, type WatchedService, watchService } from './watched-service.ts';

export interface InstanceDiscoveryOptions {
  readonly options: DiscoveryOptions;
  readonly addressPolicy: AddressPolicy;
  /** Takes what was found into the registry. */
  readonly apply: (lists: readonly DiscoveredList[]) => Promise<void>;
  readonly observer?: DiscoveryObserver;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Between 0 and 1. */
  readonly random?: () => number;
}

export interface InstanceDiscovery extends AsyncDisposable {
  /** Begins to look for the services that say so, and ends it for those that do not any more. */
  follow(snapshot: Snapshot): void;
  /** Takes other addresses and credentials; what was found stays until the next answers. */
  configure(options: DiscoveryOptions): void;
  /** How each provider that a service names does. */
  status(service: string): readonly DiscoveryStatus[];
}

/** Answers that come so close together become one change of the registry. */
const settleMs = 100;
/** Where the registry could not take a change. */
const retryMs = 5_000;

interface Watching {
  readonly lookup: unknown;
  readonly origin: Service['origin'];
  readonly watched: WatchedService;
  /** The last answer; null before the first. */
  found: readonly DiscoveredInstance[] | null;
  /** Instances that the definition names: they come before those that are found. */
  named: Service['definition']['instances'];
}

export function createInstanceDiscovery(given: InstanceDiscoveryOptions): InstanceDiscovery {
  const { apply, observer, clock = systemClock, log = silentLog, random = Math.random } = given;
  const check = createAddressCheck(given.addressPolicy);
  const watching = new Map<string, Map<ProviderName, Watching>>();
  const pending = new Set<string>();
  const closing = new Set<PromiseLike<void>>();
  let { options } = given;
  let providers = createProviders(options);
  let latest: Snapshot | undefined;
  let timer: Timer | null = null;
  let applying: Promise<void> | null = null;
  let isClosed = false;

  function follow(snapshot: Snapshot): void {
    if (isClosed) return;
    latest = snapshot;
    const wanted = new Map(snapshot.services.map((service) => [service.name, service]));
    for (const [name, byProvider] of watching) {
      for (const [provider, known] of byProvider) {
        const service = wanted.get(name);
        const isSame =
          service?.origin === known.origin && isDeepStrictEqual(service.definition.discovery?.[provider], known.lookup);
        if (isSame) continue;
        byProvider.delete(provider);
        close(known.watched);
      }
      if (byProvider.size === 0) watching.delete(name);
    }
    for (const service of snapshot.services) if (service.definition.discovery !== undefined) begin(service);
  }

  function begin(service: Service): void {
    const { name, definition, origin } = service;
    const byProvider = watching.get(name) ?? new Map<ProviderName, Watching>();
    watching.set(name, byProvider);
    for (const provider of providerNames) {
      const lookup = definition.discovery?.[provider];
      const known = byProvider.get(provider);
      if (lookup === undefined) continue;
      if (known === undefined) byProvider.set(provider, watch(provider, service));
      else if (!isDeepStrictEqual(known.named, definition.instances)) {
        known.named = definition.instances;
        schedule(name);
      }
    }

    function watch(provider: ProviderName, { definition }: Service): Watching {
      const entry: Watching = {
        lookup: definition.discovery?.[provider],
        origin,
        named: definition.instances,
        found: null,
        watched: watchService({
          service: name,
          provider,
          watch: providers.createWatch(provider, definition.discovery ?? {}, name) ?? (async () => {}),
          checkUrl: (url) => check(origin, url),
          onChange(instances) {
            entry.found = instances;
            schedule(name);
          },
          clock,
          random,
          log,
          observer,
        }),
      };
      return entry;
    }
  }

  function schedule(name: string, delayMs = settleMs): void {
    pending.add(name);
    if (applying === null && !isClosed) timer ??= clock.setTimer(() => void applyPending(), delayMs);
  }

  async function applyPending(): Promise<void> {
    timer = null;
    const names = [...pending];
    pending.clear();
    const lists = names.flatMap((service): DiscoveredList[] =>
      [...(watching.get(service) ?? [])].flatMap(([provider, { found }]) =>
        found === null ? [] : [{ service, provider, instances: found }],
      ),
    );
    let delayMs = settleMs;
    try {
      applying = apply(lists);
      await applying;
    } catch (error) {
      log.error('what discovery found cannot be taken in', { error });
      for (const name of names) if (watching.has(name)) pending.add(name);
      delayMs = retryMs;
    }
    applying = null;
    const [next] = pending;
    if (next !== undefined) schedule(next, delayMs);
  }

  function close(watched: WatchedService): void {
    const closed = watched[Symbol.asyncDispose]();
    closing.add(closed);
    void closed.then(() => closing.delete(closed));
  }

  async function closeProviders(outdated: ReturnType<typeof createProviders>): Promise<void> {
    for (const byProvider of watching.values()) for (const { watched } of byProvider.values()) close(watched);
    watching.clear();
    await Promise.all(closing);
    await outdated[Symbol.asyncDispose]();
  }

  return {
    follow,
    configure(next) {
      if (isDeepStrictEqual(next, options) || isClosed) return;
      options = next;
      const outdated = closeProviders(providers);
      providers = createProviders(options);
      void outdated.catch((error) => log.error('a provider of instances cannot be closed', { error }));
      if (latest !== undefined) follow(latest);
    },
    status: (service) => [...(watching.get(service)?.values() ?? [])].map(({ watched }) => watched.status()),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      timer?.cancel();
      await closeProviders(providers);
      await applying?.catch(() => {});
    },
  };
}
