/** Whether the changes of a schema may happen: breaking ones are weighed against who was seen using what they break. */
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { SchemaChangePolicy } from '../subgraphs/service-definition.ts';
import { isComposed, type Service, type Snapshot } from '../subgraphs/snapshot.ts';
import type { FieldUse, UsersOf } from './field-usage.ts';
import type { SchemaDifference } from './schema-diff.ts';

/** One difference between the public schemas of two generations, and what was decided about it. */
export interface SchemaChange {
  /** Coordinate of what changed, e.g. `Product.price`; empty for the schema as a whole. */
  readonly path: string;
  readonly message: string;
  readonly criticality: 'breaking' | 'dangerous' | 'safe';
  readonly verdict: 'accepted' | 'refused';
  /** For breaking changes: who used it lately, the most frequent first. */
  readonly usedBy?: readonly FieldUse[];
}

const maxUsers = 10;
const maxReasons = 100;
const strictness = ['any', 'no-breaking-in-use', 'no-breaking'] as const satisfies readonly SchemaChangePolicy[];

/** The changes with verdicts, in the order of the differences. */
export function weighChanges(
  differences: readonly SchemaDifference[],
  policy: SchemaChangePolicy,
  users: () => UsersOf,
): readonly SchemaChange[] {
  // Nobody counts as long as nothing breaks.
  let usersOf: UsersOf | undefined;
  return differences.map(({ path, message, criticality, concerns }): SchemaChange => {
    if (criticality !== 'breaking') return { path, message, criticality, verdict: 'accepted' };
    usersOf ??= users();
    const usedBy = findUsers(concerns, usersOf);
    const isRefused = policy === 'no-breaking' || (policy === 'no-breaking-in-use' && usedBy.length > 0);
    return { path, message, criticality, verdict: isRefused ? 'refused' : 'accepted', usedBy };
  });
}

/** Of several coordinates a client's highest count: one request may have used them all. */
function findUsers(coordinates: readonly string[], usersOf: UsersOf): readonly FieldUse[] {
  const [only = ''] = coordinates;
  if (coordinates.length <= 1) return usersOf(only).slice(0, maxUsers);
  const byClient = new Map<string, FieldUse>();
  for (const use of coordinates.flatMap(usersOf)) {
    const key = `${use.client}\n${use.version}`;
    const known = byClient.get(key);
    if (known === undefined || use.count > known.count) byClient.set(key, use);
  }
  return [...byClient.values()].toSorted((a, b) => b.count - a.count).slice(0, maxUsers);
}

/** Throws REGISTRATION_REFUSED, with a reason for each, when a change was refused. */
export function assertAccepted(
  changes: readonly SchemaChange[],
  policy: SchemaChangePolicy,
  by: readonly string[],
): void {
  const refused = changes.filter(({ verdict }) => verdict === 'refused');
  if (refused.length === 0) return;
  const [service, ...others] = by;
  const named = others.length === 0 ? service : undefined;
  const reasons = refused.slice(0, maxReasons).map(
    ({ path, message, usedBy = [] }): ErrorReason => ({
      message: `${message}: ${describeUsers(usedBy)}`,
      path,
      code: usedBy.length > 0 ? 'BREAKING_CHANGE_IN_USE' : 'BREAKING_CHANGE',
      ...(named !== undefined && { service: named }),
    }),
  );
  const count = refused.length === 1 ? 'a breaking change' : `${refused.length} breaking changes`;
  throw new GatewayError('REGISTRATION_REFUSED', `\`schemaChanges: ${policy}\` refuses ${count}`, {
    reasons,
    service: named,
  });
}

function describeUsers(users: readonly FieldUse[]): string {
  if (users.length === 0) return 'no client was seen using it';
  const shown = users.slice(0, 3).map(({ client, version, count, lastSeen }) => {
    const who = version === '' ? client : `${client} ${version}`;
    return `${who} (${count} ${count === 1 ? 'request' : 'requests'}, last seen ${lastSeen})`;
  });
  const more = users.length > shown.length ? ' and others' : '';
  return `used by ${shown.join(', ')}${more}`;
}

/** Services whose part in the graph differs. Only they answer for what it changes. */
export function listChangedServices(candidate: Snapshot, current: Snapshot): readonly Service[] {
  const before = new Map(current.services.map((service) => [service.name, service]));
  const changed = candidate.services.filter((service) => {
    const known = before.get(service.name);
    before.delete(service.name);
    return describePart(service) !== describePart(known);
  });
  const gone = [...before.values()].filter((service) => describePart(service) !== '');
  return [...changed, ...gone];
}

function describePart(service: Service | undefined): string {
  if (service === undefined || !isComposed(service)) return '';
  return `${service.schema.hash} ${JSON.stringify(service.definition.graphql?.merge ?? null)}`;
}

/** The strictest of what the services say, each by itself or by default. */
export function chooseStrictest(services: readonly Service[], byDefault: SchemaChangePolicy): SchemaChangePolicy {
  const ranks = services.map(({ definition }) => strictness.indexOf(definition.schemaChanges ?? byDefault));
  return strictness[Math.max(0, ...ranks)] ?? 'any';
}
