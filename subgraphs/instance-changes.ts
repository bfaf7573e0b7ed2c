/** Instances that come, stay alive, drain and go. */
import { isDeepStrictEqual } from 'node:util';
import { GatewayError } from '../policies/errors.ts';
import { type AddressPolicy, buildOrigin } from './address-policy.ts';
import { type AuditAction, type AuditNote, type Author, buildAuthor } from './audit.ts';
import { assertInstanceId, checkInstance } from './definition-check.ts';
import type { DesiredState } from './desired-state.ts';
import { type DiscoveredList, listNewSoftware, withDiscovered } from './discovery/discovered-instances.ts';
import { defaultLeaseSeconds, type ExpiredLease, type Leases } from './leases.ts';
import { nothingAsked, type SchemaAnswer, type SchemaAsking } from './schema-asking.ts';
import { isAskedOf } from './service-change.ts';
import { getService } from './service-changes.ts';
import type { GraphqlEndpoint, InstanceRegistration } from './service-definition.ts';
import { withPresentVersions, withVersionSchema } from './service-versions.ts';
import {
  findInstance,
  findService,
  type Instance,
  type Service,
  type Snapshot,
  withoutKeys,
  withServices,
} from './snapshot.ts';
import { settleVersions } from './version-settling.ts';

export interface InstanceOutcome<A> {
  readonly service: Service;
  /** The instance after the change; null when it is gone. */
  readonly instance: Instance | null;
  readonly created: boolean;
  /** Whether the snapshot is another one; a heartbeat does not change it. */
  readonly changed: boolean;
  readonly admission: A;
  readonly graphChanged: boolean;
}

export interface InstanceChanges<A> {
  putInstance(service: string, id: string, registration: unknown, by: Author): Promise<InstanceOutcome<A>>;
  drainInstance(service: string, id: string, by: Author): Promise<InstanceOutcome<A>>;
  deleteInstance(service: string, id: string, by: Author): Promise<InstanceOutcome<A>>;
  /** Removes instances whose lease ran out and was not renewed since. */
  expire(expired: readonly ExpiredLease[]): Promise<void>;
  /** Takes what providers found; tells what of it runs something new. */
  putDiscovered(lists: readonly DiscoveredList[]): Promise<readonly NewSoftware[]>;
}

/** Instances of a service that may have another schema than the one that is known. */
export interface NewSoftware {
  readonly service: Service;
  readonly instances: readonly Instance[];
}

/** Instances that one service may have. */
const maxInstances = 2_000;

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly asking: SchemaAsking;
  readonly leases: Leases;
  readonly addressPolicy: AddressPolicy;
}

export function createInstanceChanges<A>({ state, asking, leases, addressPolicy }: Parts<A>): InstanceChanges<A> {
  function change(
    action: AuditAction,
    name: string,
    id: string,
    by: Author,
    build: (service: Service, existing: Instance | undefined, revision: number) => Service,
    prepare: () => Promise<void> = async () => {},
  ): Promise<InstanceOutcome<A>> {
    const note: AuditNote = { ...buildAuthor(by), action, targets: [`${name}/${id}`] };
    return state.noteRefusal(note, {}, async () => {
      await state.refresh();
      await prepare();
      const { before, after, ...rest } = await state.change(note, (current, revision) => {
        const service = getService(current, name);
        const next = build(service, findInstance(service, id), revision);
        if (isDeepStrictEqual(next, service)) return { snapshot: current };
        if (action === 'instance.put') return { snapshot: withServices(current, [next]) };
        return settleVersions(state, current, [next], revision);
      });
      const service = getService(after, name);
      const instance = findInstance(service, id) ?? null;
      const created = instance !== null && findInstance(getService(before, name), id) === undefined;
      return { ...rest, service, instance, created };
    });
  }

  async function register(
    name: string,
    id: string,
    registration: InstanceRegistration,
    by: Author,
  ): Promise<InstanceOutcome<A>> {
    const wanted = buildInstance(id, registration);
    let endpoint: GraphqlEndpoint | undefined;
    let answer: SchemaAnswer = nothingAsked;
    const prepare = async () => {
      addressPolicy.assertAllowed(registration.url);
      const service = getService(state.snapshot, name);
      const existing = findInstance(service, id);
      assertLeased(service, existing);
      assertSecure(service, registration);
      // An instance that is not listening yet is welcome: it will be asked again in the background.
      endpoint = service.definition.graphql;
      if (isOtherSoftware(existing, wanted)) answer = await asking.ask(name, service.definition, [wanted]);
    };
    const build = (service: Service, existing: Instance | undefined, revision: number): Service => {
      assertLeased(service, existing);
      if (existing === undefined && service.instances.length >= maxInstances) {
        throw new GatewayError('REGISTRATION_REFUSED', `a service may have ${maxInstances} instances`, {
          service: name,
        });
      }
      const draining = existing?.draining === true && !isOtherSoftware(existing, wanted);
      const registered = withPresentVersions(withInstance(service, { ...wanted, draining }));
      const asked = isAskedOf(service, endpoint) ? asking.take(name, answer.found) : [];
      const next = asked.reduce(withVersionSchema, asked.length === 0 ? registered : withoutDefect(registered));
      return next.schema?.hash === service.schema?.hash ? next : { ...next, quarantine: null, revision };
    };
    const outcome = await change('instance.put', name, id, by, build, prepare);
    leases.renew(name, id, registration.leaseSeconds ?? defaultLeaseSeconds);
    return outcome;
  }

  return {
    async putInstance(name, id, value, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'instance.put', targets: [`${name}/${id}`] };
      const registration = await state.noteRefusal(note, {}, async () => {
        assertInstanceId(id);
        return checkInstance(value);
      });
      // Another gateway may have taken the registration a moment ago.
      if (findService(state.snapshot, name) === undefined) await state.refresh();
      const service = getService(state.snapshot, name);
      const instance = findInstance(service, id);
      // A heartbeat waits for no change that is under way, or a slow composition would let instances expire.
      if (instance?.origin === 'lease' && isRenewal(instance, buildInstance(id, registration))) {
        leases.renew(name, id, registration.leaseSeconds ?? defaultLeaseSeconds);
        const { admission } = state;
        return { service, instance, created: false, changed: false, admission, graphChanged: false };
      }
      return register(name, id, registration, by);
    },

    drainInstance: (name, id, by) =>
      change('instance.drain', name, id, by, (service, existing) => {
        const instance = assertExists(service, existing, id);
        return instance.draining ? service : withInstance(service, { ...instance, draining: true });
      }),

    deleteInstance: (name, id, by) =>
      change('instance.delete', name, id, by, (service, existing) => {
        assertLeased(service, assertExists(service, existing, id));
        return { ...service, instances: service.instances.filter((instance) => instance.id !== id) };
      }),

    async expire(expired) {
      const targets = expired.map(({ service, instance }) => `${service}/${instance}`);
      const note: AuditNote = { author: 'lease', action: 'instance.expire', targets };
      await state.change(
        note,
        (current, revision) => {
          const gone = new Set(
            expired
              .filter(({ service, instance }) => leases.remainingSeconds(service, instance) === 0)
              .map(({ service, instance }) => `${service}/${instance}`),
          );
          return settleVersions(state, current, withoutInstances(current, gone), revision);
        },
        { evenUnsaved: true }, // dead instances must leave the rotation even if the disk is full
      );
    },

    async putDiscovered(lists) {
      const targets = [...new Set(lists.map(({ service }) => service))].sort();
      const note: AuditNote = { author: 'discovery', action: 'instances.discover', targets };
      const { before, after } = await state.change(
        note,
        (current, revision) => {
          const services = targets.flatMap((name): Service[] => {
            const service = findService(current, name);
            if (service === undefined) return [];
            const next = withDiscovered(
              service,
              lists.filter((list) => list.service === name),
              maxInstances,
            );
            return isDeepStrictEqual(next, service) ? [] : [next];
          });
          return settleVersions(state, current, services, revision);
        },
        { evenUnsaved: true }, // it is found again after a restart
      );
      return targets.flatMap((name): NewSoftware[] => {
        const [was, service] = [findService(before, name), findService(after, name)];
        const instances = was === undefined || service === undefined ? [] : listNewSoftware(was, service);
        return service === undefined || instances.length === 0 ? [] : [{ service, instances }];
      });
    },
  };
}

