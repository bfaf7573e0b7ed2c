/** What of a stored registry may be believed at a start: another version, or another configuration, may have written it. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { findSchemaMistakes, formatPointer } from '../policies/schema-mistakes.ts';
import { OneOf } from '../policies/units.ts';
import type { AddressPolicy } from './address-policy.ts';
import { assertNoFiles, checkDefinition } from './definition-check.ts';
import { createAddressCheck } from './discovery/instance-check.ts';
import { providerNames } from './discovery/provider.ts';
import type { Log } from './log.ts';
import { instanceIdPattern, serviceNamePattern } from './service-definition.ts';
import type { Instance, Service } from './snapshot.ts';
import type { StoredState } from './store.ts';

const storedInstances = Compile(
  Type.Object({
    id: Type.String({ pattern: instanceIdPattern }),
    url: Type.String(),
    weight: Type.Integer({ minimum: 1 }),
    origin: OneOf(['static', 'lease', 'discovered']),
    provider: Type.Optional(OneOf(providerNames)),
    leaseSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_600 })),
    draining: Type.Boolean(),
  }),
);

const Reasons = Type.Array(Type.Object({ message: Type.String() }));

const Schema = Type.Object({
  kind: Type.Union([Type.Literal('federation'), Type.Literal('plain')]),
  sdl: Type.String(),
  hash: Type.String(),
  source: Type.String(),
});

const storedServices = Compile(
  Type.Object({
    name: Type.String({ pattern: serviceNamePattern }),
    definition: Type.Object({}),
    schema: Type.Union([Type.Null(), Schema]),
    quarantine: Type.Union([Type.Null(), Reasons]),
    rejected: Type.Optional(
      Type.Object({
        schema: Schema,
        version: Type.Optional(Type.String()),
        reasons: Reasons,
        held: Type.Optional(Type.Boolean()),
      }),
    ),
    versions: Type.Optional(Type.Array(Type.Object({ version: Type.String(), schema: Schema }))),
    schemaVersion: Type.Optional(Type.String()),
    instances: Type.Array(Type.Unknown()),
    revision: Type.Integer({ minimum: 0 }),
    origin: Type.Union([Type.Literal('config'), Type.Literal('admin')]),
  }),
);

/** The services that are valid, by name. The others are dropped with a line in the log: nothing may stop a start. */
export function readStoredServices(
  stored: StoredState | null,
  addressPolicy: AddressPolicy,
  log: Log,
): ReadonlyMap<string, Service> {
  const services = new Map<string, Service>();
  const listed: unknown = stored?.snapshot?.services;
  if (!Array.isArray(listed)) return services;
  for (const value of listed) {
    try {
      const service = readService(value, addressPolicy, log);
      services.set(service.name, service);
    } catch (error) {
      const service = typeof value?.name === 'string' ? value.name : 'without a name';
      log.error('a stored service is not valid any more and is dropped', { error, service });
    }
  }
  return services;
}

function readService(value: unknown, addressPolicy: AddressPolicy, log: Log): Service {
  const mistakes = findSchemaMistakes(storedServices, value);
  if (mistakes.length > 0)
    throw new Error(mistakes.map(({ path, message }) => `${formatPointer(path)}: ${message}`).join('; '));
  const service = value as Service;
  const definition = checkDefinition(service.definition, false);
  // The operator's own file is not bound by what teams may register.
  const isBound = service.origin === 'admin';
  const checkDiscovered = createAddressCheck(addressPolicy);
  if (isBound) assertNoFiles(service.name, definition);
  if (isBound) for (const { url } of definition.instances ?? []) addressPolicy.assertAllowed(url);
  return { ...service, definition, instances: service.instances.filter((instance) => isValid(instance, service.name)) };

  function isValid(instance: Instance, name: string): boolean {
    try {
      const [mistake] = findSchemaMistakes(storedInstances, instance);
      if (mistake !== undefined) throw new Error(`${formatPointer(mistake.path)}: ${mistake.message}`);
      if (instance.origin === 'lease') addressPolicy.assertAllowed(instance.url);
      if (instance.origin === 'discovered') checkDiscovered(service.origin, instance.url);
      return true;
    } catch (error) {
      log.warn('a stored instance is not valid any more and is dropped', { error, service: name });
      return false;
    }
  }
}
