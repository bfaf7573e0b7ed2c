/**
 * Checks what people write as a named policy, as far as it needs nobody else: its name, its size, its shape, and for whom
 * it holds. What the kinds may hold is checked by whoever knows them.
 */
import { Compile } from 'typebox/compile';
import type { ErrorReason } from '../policies/errors.ts';
import { PolicyBindings, type PolicyDefinition, policyNamePattern } from '../policies/policy-definition.ts';
import { buildReasons, findSchemaMistakes, formatPointer, type ValuePath } from '../policies/schema-mistakes.ts';

const bindings = Compile(PolicyBindings);
const names = new RegExp(policyNamePattern);

/** Size of a policy as JSON. Every gateway holds all of them, and their histories. */
export const maxPolicyBytes = 256_000;
const maxDepth = 32;
const maxDescriptionLength = 1_000;
/** Keys that would reach into the prototype of whatever the policy is copied to. */
const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const kindPattern = /^[a-z][A-Za-z0-9]{0,62}$/;
const maxReasons = 100;

/** Everything that is wrong with a policy; none when it may be kept. */
export function findPolicyMistakes(name: string, value: unknown): readonly ErrorReason[] {
  const ofName = names.test(name) ? [] : [{ message: `the name of a policy must match ${policyNamePattern}` }];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [...ofName, { path: '', message: 'expected an object with `bind` and one key for each kind of policy' }];
  }
  // First what could make the rest go wrong.
  const ofKeys = findKeyMistakes(value);
  if (ofKeys.length > 0) return [...ofName, ...ofKeys];
  if (Buffer.byteLength(JSON.stringify(value)) > maxPolicyBytes) {
    return [
      ...ofName,
      { path: '', message: `a policy may have ${maxPolicyBytes} bytes of JSON, and this one has more` },
    ];
  }
  return [...ofName, ...findShapeMistakes(value)];
}

/** The policy as it is kept: nobody can change it from outside any more. */
export function copyPolicy(value: unknown): PolicyDefinition {
  return JSON.parse(JSON.stringify(value)) as PolicyDefinition;
}

function findShapeMistakes(value: object): readonly ErrorReason[] {
  const { bind, description, ...kinds } = value as Readonly<Record<string, unknown>>;
  const ofBindings =
    bind === undefined
      ? [{ path: '', message: 'the key `bind` is missing: it says for whom the policy holds' }]
      : buildReasons(
          findSchemaMistakes(bindings, bind).map((mistake) => ({ ...mistake, path: ['bind', ...mistake.path] })),
        );
  const isText =
    description === undefined || (typeof description === 'string' && description.length <= maxDescriptionLength);
  const ofKinds = Object.keys(kinds)
    .filter((kind) => !kindPattern.test(kind))
    .map((kind) => ({ path: formatPointer([kind]), message: 'no kind of policy can have this name' }));
  return [
    ...ofBindings,
    ...(isText
      ? []
      : [{ path: '/description', message: `expected a text of at most ${maxDescriptionLength} characters` }]),
    ...ofKinds,
  ].slice(0, maxReasons);
}

/** Without recursion: what came over the wire may be as deep as it likes. */
function findKeyMistakes(root: object): readonly ErrorReason[] {
  const reasons: ErrorReason[] = [];
  const open: { readonly value: object; readonly path: ValuePath }[] = [{ value: root, path: [] }];
  for (let next = open.pop(); next !== undefined && reasons.length < maxReasons; next = open.pop()) {
    const { value, path } = next;
    if (path.length > maxDepth) {
      reasons.push({ path: formatPointer(path), message: `a policy may be nested ${maxDepth} levels deep` });
      continue;
    }
    for (const [key, part] of Object.entries(value)) {
      const at = [...path, key];
      if (forbiddenKeys.has(key)) reasons.push({ path: formatPointer(at), message: 'this key is not allowed' });
      else if (typeof part === 'object' && part !== null) open.push({ value: part, path: at });
    }
  }
  return reasons;
}