function buildInstance(id: string, { url, weight, zone, version, leaseSeconds }: InstanceRegistration): Instance {
  return {
    id,
    url: URL.canParse(url) ? buildOrigin(url) : url, // the address policy refuses it later, with a reason
    weight: weight ?? 1,
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    origin: 'lease',
    leaseSeconds: leaseSeconds ?? defaultLeaseSeconds,
    draining: false,
  };
}

/** Whether it runs something that the gateway has not seen, so that the schema may be another one. */
function isOtherSoftware(existing: Instance | undefined, wanted: Instance): boolean {
  return existing === undefined || existing.url !== wanted.url || existing.version !== wanted.version;
}

function isRenewal(existing: Instance, wanted: Instance): boolean {
  return !isOtherSoftware(existing, wanted) && existing.weight === wanted.weight && existing.zone === wanted.zone;
}

function assertLeased(service: Service, existing: Instance | undefined): void {
  if (existing === undefined || existing.origin === 'lease') return;
  const message =
    existing.origin === 'static'
      ? `${existing.id} is named in the definition of ${service.name}; change it there`
      : `${existing.id} was found by ${existing.provider}, and would be again; it can be drained`;
  throw new GatewayError('CONFLICT', message, { service: service.name });
}

function assertExists(service: Service, existing: Instance | undefined, id: string): Instance {
  if (existing !== undefined) return existing;
  throw new GatewayError('ROUTE_NOT_FOUND', `${service.name} has no instance ${id}`, { service: service.name });
}

/**
 * What was found stands last, as in `withDiscovered`, or its next answer would look like a change. And who registers at a
 * URL that was found takes its place: twice there, an instance would get twice its share.
 */
function withInstance(service: Service, instance: Instance): Service {
  const isKnown = service.instances.some(({ id }) => id === instance.id);
  const next = service.instances.map((known) => (known.id === instance.id ? instance : known));
  const others = next.filter(({ origin }) => origin !== 'discovered');
  const found = next.filter(
    ({ id, origin, url }) => origin === 'discovered' && (id === instance.id || url !== instance.url),
  );
  return { ...service, instances: [...others, ...(isKnown ? [] : [instance]), ...found] };
}

/** Those services that lose instances, without them. */
function withoutInstances(snapshot: Snapshot, gone: ReadonlySet<string>): readonly Service[] {
  return snapshot.services.flatMap((service) => {
    const instances = service.instances.filter(
      ({ id, origin }) => origin !== 'lease' || !gone.has(`${service.name}/${id}`),
    );
    return instances.length === service.instances.length ? [] : [{ ...service, instances }];
  });
}

/** An instance that registers tries its schema anew, unless a rollback holds it back. */
function withoutDefect(service: Service): Service {
  return service.rejected?.held === true ? service : withoutKeys(service, 'rejected');
}

/** Nothing would ever be sent there. */
function assertSecure({ name, definition }: Service, { url }: InstanceRegistration): void {
  if (definition.tls === undefined || /^https:/i.test(url)) return;
  throw new GatewayError('REGISTRATION_REFUSED', 'the service asks for TLS: its instances need `https`', {
    service: name,
  });
}
