/**
 * Which options hold for a target, where several levels and named policies speak of it: the most specific wins, kind by
 * kind and whole. Of one level, what stands there itself comes before named policies. Two things are otherwise: `public`
 * and `authorize` are one kind, and rules add up: those of rate limits, except that a rule replaces those of its name, and
 * those for headers, the more general first.
 */
import { isDeepStrictEqual } from 'node:util';
import type { HeaderRules } from './header-rules.ts';
import type { NamedPolicy, PolicyBindings, PolicyLevel } from './policy-definition.ts';
import type { RateLimitRule } from './rate-limit-rule.ts';

/** One thing that options can hold for. */
export type PolicyTarget =
  | { readonly level: 'gateway' }
  | { readonly level: 'service'; readonly service: string }
  | {
      readonly level: 'route';
      readonly service: string;
      readonly path: string;
      readonly methods?: readonly string[] | undefined;
    }
  | { readonly level: 'type'; readonly type: string }
  | { readonly level: 'field'; readonly field: string };

/** Where options stand. */
export interface PolicyOrigin {
  readonly level: PolicyLevel;
  /** The service, route, type or field; `gateway` for that. */
  readonly target: string;
  /** The named policy that says it; null for what stands at the target itself. */
  readonly policy: string | null;
}

/** Options with their origin. */
export interface PolicyLayer extends PolicyOrigin {
  readonly options: Readonly<Record<string, unknown>>;
}

/** What holds of one kind, and what it put aside. */
export interface KindResolution {
  readonly value: unknown;
  readonly from: PolicyOrigin;
  /** The most specific first. */
  readonly overrode: readonly PolicyOrigin[];
  /** Of what adds up: what else is part of the value, the most specific first. */
  readonly joined?: readonly PolicyOrigin[];
}

/** A rule that holds, and those of its name that it replaced. */
export interface RuleResolution {
  readonly rule: RateLimitRule;
  readonly from: PolicyOrigin;
  readonly overrode: readonly PolicyOrigin[];
}

/** The one kind that `public` and `authorize` are. */
export const accessKinds = ['public', 'authorize'] as const;

/** The kinds that a named policy has. */
export function listKinds({ definition }: NamedPolicy): Readonly<Record<string, unknown>> {
  const { bind: _, description: __, ...kinds } = definition;
  return kinds;
}

/** How a target is called in layers and answers. */
export function formatTarget(target: PolicyTarget): string {
  switch (target.level) {
    case 'gateway':
      return 'gateway';
    case 'service':
      return target.service;
    case 'route':
      return `${target.service} ${target.methods?.join(',') ?? 'ANY'} ${target.path}`;
    case 'type':
      return target.type;
    case 'field':
      return target.field;
  }
}

/** Whether bindings name a target. */
export function isBound(bind: PolicyBindings, target: PolicyTarget): boolean {
  switch (target.level) {
    case 'gateway':
      return bind.gateway === true;
    case 'service':
      return bind.services?.includes(target.service) === true;
    case 'route':
      return bind.routes?.some((route) => isSameRoute(route, target)) === true;
    case 'type':
      return bind.types?.includes(target.type) === true;
    case 'field':
      return bind.fields?.includes(target.field) === true;
  }
}

type RouteBinding = NonNullable<PolicyBindings['routes']>[number];

/** Whether there can be a request that both speak of. Who names no methods means all. */
function isSameRoute(
  a: RouteBinding,
  b: { readonly service: string; readonly path: string; readonly methods?: readonly string[] | undefined },
): boolean {
  if (a.service !== b.service || a.path !== b.path) return false;
  return a.methods === undefined || b.methods === undefined || a.methods.some((method) => b.methods?.includes(method));
}

/** All targets that bindings name, with the place of each in them. */
export function listTargets(
  bind: PolicyBindings,
): readonly { readonly target: PolicyTarget; readonly path: readonly (string | number)[] }[] {
  const { gateway, services = [], routes = [], types = [], fields = [] } = bind;
  return [
    ...(gateway === true ? [{ target: { level: 'gateway' } as const, path: ['gateway'] }] : []),
    ...services.map((service, index) => ({
      target: { level: 'service', service } as const,
      path: ['services', index],
    })),
    ...routes.map((route, index) => ({ target: { level: 'route', ...route } as const, path: ['routes', index] })),
    ...types.map((type, index) => ({ target: { level: 'type', type } as const, path: ['types', index] })),
    ...fields.map((field, index) => ({ target: { level: 'field', field } as const, path: ['fields', index] })),
  ];
}

/** The layers of one level: what stands at the target, then the named policies bound to it, in their order. */
export function buildLayers(
  target: PolicyTarget,
  inline: object | undefined,
  policies: readonly NamedPolicy[],
): PolicyLayer[] {
  const place = { level: target.level, target: formatTarget(target) };
  return [
    ...(inline === undefined ? [] : [{ ...place, policy: null, options: inline as PolicyLayer['options'] }]),
    ...policies
      .filter(({ definition }) => isBound(definition.bind, target))
      .map((policy) => ({ ...place, policy: policy.name, options: listKinds(policy) })),
  ];
}

