/** Who may use the admin API: bearer tokens by their SHA-256, or, without any token, whoever is on this machine. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import type { AdminToken } from './admin-token.ts';
import { isLoopback } from './loopback.ts';

/** Who changes something: the name in the audit log, and what it may touch. */
export interface Administrator {
  readonly name: string;
  readonly role: AdminToken['role'];
  /** For `team`: the services it may change. */
  readonly services: ReadonlySet<string>;
}

export interface AdminAccess {
  /** Who is asking. Throws UNAUTHENTICATED, or FORBIDDEN for requests from elsewhere when there are no tokens. */
  identify(request: IncomingMessage): Administrator;
}

const anybodyHere: Administrator = { name: 'local', role: 'admin', services: new Set() };

/** Creates the check. Tokens are compared digest by digest, in constant time each. */
export function createAdminAccess(tokens: readonly AdminToken[]): AdminAccess {
  const known = tokens.map(({ name, role, services, sha256 }) => ({
    digest: Buffer.from(sha256, 'hex'),
    administrator: { name, role, services: new Set(services ?? []) },
  }));
  return {
    identify(request) {
      if (known.length === 0) return identifyLocal(request);
      const token = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
      if (token === undefined) throw new GatewayError('UNAUTHENTICATED', 'The admin API needs a bearer token');
      const digest = createHash('sha256').update(token).digest();
      // All are compared, so that the time says nothing about which one came close.
      let found: Administrator | undefined;
      for (const entry of known) if (timingSafeEqual(entry.digest, digest)) found = entry.administrator;
      if (found === undefined) {
        throw new GatewayError('UNAUTHENTICATED', 'The token is not known', {
          challenge: 'Bearer error="invalid_token"',
        });
      }
      return found;
    },
  };
}

/**
 * Without tokens the peer must be this machine, and so must the name it used: a web page whose name was re-bound to
 * loopback also connects from here, but its browser says so in Host.
 */
function identifyLocal(request: IncomingMessage): Administrator {
  const peer = request.socket.remoteAddress ?? '';
  const host = (request.headers.host ?? '').replace(/:\d+$/, '');
  if (!isLoopback(peer) || !isLoopback(host)) {
    throw new GatewayError('FORBIDDEN', 'Without configured tokens the admin API answers on loopback only');
  }
  return anybodyHere;
}

/** Throws FORBIDDEN unless the administrator may change this service. */
export function assertMayChange(administrator: Administrator, service: string): void {
  if (administrator.role === 'admin') return;
  if (administrator.role === 'team' && administrator.services.has(service)) return;
  throw new GatewayError('FORBIDDEN', `${administrator.name} may not change service ${service}`, { service });
}

/** Throws FORBIDDEN unless the administrator may change everything. `what`: what is to be changed, in words. */
export function assertMayChangeAll(administrator: Administrator, what = 'all services at once'): void {
  if (administrator.role !== 'admin') {
    throw new GatewayError('FORBIDDEN', `${administrator.name} may not change ${what}`);
  }
}
