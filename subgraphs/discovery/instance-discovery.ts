/**
 * Finds instances for all services that say where to look, and tells the registry: what changes close together becomes one
 * change. Nothing here ever holds up a start, a request or another provider.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AddressPolicy } from '../address-policy.ts';
import { type Clock, systemClock, type Timer } from '../clock.ts';
import { type Log, silentLog } from '../log.ts';
import type { Service, Snapshot } from '../snapshot.ts';
import { type DiscoveredList, listHidden } from './discovered-instances.ts';
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
  /** The service in the last snapshot. */
  seen: Service;
  /** The last answer; null before the first. */
  found: readonly DiscoveredInstance[] | null;
  /** Whether the registry has yet to be told of that answer. */
  isNews: boolean;
  /** Of the answer, those that stand back for others, and those that need not any more and are not back yet. */
  hidden: ReadonlySet<string>;
  returning: ReadonlySet<string>;
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
  let isRefused = false;
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
      else if (known.seen !== service) look(known, provider, service);
    }

    function watch(provider: ProviderName, { definition }: Service): Watching {
      const entry: Watching = {
        lookup: definition.discovery?.[provider],
        origin,
        seen: service,
        found: null,
        isNews: false,
        hidden: new Set(),
        returning: new Set(),
        watched: watchService({
          service: name,
          provider,
          watch: providers.createWatch(provider, definition.discovery ?? {}, name) ?? (async () => {}),
          checkUrl: (url) => check(origin, url),
          onChange(instances) {
            entry.found = instances;
            entry.isNews = true;
            entry.hidden = new Set(listHidden(entry.seen, provider, instances).map(({ id }) => id));
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

  /**
   * What stood back for an instance that is gone comes back: no provider tells of it anew. Only that, and not the whole
   * answer: gateways that share a registry would write down each its own, whenever a lease ends.
   */
  function look(entry: Watching, provider: ProviderName, service: Service): void {
    entry.seen = service;
    if (entry.found === null) return;
    const hidden = new Set(listHidden(service, provider, entry.found).map(({ id }) => id));
    const returning = [...entry.hidden].filter((id) => !hidden.has(id));
    entry.hidden = hidden;
    if (returning.length === 0) return;
    entry.returning = new Set([...entry.returning, ...returning]);
    schedule(service.name, 0); // until then a URL that works gets no calls
  }

  function schedule(name: string, delayMs = settleMs): void {
    pending.add(name);
    if (applying === null && !isClosed) timer ??= clock.setTimer(() => void applyPending(), delayMs);
  }

  async function applyPending(): Promise<void> {
    timer = null;
    const names = [...pending];
    pending.clear();
    const entries = names.flatMap((service) =>
      [...(watching.get(service) ?? [])].map(([provider, entry]) => ({ service, provider, entry })),
    );
    const lists = entries.flatMap(({ service, provider, entry }): DiscoveredList[] => {
      const { found, isNews, hidden, returning } = entry;
      if (found === null) return [];
      if (isNews) return [{ service, provider, extent: 'all', instances: found }];
      // With those that are hidden still: what hides them may go with the answer of another provider, in this change.
      const instances = found.filter(({ id }) => hidden.has(id) || returning.has(id));
      return instances.length === 0 ? [] : [{ service, provider, extent: 'returning', instances }];
    });
    const taken = entries.map(({ entry }) => {
      const { isNews, returning } = entry;
      entry.isNews = false;
      entry.returning = new Set();
      return { entry, isNews, returning };
    });
    let delayMs = settleMs;
    try {
      applying = apply(lists);
      await applying;
      isRefused = false;
    } catch (error) {
      // Said once: a shared store may be away for long.
      if (!isRefused) log.error('what discovery found cannot be taken in; it is tried again', { error });
      isRefused = true;
      for (const { entry, isNews, returning } of taken) {
        entry.isNews ||= isNews;
        entry.returning = new Set([...entry.returning, ...returning]);
      }
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
