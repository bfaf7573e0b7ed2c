/** When the last instance of the newest version goes, its schema goes: an older one takes its place, if it composes. */
import type { Proposal } from './change.ts';
import type { DesiredState } from './desired-state.ts';
import { selectComposable } from './schema-selection.ts';
import { withPresentVersions, withRejected } from './service-versions.ts';
import { findService, type Service, type Snapshot, withoutKeys, withServices } from './snapshot.ts';

/**
 * The snapshot with these services in it, as their instances are now. Never refuses: instances that are gone are gone,
 * whatever a policy says; where the older schema does not compose, the last good one stays.
 */
export async function settleVersions<A>(
  state: Pick<DesiredState<A>, 'admit'>,
  current: Snapshot,
  services: readonly Service[],
  revision: number,
): Promise<Proposal<A>> {
  if (services.length === 0) return { snapshot: current };
  const settled = services.map((service) => ({ service, next: withPresentVersions(service) }));
  const base = withServices(
    current,
    settled.map(({ service, next: { versions } }) =>
      versions === undefined ? withoutKeys(service, 'versions') : { ...service, versions },
    ),
  );
  const offers = settled
    .filter(({ service, next }) => service.schema?.hash !== next.schema?.hash)
    .map(({ next }): Service => ({ ...next, quarantine: null, revision }));
  if (offers.length === 0) return { snapshot: base };
  const admit = (candidate: Snapshot) => state.admit(candidate, { force: true });
  const { snapshot, admission, refused } = await selectComposable(base, offers, admit);
  const losers = offers.flatMap((offer): Service[] => {
    const reasons = refused.get(offer.name);
    const service = findService(base, offer.name);
    return reasons === undefined || service === undefined ? [] : [withRejected(service, offer, reasons)];
  });
  return { snapshot: withServices(snapshot, losers), admission };
}
