/** The calls on the graph: what it is, was and shall be again. */
import { GatewayError } from '../policies/errors.ts';
import type { Admission } from '../schema/admission.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Change } from '../subgraphs/change.ts';
import { describeGeneration, findGeneration, restoreParts } from '../subgraphs/history.ts';
import type { Registry } from '../subgraphs/registry.ts';
import type { Service } from '../subgraphs/snapshot.ts';
import { assertMayChangeAll } from './admin-access.ts';
import { authorOf, isRecord, isSet, ok, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

type Outcome = Pick<Change<Admission>, 'changed' | 'graphChanged' | 'admission'>;

/** What a change did to the registry and to the graph. */
export function describeChange(registry: Registry<Admission>, { changed, graphChanged, admission }: Outcome) {
  const { revision } = registry.snapshot;
  return { changed, revision, graph: admission.graph.id, changes: graphChanged ? admission.changes : [] };
}

/** `GET /graph`. */
export function showGraph(registry: Registry<Admission>): AdminAnswer {
  const { graph } = registry.admission;
  return ok({
    id: graph.id,
    generation: registry.history().at(-1)?.number ?? null,
    revision: registry.snapshot.revision,
    services: graph.services,
    quarantined: registry.snapshot.services.flatMap(describeQuarantine),
  });
}

/** What of a service is kept out of the graph, why, and what serves instead. */
function describeQuarantine({ name, quarantine, rejected, schema }: Service) {
  if (quarantine !== null) return [{ service: name, serving: 'nothing', reasons: quarantine }];
  if (rejected === undefined) return [];
  const serving = schema === null ? 'nothing' : 'last good schema';
  return [{ service: name, serving, schema: rejected.schema.hash, reasons: rejected.reasons }];
}

/** `GET /graph/history/{id}`. */
export function showGeneration(registry: Registry<Admission>, request: AdminRequest): AdminAnswer {
  const history = registry.history();
  const entry = findGeneration(history, parameter(request, 'id'));
  const parts = [...restoreParts(history, entry).values()];
  return ok({ ...describeGeneration(entry), parts });
}

/** `POST /graph/rollback`. */
export async function rollBack(registry: Registry<Admission>, request: AdminRequest): Promise<AdminAnswer> {
  assertMayChangeAll(request.administrator);
  const { to, reason, force = false, ...rest } = isRecord(request.body) ? request.body : {};
  const isTarget = typeof to === 'string' || typeof to === 'number';
  const isReason = reason === undefined || typeof reason === 'string';
  if (!isTarget || !isReason || typeof force !== 'boolean' || Object.keys(rest).length > 0) {
    const expected = '{ "to": number or graph id, "reason": why, "force": true to break what is in use }';
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  const dryRun = isSet(request.query.get('dryRun'));
  const author = { ...authorOf(request), ...(reason !== undefined && { reason }) };
  const outcome = await registry.rollback(to, { ...author, force, dryRun });
  const { generation, restored, recreated, takenOut, configured } = outcome;
  return ok({
    to: { number: generation.number, graph: generation.graph, at: generation.at },
    dryRun,
    restored,
    recreated,
    takenOut,
    configured,
    ...describeChange(registry, outcome),
  });
}

/** `GET /graph/usage`. */
export function showUsage(usage: FieldUsage, request: AdminRequest): AdminAnswer {
  const coordinate = request.query.get('field') ?? '';
  if (coordinate === '') throw new GatewayError('BAD_REQUEST', 'Say which: `?field=Type.field`');
  return ok({ field: coordinate, since: usage.since, usedBy: usage.users()(coordinate) });
}