/** Layers without the kinds that do not reach further down. */
export function pickKinds(layers: readonly PolicyLayer[], reaches: (kind: string) => boolean): PolicyLayer[] {
  return layers.flatMap((layer) => {
    const kept = Object.entries(layer.options).filter(([kind]) => reaches(kind));
    return kept.length === 0 ? [] : [{ ...layer, options: Object.fromEntries(kept) }];
  });
}

/** What holds of each kind but rate limits, of layers with the most specific first. */
export function resolveKinds(layers: readonly PolicyLayer[]): ReadonlyMap<string, KindResolution> {
  const found = new Map<string, KindResolution>();
  for (const layer of layers) {
    for (const [kind, value] of splitKinds(layer.options)) {
      const winner = found.get(kind);
      found.set(
        kind,
        winner === undefined ? { value, from: originOf(layer), overrode: [] } : addLayer(kind, winner, value, layer),
      );
    }
  }
  return found;
}

/** What a more general layer is to a kind that was found before. */
function addLayer(kind: string, winner: KindResolution, value: unknown, layer: PolicyLayer): KindResolution {
  const origin = originOf(layer);
  if (kind !== 'headers') return { ...winner, overrode: [...winner.overrode, origin] };
  return {
    ...winner,
    value: joinHeaderRules(value as HeaderRules, winner.value as HeaderRules),
    joined: [...(winner.joined ?? []), origin],
  };
}

function joinHeaderRules(first: HeaderRules, second: HeaderRules): HeaderRules {
  return {
    request: [...(first.request ?? []), ...(second.request ?? [])],
    response: [...(first.response ?? []), ...(second.response ?? [])],
  };
}

/** Kinds with their values; access in one piece, and no rate limits. */
function splitKinds(options: PolicyLayer['options']): [string, unknown][] {
  const { public: open, authorize, rateLimit: _, ...kinds } = options;
  const access = { ...(open !== undefined && { public: open }), ...(authorize !== undefined && { authorize }) };
  return [
    ...(Object.keys(access).length > 0 ? ([['access', access]] as [string, unknown][]) : []),
    ...Object.entries(kinds).filter(([, value]) => value !== undefined),
  ];
}

/** The rules that hold, the most general first, which is the order in which they are asked. */
export function resolveRules(layers: readonly PolicyLayer[]): readonly RuleResolution[] {
  const byName = new Map<string, { rule: RateLimitRule; from: PolicyOrigin; overrode: PolicyOrigin[] }>();
  const inOrder: RuleResolution[][] = [];
  for (const layer of layers) {
    const own: RuleResolution[] = [];
    for (const rule of (layer.options['rateLimit'] ?? []) as readonly RateLimitRule[]) {
      const winner = byName.get(rule.name);
      if (winner !== undefined) {
        // Written twice alike, a rule is one rule, and nothing is put aside.
        if (!isDeepStrictEqual(winner.rule, rule)) winner.overrode.push(originOf(layer));
        continue;
      }
      const resolution = { rule, from: originOf(layer), overrode: [] };
      byName.set(rule.name, resolution);
      own.push(resolution);
    }
    inOrder.unshift(own);
  }
  return inOrder.flat();
}

/** Options as they would stand at the target, if all of it had been written there. */
export function buildOptions(layers: readonly PolicyLayer[]): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [kind, { value }] of resolveKinds(layers)) {
    if (kind === 'access') Object.assign(options, value);
    else options[kind] = value;
  }
  const rules = resolveRules(layers).map(({ rule }) => rule);
  return rules.length === 0 ? options : { ...options, rateLimit: rules };
}

function originOf({ level, target, policy }: PolicyLayer): PolicyOrigin {
  return { level, target, policy };
}

/** Bindings of a policy that nothing matches at the moment. */
export function findUnmatched(
  policies: readonly NamedPolicy[],
  exists: (target: PolicyTarget) => boolean,
): readonly PolicyOrigin[] {
  return policies.flatMap(({ name, definition }) =>
    listTargets(definition.bind)
      .filter(({ target }) => !exists(target))
      .map(({ target }) => ({ level: target.level, target: formatTarget(target), policy: name })),
  );
}

/** Whether two policies say the same kind of the same target; of rate limits, whether they have a rule of one name. */
export function findConflicts(
  a: NamedPolicy,
  b: NamedPolicy,
): readonly { readonly kind: string; readonly target: PolicyTarget; readonly path: readonly (string | number)[] }[] {
  const [ofA, ofB] = [listKinds(a), listKinds(b)];
  const names = new Set(((ofB['rateLimit'] ?? []) as readonly RateLimitRule[]).map(({ name }) => name));
  const same = Object.keys(ofA).filter((kind) => {
    if ((accessKinds as readonly string[]).includes(kind)) return accessKinds.some((one) => one in ofB);
    if (kind !== 'rateLimit') return kind !== 'headers' && kind in ofB;
    return ((ofA[kind] ?? []) as readonly RateLimitRule[]).some(({ name }) => names.has(name));
  });
  if (same.length === 0) return [];
  return listTargets(a.definition.bind)
    .filter(({ target }) => isBound(b.definition.bind, target))
    .flatMap(({ target, path }) => same.map((kind) => ({ kind, target, path })));
}
