/** What a schema cannot say about options, wherever they stand: at the target itself or in a policy that is bound to it. */
import type { ArgumentPolicies, GraphqlAuthorizeOptions } from '../policies/authorize-options.ts';
import { type EdgeOptions, findEdgeMistakes } from '../policies/edge-options.ts';
import { fieldResilienceProperties } from '../policies/field-resilience.ts';
import type { TemplateScope } from '../policies/header-template.ts';
import { findMessageMistakes, type MessageOptions } from '../policies/message-options.ts';
import type { PolicyTarget } from '../policies/policy-binding.ts';
import { findLimitMistakes, type RateLimitRule } from '../policies/rate-limit-rule.ts';
import { findRetireMistakes, type RetireOptions } from '../policies/retirement.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { findBalancingMistakes, type LoadBalancingOptions } from '../subgraphs/load-balancing-options.ts';
import { findPlaceMistakes } from './authorization-rules.ts';

/** What the rules look at, of options that fit their schema. */
interface Kinds extends MessageOptions {
  readonly public?: boolean;
  readonly authorize?: GraphqlAuthorizeOptions;
  readonly arguments?: ArgumentPolicies;
  readonly rateLimit?: readonly RateLimitRule[];
  readonly retire?: RetireOptions;
}

/** The contradictions in options of a target; paths begin with the kind. */
export function findContradictions(target: PolicyTarget, options: object): readonly Mistake[] {
  const kinds = options as Kinds;
  return [
    ...findPlaceMistakes(kinds, [], { atRoute: target.level !== 'type' && target.level !== 'field' }),
    ...checkRules(kinds.rateLimit ?? []),
    ...findMessageMistakes(kinds),
    ...findRetireMistakes(kinds.retire).map(({ path, message }) => ({ path: ['retire', ...path], message })),
    ...(target.level === 'type' || target.level === 'field' ? checkGraph(target, options) : []),
  ];
}

/** The same for a named policy, with what definitions of services and routes are asked beyond: it must fit in their place. */
export function findNamedContradictions(target: PolicyTarget, options: object): readonly Mistake[] {
  const { loadBalancing, ...kinds } = options as EdgeOptions & { readonly loadBalancing?: LoadBalancingOptions };
  return [
    ...findContradictions(target, options),
    ...findEdgeMistakes(kinds, scopeOf(target)),
    ...findBalancingMistakes(loadBalancing).map(({ path, message }) => ({ path: path.slice(1).split('/'), message })),
  ];
}

function scopeOf(target: PolicyTarget): TemplateScope {
  if (target.level === 'service') return { service: target.service };
  return target.level === 'route' ? { service: target.service, routePath: target.path } : {};
}

/** Of one name there is one rule in a list; one of a more specific level replaces it. */
function checkRules(rules: readonly RateLimitRule[]): Mistake[] {
  const first = new Map<string, number>();
  return rules.flatMap((rule, index) => {
    const own = findLimitMistakes(rule).map(({ path, message }) => ({ path: ['rateLimit', index, ...path], message }));
    if (own.length > 0) return own;
    const before = first.get(rule.name);
    if (before === undefined) first.set(rule.name, index);
    return before === undefined
      ? []
      : [{ path: ['rateLimit', index, 'name'], message: `the same \`name\` as entry ${before} of the list` }];
  });
}

function checkGraph(target: PolicyTarget & { readonly level: 'type' | 'field' }, options: object): Mistake[] {
  const type = target.level === 'type' ? target.type : (target.field.split('.')[0] ?? '');
  const isRoot = ['Query', 'Mutation', 'Subscription'].includes(type);
  return [
    ...checkResilience(type, options),
    ...('public' in options && options.public === true && !isRoot
      ? [
          {
            path: ['public'],
            message: 'only fields of Query, Mutation and Subscription can be public; what is below them follows',
          },
        ]
      : []),
  ];
}

/** Mutations run one after the other; and what is kept of good answers is kept by questions, that is by fields of Query. */
function checkResilience(type: string, options: object): Mistake[] {
  if (type === 'Query') return [];
  const isRoot = type === 'Mutation' || type === 'Subscription';
  const message = isRoot
    ? 'fields of Mutation and Subscription cannot have this'
    : 'only fields of Query can have this';
  return Object.keys(fieldResilienceProperties)
    .filter((key) => key in options && (isRoot || key === 'staleIfError'))
    .map((key) => ({ path: [key], message }));
}
