/** Changes of services by teams (one or several at once) and by the configuration file. */
import { isDeepStrictEqual } from 'node:util';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { type AddressPolicy, buildOrigin } from './address-policy.ts';
import { type AuditNote, buildAuthor } from './audit.ts';
import type { Change } from './change.ts';
import { assertNoFiles, assertServiceName, checkDefinition, checkDefinitions } from './definition-check.ts';
import type { DesiredState } from './desired-state.ts';
import { type DiscoveryAccess, findDiscoveryRefusals } from './discovery/discovery-access.ts';
import { assertMatches, type ChangeAuthor } from './precondition.ts';
import type { SchemaAnswer, SchemaAsking } from './schema-asking.ts';
import { buildService } from './service-change.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { findService, type Service, type Snapshot, withoutService, withServices } from './snapshot.ts';

export interface ServiceOutcome<A> {
  /** The service after the change; after a dry run, as it would be. */
  readonly service: Service;
  readonly created: boolean;
  readonly changed: boolean;
  readonly admission: A;
  /** Whether the graph is another one. If not, `admission` is about the change that made the present one. */
  readonly graphChanged: boolean;
  /** Why no instance could be asked for the schema, so that the known one stays; else null. */
  readonly unasked: ErrorReason | null;
}

export interface ServicesOutcome<A> {
  readonly revision: number;
  readonly created: readonly string[];
  readonly removed: readonly string[];
  readonly changed: boolean;
  readonly admission: A;
  readonly graphChanged: boolean;
}

export interface ServiceChanges<A> {
  putService(name: string, definition: unknown, by: ChangeAuthor): Promise<ServiceOutcome<A>>;
  putServices(
    definitions: Readonly<Record<string, unknown>>,
    mode: 'replace' | 'merge',
    by: ChangeAuthor,
  ): Promise<ServicesOutcome<A>>;
  deleteService(name: string, by: ChangeAuthor): Promise<ServicesOutcome<A>>;
  replaceConfig(config: Readonly<Record<string, unknown>>): Promise<ServicesOutcome<A>>;
}

/** Services that one gateway may have. */
const maxServices = 1_000;

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly asking: SchemaAsking;
  readonly addressPolicy: AddressPolicy;
  readonly discoveryAccess: DiscoveryAccess;
}

