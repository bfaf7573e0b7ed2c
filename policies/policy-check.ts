/** Whether a named policy makes sense: each of its kinds at each level that it is bound to, and beside the other policies. */
import Type, { type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { findDurationMistakes } from './duration-check.ts';
import type { ErrorReason } from './errors.ts';
import { findConflicts, formatTarget, listKinds, listTargets, type PolicyTarget } from './policy-binding.ts';
import {
  type NamedPolicy,
  PolicyBindings,
  type PolicyDefinition,
  type PolicyLevel,
  policyLevels,
} from './policy-definition.ts';
import { buildReasons, findSchemaMistakes, type Mistake } from './schema-mistakes.ts';

/** The kinds that options may have at each level, with the schema of each. */
export type KindSchemas = Readonly<Record<PolicyLevel, Readonly<Record<string, TSchema>>>>;

export interface PolicyCheckOptions {
  readonly kinds: KindSchemas;
  /** What no schema can say about the kinds at a target; paths begin with the kind. */
  readonly findContradictions: (target: PolicyTarget, kinds: Readonly<Record<string, unknown>>) => readonly Mistake[];
}

/** All that is wrong with a policy, given the others; one of the same name is taken for the one that it replaces. */
export type PolicyCheck = (name: string, definition: unknown, others: readonly NamedPolicy[]) => readonly ErrorReason[];

const closed = { additionalProperties: false } as const;

/** Creates the check. Schemas are compiled once per level. */
export function createPolicyCheck(options: PolicyCheckOptions): PolicyCheck {
  const find = createPolicyMistakes(options);
  return (name, definition, others) => buildReasons(find(name, definition, others));
}

/** As {@link createPolicyCheck}, with mistakes in the form in which the configuration reports them. */
export function createPolicyMistakes({ kinds, findContradictions }: PolicyCheckOptions) {
  const frame = Compile(
    Type.Object({ bind: PolicyBindings, description: Type.Optional(Type.String({ maxLength: 1_000 })) }, closed),
  );
  const known = new Set(policyLevels.flatMap((level) => Object.keys(kinds[level])));
  const levels = new Map(
    policyLevels.map((level) => {
      const schema = Type.Object(mapOptional(kinds[level]), closed);
      return [level, { schema, checker: Compile(schema) }] as const;
    }),
  );

  function checkLevel(policy: NamedPolicy, level: PolicyLevel, targets: readonly PolicyTarget[]): Mistake[] {
    const said = listKinds(policy);
    const [homeless, own] = partition(Object.keys(said), (kind) => !(kind in kinds[level]));
    const misplaced = homeless
      .filter((kind) => known.has(kind))
      .map((kind) => ({
        path: [kind],
        message: `\`${kind}\` cannot hold for ${levelNames[level]}, but the policy is bound to ${formatTargets(targets)}`,
        atKey: true,
      }));
    const entry = levels.get(level);
    if (entry === undefined) return misplaced;
    const value = Object.fromEntries(own.map((kind) => [kind, said[kind]]));
    const misfits = findSchemaMistakes(entry.checker, value);
    if (misfits.length > 0) return [...misplaced, ...misfits];
    return [
      ...misplaced,
      ...findDurationMistakes(entry.schema, value),
      ...targets.flatMap((target) => findContradictions(target, value)),
    ];
  }

  return (name: string, definition: unknown, others: readonly NamedPolicy[]): Mistake[] => {
    if (typeof definition !== 'object' || definition === null || Array.isArray(definition))
      return [{ path: [], message: 'expected an object: `bind`, and what shall hold' }];
    const policy = { name, definition: definition as PolicyDefinition };
    const { bind, description, ...said } = definition as Record<string, unknown>;
    const outside = findSchemaMistakes(frame, { bind, ...(description !== undefined && { description }) });
    const unknown = Object.keys(said)
      .filter((kind) => !known.has(kind))
      .map((kind) => ({ path: [kind], message: 'no level has options of this name', atKey: true }));
    const empty = Object.keys(said).length === 0 ? [{ path: [], message: 'the policy says nothing but `bind`' }] : [];
    if (outside.length > 0) return [...outside, ...unknown, ...empty];
    const targets = listTargets(policy.definition.bind).map(({ target }) => target);
    const byLevel = policyLevels
      .map((level) => [level, targets.filter((target) => target.level === level)] as const)
      .filter(([, ofLevel]) => ofLevel.length > 0)
      .flatMap(([level, ofLevel]) => checkLevel(policy, level, ofLevel));
    const found = [...unknown, ...empty, ...withoutRepetition(byLevel)];
    // What does not fit its schema cannot be compared with others.
    return found.length > 0 ? found : checkOthers(policy, others);
  };
}

function checkOthers(policy: NamedPolicy, others: readonly NamedPolicy[]): Mistake[] {
  return others
    .filter(({ name }) => name !== policy.name)
    .flatMap((other) =>
      findConflicts(policy, other).map(({ kind, target, path }) => ({
        path: ['bind', ...path],
        message: `the policies \`${policy.name}\` and \`${other.name}\` both say \`${kind}\` of ${levelNames[target.level]} ${formatTarget(target)}`,
      })),
    );
}

const levelNames = {
  gateway: 'the gateway',
  service: 'a service',
  route: 'a route',
  type: 'a type',
  field: 'a field',
} as const satisfies Record<PolicyLevel, string>;

function formatTargets(targets: readonly PolicyTarget[]): string {
  const [first] = targets;
  if (first === undefined) return '';
  return targets.length === 1 ? formatTarget(first) : `${formatTarget(first)} and ${targets.length - 1} more`;
}

function mapOptional(schemas: Readonly<Record<string, TSchema>>): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([kind, schema]) => [kind, Type.Optional(schema)]));
}

function partition(keys: readonly string[], test: (key: string) => boolean): [string[], string[]] {
  return [keys.filter(test), keys.filter((key) => !test(key))];
}

/** Levels share most schemas: the same mistake is told once. */
function withoutRepetition(mistakes: readonly Mistake[]): Mistake[] {
  return [...new Map(mistakes.map((mistake) => [JSON.stringify(mistake), mistake])).values()];
}
