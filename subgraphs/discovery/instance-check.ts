/** Which instances of an answer can be used: those that a definition could name, at addresses that they may have. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { toGatewayError } from '../../policies/errors.ts';
import { findSchemaMistakes } from '../../policies/schema-mistakes.ts';
import { type AddressPolicy, buildOrigin, createAddressPolicy } from '../address-policy.ts';
import { instanceIdPattern, instanceProperties } from '../service-definition.ts';
import type { Service } from '../snapshot.ts';
import { type DiscoveredInstance, DiscoveryError, maxDiscoveredInstances } from './provider.ts';

const instances = Compile(Type.Object({ id: Type.String({ pattern: instanceIdPattern }), ...instanceProperties }));

export interface CheckedAnswer {
  readonly instances: readonly DiscoveredInstance[];
  /** Why others of the answer are not among them. */
  readonly refusals: readonly string[];
}

/** Throws unless an instance that was discovered for a service may live at this URL. */
export type AddressCheck = (origin: Service['origin'], url: string) => void;

/**
 * What is discovered for a service of the configuration is bound as that is: not by what teams may register, but never at
 * an address where no service lives, since the answer comes from elsewhere than the file.
 */
export function createAddressCheck(policy: AddressPolicy): AddressCheck {
  const everywhere = createAddressPolicy();
  return (origin, url) => {
    if (origin === 'admin') return policy.assertAllowed(url);
    try {
      everywhere.assertAllowed(url);
    } catch {
      policy.assertAllowed(url); // `registration.allow` may name such an address
    }
  };
}

/**
 * Sorted by id, each id once. One bad instance costs itself only, as the others must not be frozen by it; a list of which
 * nothing can be used, or that is too long, is no answer.
 */
export function checkAnswer(found: readonly DiscoveredInstance[], check: (url: string) => void): CheckedAnswer {
  if (found.length > maxDiscoveredInstances) {
    throw new DiscoveryError(
      `${found.length} instances are more than the ${maxDiscoveredInstances} a service may have`,
    );
  }
  const usable = new Map<string, DiscoveredInstance>();
  const refusals: string[] = [];
  for (const candidate of found) {
    const instance = tidy(candidate);
    const problem = findProblem(instance, check);
    if (problem !== null) refusals.push(`${instance.id}: ${problem}`);
    else if (!usable.has(instance.id)) usable.set(instance.id, { ...instance, url: buildOrigin(instance.url) });
  }
  if (usable.size === 0 && refusals.length > 0) {
    throw new DiscoveryError(`none of ${found.length} instances can be used; ${refusals[0]}`);
  }
  const sorted = [...usable.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { instances: sorted, refusals };
}

/** Without keys that say nothing, so that equal instances are equal. */
function tidy({ id, url, weight, zone, version }: DiscoveredInstance): DiscoveredInstance {
  return {
    id,
    url,
    ...(weight !== undefined && { weight }),
    ...(zone !== undefined && zone !== '' && { zone }),
    ...(version !== undefined && version !== '' && { version }),
  };
}

function findProblem(instance: DiscoveredInstance, check: (url: string) => void): string | null {
  const [mistake] = findSchemaMistakes(instances, instance);
  if (mistake !== undefined) return `${mistake.path.join('.')}: ${mistake.message}`;
  try {
    check(instance.url);
    return null;
  } catch (error) {
    return toGatewayError(error).message;
  }
}
