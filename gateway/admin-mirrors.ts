/** `GET /mirrors`: what became of copies of requests, and where answers differed. */
import { GatewayError } from '../policies/errors.ts';
import { ok, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';
import type { Serving } from './serving-contract.ts';

/** All of them, or those of one service's routes. */
export async function listMirrors(serving: Pick<Serving, 'mirrors'>, request: AdminRequest): Promise<AdminAnswer> {
  const service = parameter(request, 'service');
  const mirrors = (await serving.mirrors()).filter((report) => service === '' || report.service === service);
  if (service !== '' && mirrors.length === 0) {
    throw new GatewayError('ROUTE_NOT_FOUND', `no route of a service ${service} has a mirror`);
  }
  return ok({ mirrors });
}
