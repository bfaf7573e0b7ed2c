/**
 * Pods of a Kubernetes Service, from its EndpointSlices: listed once, then watched from the version of the list. When that
 * version is too old to go on from (410 Gone), it is listed anew.
 */
import { type ControlPlane, PlaneStatusError } from './control-plane.ts';
import {
  buildInstancesOfSlices,
  type EndpointSlice,
  parseSlice,
  parseSliceList,
  parseWatchEvent,
} from './endpoint-slices.ts';
import { DiscoveryError, type Watch, type WatchSession } from './provider.ts';
import type { KubernetesLookup } from './service-discovery.ts';

const pageSize = 500;
const maxSlices = 5_000;
/** The server ends a watch after so long; a connection that died without a word is noticed a little later. */
const watchSeconds = 240;

type Slices = Map<string, EndpointSlice>;

export function createKubernetesWatch(
  plane: ControlPlane,
  namespaceOf: () => Promise<string>,
  lookup: KubernetesLookup,
  serviceName: string,
): Watch {
  const service = lookup.service ?? serviceName;
  return async (session) => {
    const { signal, report, sleep } = session;
    const namespace = lookup.namespace ?? (await namespaceOf());
    const query = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${service}` });
    const path = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices?${query}`;
    while (!signal.aborted) {
      const slices: Slices = new Map();
      const tell = () => report(buildInstancesOfSlices([...slices.values()], lookup));
      let version = await listSlices(plane, path, slices, signal);
      tell();
      // The pauses keep a server that ends every watch at once from being asked without a break.
      for (let next: string | null = version; next !== null; await sleep(250)) {
        version = next;
        next = await watchSlices(plane, path, version, slices, tell, session);
      }
      await sleep(1_000);
    }
  };
}

/** Reads all pages; gives back the version that they show. */
async function listSlices(plane: ControlPlane, path: string, slices: Slices, signal: AbortSignal): Promise<string> {
  let page = '';
  for (;;) {
    const { body } = await plane.ask({ path: `${path}&limit=${pageSize}${page}`, signal });
    const { metadata, items } = parseSliceList(body);
    for (const slice of items ?? []) slices.set(slice.metadata.name, slice);
    if (slices.size > maxSlices) throw new DiscoveryError(`Kubernetes has more than ${maxSlices} slices there`);
    if (!metadata.continue) return metadata.resourceVersion;
    page = `&continue=${encodeURIComponent(metadata.continue)}`;
  }
}

/** Follows changes until the watch ends; gives back the version to go on from, or null when that is gone. */
async function watchSlices(
  plane: ControlPlane,
  path: string,
  from: string,
  slices: Slices,
  tell: () => void,
  { signal }: WatchSession,
): Promise<string | null> {
  const query = `&watch=1&allowWatchBookmarks=true&timeoutSeconds=${watchSeconds}&resourceVersion=${encodeURIComponent(from)}`;
  let version = from;
  try {
    const events = plane.stream({ path: `${path}${query}`, signal, timeoutMs: (watchSeconds + 30) * 1_000 });
    for await (const value of events) {
      const { type, object } = parseWatchEvent(value);
      if (type === 'ERROR') {
        if (object.code === 410) return null;
        throw new DiscoveryError(`Kubernetes ended the watch with ${object.code ?? 'an error'}`);
      }
      version = object.metadata?.resourceVersion ?? version;
      if (type === 'BOOKMARK') continue;
      const slice = parseSlice(object);
      if (type === 'DELETED') slices.delete(slice.metadata.name);
      else slices.set(slice.metadata.name, slice);
      if (slices.size > maxSlices) throw new DiscoveryError(`Kubernetes has more than ${maxSlices} slices there`);
      tell();
    }
  } catch (error) {
    if (error instanceof PlaneStatusError && error.status === 410) return null;
    throw error;
  }
  return version;
}
