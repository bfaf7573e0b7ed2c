/** Takes schemas that were found in the background into the registry, and tries those in quarantine once more. */
import { isDeepStrictEqual } from 'node:util';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { AuditNote } from './audit.ts';
import type { DesiredState, Proposal } from './desired-state.ts';
import type { Log } from './log.ts';
import type { SchemaAsking } from './schema-asking.ts';
import type { SchemaNews } from './schema-healing.ts';
import { selectComposable } from './schema-selection.ts';
import { isAskedOf } from './service-change.ts';
import { findService, isComposed, type Service, type Snapshot, withServices } from './snapshot.ts';

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly asking: SchemaAsking;
  readonly log: Log;
}

/**
 * What composes becomes part of the graph. What does not goes into quarantine, or, if the service has a schema that
 * does, is left aside: the last good one stays.
 */
export async function applySchemaNews<A>({ state, asking, log }: Parts<A>, news: readonly SchemaNews[]): Promise<void> {
  const note: AuditNote = {
    author: 'healing',
    action: 'schema.heal',
    targets: news.map(({ service }) => service.name),
  };
  let leftAside: readonly ErrorReason[] = [];
  await state.change(
    note,
    async (current, revision): Promise<Proposal<A>> => {
      const offers = buildOffers(current, news, asking, revision);
      if (offers.length === 0) return { snapshot: current };
      const { snapshot, admission, refused } = await selectComposable(current, offers, state.admit);
      const isServing = ({ name }: Service) => {
        const service = findService(current, name);
        return service !== undefined && isComposed(service);
      };
      const losers = offers.filter((offer) => refused.has(offer.name));
      leftAside = losers.filter(isServing).flatMap(({ name }) => nameService(name, refused.get(name)));
      const quarantined = losers
        .filter((offer) => !isServing(offer))
        .map((offer): Service => ({ ...offer, quarantine: refused.get(offer.name) ?? [] }));
      const next = withServices(snapshot, quarantined);
      const reasons = quarantined.flatMap(({ name, quarantine }) => nameService(name, quarantine ?? []));
      for (const { name, quarantine } of quarantined) {
        log.warn('the schema does not compose; the graph goes on without it', { service: name, reasons: quarantine });
      }
      if (isDeepStrictEqual(next, current)) return { snapshot: current };
      return { snapshot: next, admission, ...(reasons.length > 0 && { reasons }) };
    },
    { evenUnsaved: true },
  );
  if (leftAside.length === 0) return;
  log.warn('a new schema does not compose; the last good one stays', { reasons: leftAside });
  const refuse = () => Promise.reject(new GatewayError('REGISTRATION_REFUSED', undefined, { reasons: leftAside }));
  await state.noteRefusal(note, {}, refuse).catch(() => {});
}

/** Services as they would be with what was found; and those in quarantine, for which the graph may be a better one now. */
function buildOffers(
  current: Snapshot,
  news: readonly SchemaNews[],
  asking: SchemaAsking,
  revision: number,
): readonly Service[] {
  const found = new Map(news.map((item) => [item.service.name, item]));
  return current.services.flatMap((service): Service[] => {
    const item = found.get(service.name);
    const isMeant = item !== undefined && isAskedOf(service, item.service.definition.graphql);
    const schema = isMeant ? asking.take(service.name, item) : null;
    if (schema !== null && schema.hash !== service.schema?.hash) {
      return [{ ...service, schema, quarantine: null, revision }];
    }
    return service.quarantine === null || service.schema === null ? [] : [{ ...service, quarantine: null }];
  });
}

function nameService(service: string, reasons: readonly ErrorReason[] | undefined): readonly ErrorReason[] {
  return (reasons ?? []).map((reason) => ({ service, ...reason }));
}
