/** Rules for the headers of GraphQL requests to services, compiled once for each definition. */
import { compileHeaderRules, type HeaderRule, listRuleInputs } from '../policies/header-rules.ts';
import type { SubgraphHeaders } from '../schema/subgraph-transport.ts';
import type { ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Settings } from './config.ts';

/** Rules of all levels: the gateway's, the GraphQL door's, the service's. */
function listRules(settings: Settings, definition: ServiceDefinition): readonly HeaderRule[] {
  return [settings.edge, settings.graphql.edge, definition].flatMap(({ headers }) => headers?.request ?? []);
}

/** What a service can tell of a request: the client's headers that it gets, and what rules read. In lower case. */
function listParts(settings: Settings, definition: ServiceDefinition): readonly string[] {
  const forwarded = (definition.graphql?.forwardHeaders ?? []).map((name) => name.toLowerCase());
  return [...forwarded, ...listRuleInputs(listRules(settings, definition))];
}

/** What any GraphQL service of a snapshot can tell of a request, sorted. */
export function listAllAskerParts(settings: Settings, { services }: Snapshot): readonly string[] {
  const parts = services.flatMap(({ definition }) =>
    definition.graphql === undefined ? [] : listParts(settings, definition),
  );
  return [...new Set(parts)].toSorted();
}

/** Looks up what holds for a service. Definitions that did not change are not compiled again. */
export class SubgraphRules {
  #settings: Settings;
  #known = new WeakMap<ServiceDefinition, SubgraphHeaders>();
  #byService: ReadonlyMap<string, ServiceDefinition> = new Map();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  configure(settings: Settings): void {
    this.#settings = settings;
    this.#known = new WeakMap();
  }

  apply({ services }: Snapshot): void {
    this.#byService = new Map(services.map(({ name, definition }) => [name, definition]));
  }

  find(service: string): SubgraphHeaders | undefined {
    const definition = this.#byService.get(service);
    if (definition === undefined) return undefined;
    let found = this.#known.get(definition);
    if (found === undefined) {
      const rules = listRules(this.#settings, definition);
      found = {
        apply: compileHeaderRules(rules, 'request', { service }),
        askerParts: listParts(this.#settings, definition),
      };
      this.#known.set(definition, found);
    }
    return found;
  }
}
