/** What of stored policies may be believed at a start. Nothing of them may stop it. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { findSchemaMistakes, formatPointer } from '../policies/schema-mistakes.ts';
import type { Log } from './log.ts';
import { copyPolicy, findPolicyMistakes } from './policy-shape.ts';
import type { PolicyVersion, StoredPolicy } from './snapshot.ts';
import type { StoredState } from './store.ts';

const Version = Type.Object({
  revision: Type.Integer({ minimum: 0 }),
  at: Type.String(),
  author: Type.String(),
  definition: Type.Object({}),
});
const versions = Compile(Version);
const policies = Compile(
  Type.Object({ ...Version.properties, name: Type.String(), history: Type.Array(Type.Unknown()) }),
);

/** The policies that are valid. The others are dropped with a line in the log. States of older versions have none. */
export function readStoredPolicies(stored: StoredState | null, log: Log): readonly StoredPolicy[] {
  const listed: unknown = stored?.snapshot?.policies;
  if (!Array.isArray(listed)) return [];
  const read = new Map<string, StoredPolicy>();
  for (const value of listed) {
    try {
      const policy = readPolicy(value);
      read.set(policy.name, policy);
    } catch (error) {
      const policy = typeof value?.name === 'string' ? value.name : 'without a name';
      log.error('a stored policy is not valid any more and is dropped', { error, policy });
    }
  }
  return [...read.values()];
}

function readPolicy(value: unknown): StoredPolicy {
  const ofRecord = findSchemaMistakes(policies, value).map(({ path, message }) => ({
    path: formatPointer(path),
    message,
  }));
  const { name, definition, ...rest } = value as StoredPolicy;
  const mistakes = ofRecord.length > 0 ? ofRecord : findPolicyMistakes(name, definition);
  if (mistakes.length > 0) throw new Error(mistakes.map(({ path = '', message }) => `${path}: ${message}`).join('; '));
  return { ...rest, name, definition: copyPolicy(definition), history: rest.history.filter(isVersion) };
}

function isVersion(value: unknown): value is PolicyVersion {
  return versions.Check(value);
}
