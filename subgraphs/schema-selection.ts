/** Out of schemas that do not all compose, as many as do: one bad schema must not keep the others out. */
import { type ErrorReason, toGatewayError } from '../policies/errors.ts';
import { type Service, type Snapshot, withServices } from './snapshot.ts';

export interface Selection<A> {
  /** The base with all services in it that fit. */
  readonly snapshot: Snapshot;
  /** What admitted it; null when nothing fitted and the base stays. */
  readonly admission: A | null;
  /** Why the others do not fit, by service. */
  readonly refused: ReadonlyMap<string, readonly ErrorReason[]>;
}

/**
 * Lays services over a base that composes. Greedy: all of them; else without those that the reasons name, as long as
 * that helps; then one by one until none of the rest fits. It finds a set to which nothing can be added, not the largest.
 */
export async function selectComposable<A>(
  base: Snapshot,
  offers: readonly Service[],
  admit: (candidate: Snapshot) => Promise<A>,
): Promise<Selection<A>> {
  const refused = new Map<string, readonly ErrorReason[]>();
  let snapshot = base;
  let admission: A | null = null;

  async function tryOffers(services: readonly Service[]): Promise<readonly ErrorReason[] | null> {
    const candidate = withServices(snapshot, services);
    try {
      admission = await admit(candidate);
      snapshot = candidate;
      return null;
    } catch (thrown) {
      const error = toGatewayError(thrown);
      return error.reasons ?? [{ message: error.message }];
    }
  }

  let together = offers;
  while (together.length > 0) {
    const reasons = await tryOffers(together);
    if (reasons === null) break;
    const blamed = new Set(reasons.map((reason) => reason.service));
    const rest = together.filter((service) => !blamed.has(service.name));
    together = rest.length < together.length ? rest : [];
  }

  let left = offers.filter((offer) => !together.includes(offer));
  for (let before = left.length + 1; left.length > 0 && left.length < before; ) {
    before = left.length;
    for (const offer of left) {
      const reasons = await tryOffers([offer]);
      if (reasons === null) refused.delete(offer.name);
      else refused.set(offer.name, reasons);
    }
    left = left.filter((offer) => refused.has(offer.name));
  }
  return { snapshot, admission, refused };
}
