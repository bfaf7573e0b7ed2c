/** Which providers services may name that teams register: a provider answers with the rights of the gateway. */
import type { ErrorReason } from '../../policies/errors.ts';
import type { ServiceDefinition } from '../service-definition.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import { type ProviderName, providerNames } from './provider.ts';

/** Asked anew for every registration, as the configuration may change. */
export type DiscoveryAccess = () => DiscoveryOptions;

/** As without any configuration. */
export const defaultDiscoveryAccess: DiscoveryAccess = () => ({});

/** Providers that nobody can ask unless the gateway is told where they are. */
const addressed = ['consul', 'etcd', 'eureka'] as const;

/** Why a team may not define its service so; nothing when it may. */
export function findDiscoveryRefusals(
  service: string,
  { discovery }: ServiceDefinition,
  access: DiscoveryAccess,
): readonly ErrorReason[] {
  const options = access();
  const allowed: readonly ProviderName[] = options.teams ?? ['dns'];
  return providerNames
    .filter((name) => discovery?.[name] !== undefined && !allowed.includes(name))
    .map((name) => ({
      service,
      path: `/discovery/${name}`,
      message: `services that are registered may not be discovered by ${name} here (discovery.teams)`,
    }))
    .concat(findUnaddressed(discovery, options).map((reason) => ({ service, ...reason })));
}

/** Providers that a service names and the gateway does not know. */
export function findUnaddressed(discovery: ServiceDefinition['discovery'], options: DiscoveryOptions) {
  return addressed
    .filter((name) => discovery?.[name] !== undefined && options[name] === undefined)
    .map((name) => ({
      path: `/discovery/${name}`,
      message: `the gateway knows no ${name}: its configuration needs \`discovery.${name}\``,
    }));
}
