/** Two services cannot have the same route: which of them answers would depend on who came first. */
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { listRoutes } from './grpc-schema.ts';
import type { Route } from './service-definition.ts';
import type { Service } from './snapshot.ts';

const allMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

interface Claim {
  readonly service: string;
  readonly path: string;
}

/** Throws CONFLICT when a route exists twice, naming both services. */
export function assertNoRouteConflicts(services: readonly Service[]): void {
  const reasons = findRouteConflicts(services);
  const [first] = reasons;
  if (first !== undefined) throw new GatewayError('CONFLICT', first.message, { service: first.service, reasons });
}

/** Every route that exists twice. The reason concerns the service that comes later in the list. */
export function findRouteConflicts(services: readonly Service[]): readonly ErrorReason[] {
  const claims = new Map<string, Claim>();
  const reasons: ErrorReason[] = [];
  for (const { name, definition } of services) {
    const written = definition.routes?.length ?? 0;
    listRoutes(definition).forEach((route, index) => {
      const path = index < written ? `/routes/${index}` : '/grpc';
      for (const key of buildKeys(route)) {
        const other = claims.get(key);
        if (other !== undefined) {
          const message = `${key} is a route of the service ${other.service} already (${other.path})`;
          reasons.push({ message, service: name, path });
          break; // one reason per route says enough
        }
        claims.set(key, { service: name, path });
      }
    });
  }
  return reasons;
}

/** What a route answers to, once per method. The names of parameters do not tell paths apart. */
function buildKeys({ match }: Route): readonly string[] {
  const methods = new Set<string>(match.methods ?? allMethods);
  if (methods.has('GET')) methods.add('HEAD');
  const path = match.path.replaceAll(/\/:[A-Za-z_]\w*/g, '/:');
  const host = match.host === undefined ? '' : ` of ${match.host.toLowerCase()}`;
  return [...methods].map((method) => `${method} ${path}${host}`);
}
