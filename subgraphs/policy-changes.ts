/** Changes of named policies at run time. They are part of the desired state, and never of the graph. */
import { isDeepStrictEqual } from 'node:util';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { NamedPolicy, PolicyDefinition } from '../policies/policy-definition.ts';
import { type AuditNote, buildAuthor } from './audit.ts';
import type { Clock } from './clock.ts';
import type { DesiredState } from './desired-state.ts';
import type { Log } from './log.ts';
import { copyPolicy, findPolicyMistakes } from './policy-shape.ts';
import { assertMatches, type ChangeAuthor } from './precondition.ts';
import { findPolicy, type PolicyVersion, type Snapshot, type StoredPolicy, withPolicies } from './snapshot.ts';

/** What is wrong with the kinds of a policy, beside the others of run time; none when it can be applied. */
export type CheckPolicy = (name: string, definition: unknown, others: readonly NamedPolicy[]) => readonly ErrorReason[];

export interface PolicyOutcome {
  /** After the change; after a dry run, as it would be. */
  readonly policy: StoredPolicy;
  readonly created: boolean;
  readonly changed: boolean;
  /** Of the registry. */
  readonly revision: number;
}

export interface PolicyChanges {
  /** Writes a policy, or writes it anew. One that says the same is no change. */
  putPolicy(name: string, definition: unknown, by: ChangeAuthor): Promise<PolicyOutcome>;
  deletePolicy(name: string, by: ChangeAuthor): Promise<Pick<PolicyOutcome, 'revision'>>;
  /** Writes again what the policy said at a revision of its history. */
  rollbackPolicy(name: string, to: number, by: ChangeAuthor): Promise<PolicyOutcome>;
}

const maxPolicies = 500;
/** Versions before the present one that a policy keeps, as far as they are not too long together. */
const maxVersions = 20;
const maxHistoryBytes = 1_000_000;

interface Parts<A> {
  readonly state: DesiredState<A>;
  readonly clock: Clock;
  readonly check: CheckPolicy;
  /** Names that the configuration has. */
  readonly reserved: () => ReadonlySet<string>;
}

export function createPolicyChanges<A>({ state, clock, check, reserved }: Parts<A>): PolicyChanges {
  async function put(
    name: string,
    note: AuditNote,
    by: ChangeAuthor,
    define: (existing: StoredPolicy | undefined) => PolicyDefinition,
  ): Promise<PolicyOutcome> {
    await state.refresh();
    const change = await state.change(
      note,
      (current, revision) => {
        assertNotReserved(name, reserved());
        const existing = findPolicy(current, name);
        assertMatches(existing, by, { kind: 'policy', name });
        const definition = define(existing);
        const others = (current.policies ?? []).filter((policy) => policy.name !== name);
        assertAccepted(name, check(name, definition, others));
        if (existing !== undefined && isDeepStrictEqual(existing.definition, definition)) return { snapshot: current };
        if (others.length >= maxPolicies) throw refuse(`a gateway may have ${maxPolicies} policies, and has them`);
        const at = clock.date().toISOString();
        const policy = { name, definition, revision, at, author: note.author, history: buildHistory(existing) };
        return { snapshot: withPolicies(current, [...others, policy]) };
      },
      by,
    );
    const created = findPolicy(change.before, name) === undefined;
    return { policy: getPolicy(change.after, name), created, changed: change.changed, revision: change.after.revision };
  }

  return {
    putPolicy(name, value, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'policy.put', targets: [name] };
      return state.noteRefusal(note, by, async () => {
        assertAccepted(name, findPolicyMistakes(name, value));
        const definition = copyPolicy(value);
        return put(name, note, by, () => definition);
      });
    },

    rollbackPolicy(name, to, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'policy.rollback', targets: [name] };
      return state.noteRefusal(note, by, () => put(name, note, by, (existing) => getVersion(existing, name, to)));
    },

    deletePolicy(name, by) {
      const note: AuditNote = { ...buildAuthor(by), action: 'policy.delete', targets: [name] };
      return state.noteRefusal(note, by, async () => {
        await state.refresh();
        const change = await state.change(
          note,
          (current) => {
            assertMatches(findPolicy(current, name), by, { kind: 'policy', name });
            const policy = getPolicy(current, name);
            return {
              snapshot: withPolicies(
                current,
                (current.policies ?? []).filter((other) => other !== policy),
              ),
            };
          },
          by,
        );
        return { revision: change.after.revision };
      });
    },
  };
}

/** Says which stored policies do not count, or cannot be applied as they are: another version or configuration took them. */
export function reviewPolicies(
  { policies = [] }: Snapshot,
  check: CheckPolicy,
  reserved: ReadonlySet<string>,
  log: Log,
): void {
  for (const { name, definition } of policies) {
    if (reserved.has(name))
      log.warn('a policy of the admin API gives way to that of the configuration', { policy: name });
    const others = policies.filter((policy) => policy.name !== name);
    const reasons = check(name, definition, others);
    if (reasons.length > 0) log.error('a stored policy cannot be applied as it is', { policy: name, reasons });
  }
}

/** A policy of run time, or ROUTE_NOT_FOUND. */
export function getPolicy(snapshot: Snapshot, name: string): StoredPolicy {
  const policy = findPolicy(snapshot, name);
  if (policy === undefined) throw new GatewayError('ROUTE_NOT_FOUND', `there is no policy ${name} of the admin API`);
  return policy;
}

/** All that is kept of a policy, the present one last. */
export function listVersions({ history, revision, at, author, definition }: StoredPolicy): readonly PolicyVersion[] {
  return [...history, { revision, at, author, definition }];
}

function getVersion(existing: StoredPolicy | undefined, name: string, to: number): PolicyDefinition {
  const version = existing && listVersions(existing).find(({ revision }) => revision === to);
  if (version !== undefined) return version.definition;
  throw new GatewayError('ROUTE_NOT_FOUND', `there is no revision ${to} in the history of policy ${name}`);
}

/** What was before, the newest last; as much of it as may be kept. */
function buildHistory(existing: StoredPolicy | undefined): readonly PolicyVersion[] {
  if (existing === undefined) return [];
  const versions = listVersions(existing).slice(-maxVersions);
  const sizes = versions.map(({ definition }) => Buffer.byteLength(JSON.stringify(definition)));
  let first = versions.length;
  for (let total = 0; first > 0; first--) {
    total += sizes[first - 1] ?? 0;
    if (total > maxHistoryBytes) break;
  }
  return versions.slice(first);
}

function assertNotReserved(name: string, reserved: ReadonlySet<string>): void {
  if (!reserved.has(name)) return;
  throw new GatewayError('CONFLICT', `the policy ${name} comes from the configuration file; change it there`);
}

function assertAccepted(name: string, reasons: readonly ErrorReason[]): void {
  if (reasons.length > 0) throw refuse(`the policy ${JSON.stringify(name.slice(0, 63))} is not valid`, reasons);
}

function refuse(message: string, reasons?: readonly ErrorReason[]): GatewayError {
  return new GatewayError('REGISTRATION_REFUSED', message, reasons === undefined ? {} : { reasons });
}
