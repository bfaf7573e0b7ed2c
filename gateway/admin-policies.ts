/** `/policies`: named policies at run time. Anyone with a token may look; the role `admin` may change. */
import { GatewayError } from '../policies/errors.ts';
import type { Admission } from '../schema/admission.ts';
import { getPolicy, listVersions, type PolicyOutcome } from '../subgraphs/policy-changes.ts';
import { buildEtag } from '../subgraphs/precondition.ts';
import type { Registry } from '../subgraphs/registry.ts';
import type { StoredPolicy } from '../subgraphs/snapshot.ts';
import { assertMayChangeAll } from './admin-access.ts';
import { changeAuthorOf, isRecord, ok, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

export interface AdminPolicyOptions {
  readonly registry: Registry<Admission>;
}

/** `GET /policies`. */
export function listPolicies({ registry }: AdminPolicyOptions): AdminAnswer {
  const { revision, policies = [] } = registry.snapshot;
  return ok({ revision, policies: policies.map(describeHead) });
}

/** `GET /policies/{name}`. */
export function showPolicy({ registry }: AdminPolicyOptions, request: AdminRequest): AdminAnswer {
  const policy = getPolicy(registry.snapshot, parameter(request, 'name'));
  const { definition } = policy;
  const history = policy.history.map(({ revision, at, author }) => ({ revision, at, author })).toReversed();
  return {
    status: 200,
    headers: { etag: buildEtag(policy) },
    body: { ...describeHead(policy), definition, history },
  };
}

/** `GET /policies/{name}/history`: what it says and said, the newest first. */
export function showPolicyHistory({ registry }: AdminPolicyOptions, request: AdminRequest): AdminAnswer {
  const policy = getPolicy(registry.snapshot, parameter(request, 'name'));
  return ok({ name: policy.name, versions: listVersions(policy).toReversed() });
}

/** `PUT /policies/{name}`: the body is the definition. */
export async function putPolicy({ registry }: AdminPolicyOptions, request: AdminRequest): Promise<AdminAnswer> {
  assertMayChangePolicies(request);
  const by = changeAuthorOf(request);
  return answer(await registry.putPolicy(parameter(request, 'name'), request.body, by), by.dryRun);
}

/** `POST /policies/{name}/rollback`. */
export async function rollBackPolicy({ registry }: AdminPolicyOptions, request: AdminRequest): Promise<AdminAnswer> {
  assertMayChangePolicies(request);
  const { to, reason, ...rest } = isRecord(request.body) ? request.body : {};
  const isReason = reason === undefined || typeof reason === 'string';
  if (!Number.isSafeInteger(to) || !isReason || Object.keys(rest).length > 0) {
    const expected = '{ "to": revision of its history, "reason": why }';
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  const by = { ...changeAuthorOf(request), ...(reason !== undefined && { reason }) };
  return answer(await registry.rollbackPolicy(parameter(request, 'name'), Number(to), by), by.dryRun);
}

/** `DELETE /policies/{name}`: its history goes with it. */
export async function deletePolicy({ registry }: AdminPolicyOptions, request: AdminRequest): Promise<AdminAnswer> {
  assertMayChangePolicies(request);
  const by = changeAuthorOf(request);
  await registry.deletePolicy(parameter(request, 'name'), by);
  return { status: 204 };
}

function assertMayChangePolicies({ administrator }: AdminRequest): void {
  assertMayChangeAll(administrator, 'policies');
}

function answer({ policy, created, changed, revision }: PolicyOutcome, dryRun: boolean): AdminAnswer {
  return {
    status: created && !dryRun ? 201 : 200,
    headers: { etag: buildEtag(policy) },
    body: { policy: policy.name, created, changed, dryRun, revision },
  };
}

function describeHead({ name, revision, at, author, definition }: StoredPolicy) {
  const { bind, description } = definition;
  return { name, revision, at, author, ...(description !== undefined && { description }), bind };
}
