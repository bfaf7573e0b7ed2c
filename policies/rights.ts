/** What roles give, and what the names of policies stand for: the section `authorization`, worked out. */
import type { AuthorizationOptions } from './authorize-options.ts';
import type { Viewer } from './request-context.ts';
import { buildRequirement, type Requirement } from './requirement.ts';

export interface Rights {
  readonly mode: NonNullable<AuthorizationOptions['mode']>;
  rolesOf(viewer: Viewer): ReadonlySet<string>;
  /** `*` stands for all. */
  permissionsOf(viewer: Viewer): ReadonlySet<string>;
  /** Whether the viewer has one of these roles. */
  hasRole(viewer: Viewer, roles: readonly string[]): boolean;
  hasPermission(viewer: Viewer, permission: string): boolean;
  /** Undefined for a name that nobody configured. */
  findPolicy(name: string): Requirement | undefined;
}

interface ViewerRights {
  readonly roles: ReadonlySet<string>;
  readonly permissions: ReadonlySet<string>;
}

const all = '*';

/** Works the options out. What a viewer may is looked up once as long as the viewer is remembered. */
export function createRights(options: AuthorizationOptions = {}): Rights {
  const { permissions = {}, permissionsClaim = 'permissions', rolesClaim, adminRole } = options;
  const byRole = new Map(Object.entries(permissions));
  const policies = new Map(
    Object.entries(options.policies ?? {}).map(([name, asks]) => [name, buildRequirement(asks)]),
  );
  const known = new WeakMap<Viewer, ViewerRights>();

  function look(viewer: Viewer): ViewerRights {
    const roles = new Set([...viewer.roles, ...(rolesClaim === undefined ? [] : readWords(viewer, rolesClaim))]);
    // A token that says `*` has a permission of that name and no more: only a configured role gives all.
    const held = new Set(readWords(viewer, permissionsClaim).filter((word) => word !== all));
    for (const role of roles)
      for (const permission of role === adminRole ? all : (byRole.get(role) ?? [])) held.add(permission);
    return { roles, permissions: held };
  }
  function rightsOf(viewer: Viewer): ViewerRights {
    let found = known.get(viewer);
    if (found === undefined) {
      found = look(viewer);
      known.set(viewer, found);
    }
    return found;
  }

  return {
    mode: options.mode ?? 'reject',
    rolesOf: (viewer) => rightsOf(viewer).roles,
    permissionsOf: (viewer) => rightsOf(viewer).permissions,
    hasRole(viewer, roles) {
      const held = rightsOf(viewer).roles;
      return (adminRole !== undefined && held.has(adminRole)) || roles.some((role) => held.has(role));
    },
    hasPermission(viewer, permission) {
      const held = rightsOf(viewer).permissions;
      return held.has(all) || held.has(permission);
    },
    findPolicy: (name) => policies.get(name),
  };
}

/** Of a gateway that says nothing about it: roles and permissions are what authentication found. */
export const noRights: Rights = createRights();

function readWords({ claims }: Viewer, name: string): string[] {
  const claim = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (typeof claim === 'string') return claim.split(' ').filter((word) => word !== '');
  return Array.isArray(claim) ? claim.filter((word) => typeof word === 'string') : [];
}
