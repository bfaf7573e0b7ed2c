/** What a service looks like when a provider has told which instances it has. Pure. */
import type { ServiceDefinition } from '../service-definition.ts';
import type { Instance, Service } from '../snapshot.ts';
import { type DiscoveredInstance, type ProviderName, providerNames } from './provider.ts';

/** Instances of one service that one provider knows, checked. */
export interface DiscoveredList {
  readonly service: string;
  readonly provider: ProviderName;
  /**
   * `all`: there are no others. `returning`: some that had stood back, of an answer told before. What else that provider
   * told stays, since another gateway may have had a newer answer since.
   */
  readonly extent: 'all' | 'returning';
  readonly instances: readonly DiscoveredInstance[];
}

/** The service with what these lists tell; what other providers told stays. */
export function withDiscovered(service: Service, lists: readonly DiscoveredList[], maxInstances: number): Service {
  const told = new Map(lists.map((list) => [list.provider, list]));
  const known = new Map(service.instances.map((instance) => [instance.id, instance]));
  const discovered = providerNames.flatMap((provider): readonly Instance[] => {
    const list = told.get(provider);
    const before = service.instances.filter((instance) => instance.provider === provider);
    if (list === undefined) return before;
    const kept = list.extent === 'all' ? [] : before;
    const keptIds = new Set(kept.map(({ id }) => id));
    const added = list.instances.filter(({ id }) => !keptIds.has(id));
    // In one order at every gateway: the same instances are no change.
    return [...kept, ...added.map((instance) => buildInstance(provider, instance, known.get(instance.id)))].sort(byId);
  });
  const others = service.instances.filter(({ origin }) => origin !== 'discovered');
  return {
    ...service,
    instances: [...others, ...keepDiscovered(service.definition, others, discovered)].slice(0, maxInstances),
  };
}

/**
 * Of discovered instances those that a service still has: found by a provider that it names, and not the same, by id or
 * URL, as one that came before. Twice in the list, an instance would get twice its share.
 */
export function keepDiscovered(
  { discovery }: ServiceDefinition,
  others: readonly Instance[],
  discovered: readonly Instance[],
): readonly Instance[] {
  const ids = new Set(others.map(({ id }) => id));
  const urls = new Set(others.map(({ url }) => url));
  return discovered.filter(({ id, url, provider }) => {
    if (provider === undefined || discovery?.[provider] === undefined || ids.has(id) || urls.has(url)) return false;
    ids.add(id);
    urls.add(url);
    return true;
  });
}

/** Of what a provider found, that which stands back for another instance of the same id or URL. */
export function listHidden(
  service: Service,
  provider: ProviderName,
  found: readonly DiscoveredInstance[],
): readonly DiscoveredInstance[] {
  const others = service.instances.filter((instance) => instance.provider !== provider);
  const ids = new Set(others.map(({ id }) => id));
  const urls = new Set(others.map(({ url }) => url));
  return found.filter(({ id, url }) => ids.has(id) || urls.has(url));
}

function byId(a: Instance, b: Instance): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function buildInstance(
  provider: ProviderName,
  { id, url, weight = 1, zone, version }: DiscoveredInstance,
  before: Instance | undefined,
): Instance {
  return {
    id,
    url,
    weight,
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    origin: 'discovered',
    provider,
    // An operator's drain outlives the next answer.
    draining: before?.origin === 'discovered' && before.url === url && before.draining,
  };
}

/** Instances that run something the gateway has not seen, so that the schema may be another one. */
export function listNewSoftware(before: Service, after: Service): readonly Instance[] {
  const known = new Set(before.instances.map(({ url, version }) => JSON.stringify([url, version])));
  return after.instances.filter(
    ({ url, version, draining }) => !draining && !known.has(JSON.stringify([url, version])),
  );
}