export function createServiceChanges<A>(parts: Parts<A>): ServiceChanges<A> {
  const { state, asking, addressPolicy, discoveryAccess } = parts;

  /** Asks the instances that the definition names, else those that registered themselves or were found. */
  function ask(name: string, definition: ServiceDefinition): Promise<SchemaAnswer> {
    const named = (definition.instances ?? []).map(({ url, version }) => ({ url: buildOrigin(url), version }));
    const registered = (findService(state.snapshot, name)?.instances ?? []).filter(
      (instance) => instance.origin !== 'static' && !instance.draining,
    );
    return asking.ask(name, definition, [...named, ...registered]);
  }

  /** What teams may not say although it is well-formed: addresses, and whom the gateway asks for them. */
  function assertAllowed(name: string, definition: ServiceDefinition): void {
    assertNoFiles(name, definition);
    for (const { url } of definition.instances ?? []) addressPolicy.assertAllowed(url);
    const reasons = findDiscoveryRefusals(name, definition, discoveryAccess);
    const [first] = reasons;
    if (first !== undefined) throw new GatewayError('FORBIDDEN', first.message, { service: name, reasons });
  }

  async function askAll(definitions: ReadonlyMap<string, ServiceDefinition>) {
    const answers = [...definitions].map(async ([name, definition]) => [name, await ask(name, definition)] as const);
    return new Map(await Promise.all(answers));
  }

  return {
    putService(name, value, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'service.put', targets: [name] };
      return state.noteRefusal(note, by, async () => {
        assertServiceName(name);
        const definition = checkDefinition(value);
        assertAllowed(name, definition);
        await state.refresh();
        assertChangeable(findService(state.snapshot, name), name, by); // before anybody is asked
        const answer = await ask(name, definition);
        const change = await state.change(
          note,
          (current, revision) => {
            const existing = findService(current, name);
            assertChangeable(existing, name, by);
            const asked = asking.take(name, answer.found);
            const service = buildService({ name, definition, origin: 'admin', existing, asked, revision, retry: true });
            return { snapshot: service === existing ? current : assertSize(withServices(current, [service])) };
          },
          by,
        );
        const { failure } = answer;
        return {
          service: getService(change.after, name),
          created: findService(change.before, name) === undefined,
          changed: change.changed,
          admission: change.admission,
          graphChanged: change.graphChanged,
          unasked: failure === null ? null : { message: failure.message, service: name },
        };
      });
    },

    putServices(values, mode, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'services.put', targets: Object.keys(values) };
      return state.noteRefusal(note, by, async () => {
        const definitions = checkDefinitions(values);
        await state.refresh();
        for (const [name, definition] of definitions) {
          assertAllowed(name, definition);
          assertNotOfConfig(findService(state.snapshot, name));
        }
        const answers = await askAll(definitions);
        const change = await state.change(
          note,
          (current, revision) => {
            for (const name of definitions.keys()) assertNotOfConfig(findService(current, name));
            const kept = current.services.filter(
              ({ name, origin }) => mode === 'merge' || origin === 'config' || definitions.has(name),
            );
            const services = [...definitions].map(([name, definition]) => {
              const existing = findService(current, name);
              const asked = asking.take(name, answers.get(name)?.found ?? []);
              return buildService({ name, definition, origin: 'admin', existing, asked, revision, retry: true });
            });
            return {
              snapshot: keepIfEqual(current, assertSize(withServices({ ...current, services: kept }, services))),
            };
          },
          by,
        );
        return buildServicesOutcome(change);
      });
    },

    deleteService(name, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'service.delete', targets: [name] };
      return state.noteRefusal(note, by, async () => {
        await state.refresh();
        const change = await state.change(
          note,
          (current) => {
            const existing = findService(current, name);
            assertChangeable(existing, name, by);
            getService(current, name);
            return { snapshot: withoutService(current, name) };
          },
          by,
        );
        return buildServicesOutcome(change);
      });
    },

    replaceConfig(values) {
      const note: AuditNote = { author: 'config', action: 'config.replace', targets: Object.keys(values) };
      return state.noteRefusal(note, {}, async () => {
        const definitions = checkDefinitions(values);
        await state.refresh();
        const answers = await askAll(definitions);
        const change = await state.change(
          note,
          (current, revision) => {
            const kept = current.services.filter(({ name, origin }) => origin === 'admin' || definitions.has(name));
            const services = [...definitions].map(([name, definition]) => {
              const existing = findService(current, name);
              const asked = asking.take(name, answers.get(name)?.found ?? []);
              // What was in quarantine before and is as it was must not stand in the way of the rest of the file.
              return buildService({ name, definition, origin: 'config', existing, asked, revision, retry: false });
            });
            return { snapshot: keepIfEqual(current, withServices({ ...current, services: kept }, services)) };
          },
          { evenUnsaved: true }, // the file itself is what survives
        );
        return buildServicesOutcome(change);
      });
    },
  };
}

/** The ETag of a service changes with its definition and its schema, not with its instances. */
function assertChangeable(existing: Service | undefined, name: string, by: ChangeAuthor): void {
  assertNotOfConfig(existing);
  assertMatches(existing, by, { kind: 'service', name });
}

function assertNotOfConfig(existing: Service | undefined): void {
  if (existing?.origin !== 'config') return;
  throw new GatewayError('CONFLICT', `${existing.name} comes from the configuration file; change it there`, {
    service: existing.name,
  });
}

function assertSize(snapshot: Snapshot): Snapshot {
  if (snapshot.services.length <= maxServices) return snapshot;
  throw new GatewayError('REGISTRATION_REFUSED', `a gateway may have ${maxServices} services, and has them`);
}

function keepIfEqual(current: Snapshot, next: Snapshot): Snapshot {
  return isDeepStrictEqual(current, next) ? current : next;
}

function buildServicesOutcome<A>({ before, after, ...rest }: Change<A>): ServicesOutcome<A> {
  const namesOf = (snapshot: Snapshot) => snapshot.services.map((service) => service.name);
  const [was, is] = [new Set(namesOf(before)), new Set(namesOf(after))];
  return {
    ...rest,
    revision: after.revision,
    created: [...is].filter((name) => !was.has(name)),
    removed: [...was].filter((name) => !is.has(name)),
  };
}

/** A service by its name, or ROUTE_NOT_FOUND. */
export function getService(snapshot: Snapshot, name: string): Service {
  const service = findService(snapshot, name);
  if (service === undefined) throw new GatewayError('ROUTE_NOT_FOUND', `there is no service ${name}`);
  return service;
}
