/** Takes schemas that were found in the background into the registry, and tries those in quarantine once more. */
import { isDeepStrictEqual } from 'node:util';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { AuditNote } from './audit.ts';
import type { Proposal } from './change.ts';
import type { DesiredState } from './desired-state.ts';
import type { Log } from './log.ts';
import type { SchemaAsking } from './schema-asking.ts';
import type { SchemaNews } from './schema-healing.ts';
import { selectComposable } from './schema-selection.ts';
import { isAskedOf } from './service-change.ts';
import { unversioned, withRejected, withTakenBack, withVersionSchema } from './service-versions.ts';
import {
  findService,
  isComposed,
  type Service,
  type Snapshot,
  type VersionSchema,
  withoutKeys,
  withServices,
} from './snapshot.ts';

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly asking: SchemaAsking;
  readonly log: Log;
}

/**
 * What composes becomes part of the graph. What does not goes into quarantine; if the service has a schema that does, the
 * last good one stays, and the other is kept aside with the reasons.
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
      const heard = takeNews(current, news, asking);
      const offers = buildOffers(heard, revision);
      const selection = await selectComposable(heard, offers, state.admit);
      const losers = offers.flatMap((offer) => {
        const service = findService(heard, offer.name);
        const reasons = selection.refused.get(offer.name);
        return reasons === undefined || service === undefined ? [] : [{ offer, service, reasons }];
      });
      const serving = losers
        .filter(({ service }) => isComposed(service))
        .map(({ offer, service, reasons }) => withRejected(service, offer, reasons));
      const quarantined = losers
        .filter(({ service }) => !isComposed(service))
        .map(({ offer, reasons }): Service => ({ ...offer, quarantine: reasons }));
      for (const { name, quarantine } of quarantined) {
        log.warn('the schema does not compose; the graph goes on without it', { service: name, reasons: quarantine });
      }
      const isNew = ({ name, rejected }: Service) =>
        rejected?.schema.hash !== findService(current, name)?.rejected?.schema.hash;
      leftAside = serving.filter(isNew).flatMap(({ name, rejected }) => nameService(name, rejected?.reasons));
      const next = withServices(selection.snapshot, [...quarantined, ...serving]);
      const reasons = quarantined.flatMap(({ name, quarantine }) => nameService(name, quarantine ?? []));
      if (isDeepStrictEqual(next, current)) return { snapshot: current };
      return { snapshot: next, admission: selection.admission, ...(reasons.length > 0 && { reasons }) };
    },
    { evenUnsaved: true },
  );
  if (leftAside.length === 0) return;
  log.warn('a new schema does not compose; the last good one stays', { reasons: leftAside });
  const refuse = () => Promise.reject(new GatewayError('REGISTRATION_REFUSED', undefined, { reasons: leftAside }));
  await state.noteRefusal(note, {}, refuse).catch(() => {});
}

/** The services with what is known now of their versions, and with the schemas that they have in the graph. */
function takeNews(current: Snapshot, news: readonly SchemaNews[], asking: SchemaAsking): Snapshot {
  const changed = news.flatMap((item): Service[] => {
    const service = findService(current, item.service.name);
    if (service === undefined || !isAskedOf(service, item.service.definition.graphql)) return [];
    const found = asking.take(service.name, item.found);
    const next = found.reduce(withVersionSchema, service);
    if (next.schema === null || next.schema.hash === service.schema?.hash) {
      return [isGoodAgain(service, found) ? withoutKeys(next, 'rejected') : next];
    }
    const { versions } = next;
    const heard = versions === undefined ? withoutKeys(service, 'versions') : { ...service, versions };
    return [withRejected(heard, next, notTried)];
  });
  return withServices(current, changed);
}

/** Whether the instances whose schema was refused have the one again that serves. */
function isGoodAgain({ schema, rejected }: Service, found: readonly VersionSchema[]): boolean {
  if (rejected === undefined || rejected.held === true) return false;
  return found.some(
    (answer) => answer.version === (rejected.version ?? unversioned) && answer.schema.hash === schema?.hash,
  );
}

const notTried: readonly ErrorReason[] = [{ message: 'not tried yet' }];

/** Services as they would be with what was found; and those left out so far, for which the graph may be a better one now. */
function buildOffers(heard: Snapshot, revision: number): readonly Service[] {
  return heard.services.flatMap((service): Service[] => {
    const { rejected, quarantine, schema } = service;
    if (rejected !== undefined && rejected.held !== true) {
      return [{ ...withTakenBack(service), quarantine: null, revision }];
    }
    return quarantine === null || schema === null ? [] : [{ ...service, quarantine: null }];
  });
}

function nameService(service: string, reasons: readonly ErrorReason[] | undefined): readonly ErrorReason[] {
  return (reasons ?? []).map((reason) => ({ service, ...reason }));
}
