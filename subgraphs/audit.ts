/** Who changed what and when: a bounded list, kept with the registry. */
import type { ErrorCode, ErrorReason, GatewayError } from '../policies/errors.ts';
import type { Clock } from './clock.ts';

/** Who makes a change: the name of an admin token. The registry itself acts as `config`, `lease`, `discovery` and `healing`. */
export interface Author {
  readonly name: string;
  /** Why, in the author's own words. */
  readonly reason?: string | undefined;
}

const auditActions = [
  'services.put',
  'service.put',
  'service.delete',
  'instance.put',
  'instance.drain',
  'instance.delete',
  'instance.expire',
  'instances.discover',
  'schema.heal',
  'config.replace',
  'graph.rollback',
  'policy.put',
  'policy.delete',
  'policy.rollback',
  'revocation.put',
  'revocation.delete',
  'api-key.put',
  'api-key.delete',
] as const;
export type AuditAction = (typeof auditActions)[number];

export interface AuditEntry {
  /** ISO 8601. */
  readonly at: string;
  readonly author: string;
  readonly action: AuditAction;
  /** Names of services, `service/instance` for instances; names of policies and keys; `kind/id` of revocations. */
  readonly targets: readonly string[];
  /** Why, in the author's own words. */
  readonly reason?: string;
  /** The revision that the change made; for a refusal the one that stays. */
  readonly revision: number;
  readonly outcome: 'accepted' | 'refused';
  /** How often the same happened without a break: a refusal, or an answer of discovery about the same services. */
  readonly times?: number;
  readonly code?: ErrorCode;
  readonly reasons?: readonly ErrorReason[];
}

/** What is about to be noted. */
export interface AuditNote {
  readonly author: string;
  readonly action: AuditAction;
  readonly targets: readonly string[];
  readonly reason?: string | undefined;
}

const maxReasonLength = 500;

/** The author's part of a note. */
export function buildAuthor({ name, reason }: Author): Pick<AuditNote, 'author' | 'reason'> {
  return { author: name, ...(reason !== undefined && { reason: reason.slice(0, maxReasonLength) }) };
}

/** Entries that are kept. */
export const maxAuditEntries = 500;
const maxTargets = 50;
const maxReasons = 10;
const maxMessageLength = 500;

/**
 * The list with an accepted change in it. Newest last. Discovery that tells of the same services again gets one entry with
 * a count, as it must not push the history of others out of the list.
 */
export function withAccepted(
  entries: readonly AuditEntry[],
  note: AuditNote,
  revision: number,
  clock: Clock,
  reasons?: readonly ErrorReason[],
): readonly AuditEntry[] {
  const entry: AuditEntry = {
    ...buildHead(note, clock),
    revision,
    outcome: 'accepted',
    ...(reasons !== undefined && { reasons: shorten(reasons) }),
  };
  const last = entries.at(-1);
  if (note.action !== 'instances.discover' || last === undefined || !isRepetition(last, entry)) {
    return append(entries, entry);
  }
  return [...entries.slice(0, -1), { ...entry, times: (last.times ?? 1) + 1 }];
}

/**
 * The list with a refusal in it. A client that repeats itself gets one entry with a count: it must not push the history
 * of others out of the list.
 */
export function withRefused(
  entries: readonly AuditEntry[],
  note: AuditNote,
  revision: number,
  clock: Clock,
  error: GatewayError,
): readonly AuditEntry[] {
  const entry: AuditEntry = {
    ...buildHead(note, clock),
    revision,
    outcome: 'refused',
    code: error.code,
    reasons: shorten(error.reasons ?? [{ message: error.message }]),
  };
  const last = entries.at(-1);
  if (last === undefined || !isRepetition(last, entry)) return append(entries, entry);
  return [...entries.slice(0, -1), { ...entry, times: (last.times ?? 1) + 1 }];
}

/** Two lists as one: those noted here behind those that are common. */
export function joinAudit(common: readonly AuditEntry[], own: readonly AuditEntry[]): readonly AuditEntry[] {
  return own.length === 0 ? common : [...common, ...own].slice(-maxAuditEntries);
}

function buildHead(note: AuditNote, clock: Clock) {
  const { author, action, targets, reason } = note;
  const at = clock.date().toISOString();
  return { at, author, action, targets: targets.slice(0, maxTargets), ...(reason !== undefined && { reason }) };
}

function append(entries: readonly AuditEntry[], entry: AuditEntry): readonly AuditEntry[] {
  return [...entries.slice(Math.max(0, entries.length + 1 - maxAuditEntries)), entry];
}

function isRepetition(last: AuditEntry, entry: AuditEntry): boolean {
  return (
    last.outcome === entry.outcome &&
    last.author === entry.author &&
    last.action === entry.action &&
    last.code === entry.code &&
    last.targets.join() === entry.targets.join()
  );
}

function shorten(reasons: readonly ErrorReason[]): readonly ErrorReason[] {
  return reasons
    .slice(0, maxReasons)
    .map((reason) => ({ ...reason, message: reason.message.slice(0, maxMessageLength) }));
}
