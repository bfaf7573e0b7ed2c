/** The guards of fields: of those of Query, for execution in parts, and of those of entities, for requests in parts. */

import { type FieldResilienceOptions, hasResilience } from '../policies/field-resilience.ts';
import { OutageGuard, type OutageGuardOptions } from '../policies/outage-guard.ts';
import type { Graph } from '../schema/graph.ts';
import type { EntityGuards } from '../schema/guarded-entities.ts';
import { findInseparableFields } from '../schema/inseparable-fields.ts';
import type { Log } from '../subgraphs/log.ts';

export interface FieldGuardsOptions extends OutageGuardOptions {
  readonly log?: Pick<Log, 'warn'>;
}

/** They outlive generations of the graph: what a breaker knows is not forgotten with a registration. */
export class FieldGuards {
  #guards: ReadonlyMap<string, OutageGuard> = new Map();
  #graph: Graph | null = null;
  #ofEntities: EntityGuards | null = null;
  #inseparable = '';
  readonly #options: FieldGuardsOptions;

  constructor(options: FieldGuardsOptions = {}) {
    this.#options = options;
  }

  /** By `Type.field`. Another map after every change. */
  get all(): ReadonlyMap<string, OutageGuard> {
    return this.#guards;
  }

  /** Null where there are none. Another object after every change. */
  get ofEntities(): EntityGuards | null {
    return this.#ofEntities;
  }

  /** Takes over what the configuration says. Fields that go on to have a policy keep what their breakers know. */
  configure(fields: Readonly<Record<string, FieldResilienceOptions>>): void {
    const before = this.#guards;
    const guards = new Map<string, OutageGuard>();
    for (const [name, policy] of Object.entries(fields)) {
      if (!hasResilience(policy)) continue;
      const guard = before.get(name) ?? new OutageGuard(name, policy, this.#options);
      guard.configure(policy);
      guards.set(name, guard);
    }
    this.#guards = guards;
    this.#build();
  }

  /** Takes over another graph. */
  follow(graph: Graph): void {
    if (graph === this.#graph) return;
    this.#graph = graph;
    this.#build();
  }

  #build(): void {
    const root = this.#graph?.schema.getQueryType()?.name ?? 'Query';
    const guards = new Map([...this.#guards].filter(([name]) => !name.startsWith(`${root}.`)));
    const { schema, possibleTypes, supergraphSdl } = this.#graph ?? {};
    if (guards.size === 0 || schema === undefined || possibleTypes === undefined) {
      this.#ofEntities = null;
      return;
    }
    this.#ofEntities = { guards, schema, possibleTypes };
    const fields = findInseparableFields(supergraphSdl ?? '', [...guards.keys()]);
    const text = fields.join(', ');
    if (text !== this.#inseparable && text !== '') {
      this.#options.log?.warn('policies of fields that no service can be asked for by key have no effect', { fields });
    }
    this.#inseparable = text;
  }
}
