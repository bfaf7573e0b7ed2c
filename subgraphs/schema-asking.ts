/** Asks instances for the schema of their service, and knows which of two answers is the newer one. */
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { GraphqlEndpoint, ServiceDefinition } from './service-definition.ts';
import type { ServiceTlsOptions } from './service-tls-options.ts';
import { unversioned } from './service-versions.ts';
import type { ServiceSchema, VersionSchema } from './snapshot.ts';

/** Asks one instance for its schema. Throws a GatewayError when it cannot be asked, or has none. */
export type Discover = (
  service: string,
  endpoint: GraphqlEndpoint,
  instanceUrl: string,
  tls?: ServiceTlsOptions,
) => Promise<ServiceSchema>;

/** An instance that may be asked. */
export interface Askable {
  readonly url: string;
  readonly version?: string | undefined;
}

/** What instances of one version answered. */
export interface AskedSchema extends VersionSchema {
  readonly stamp: number;
}

export interface SchemaAnswer {
  /** One for each version that answered. */
  readonly found: readonly AskedSchema[];
  /** Why nobody could be asked; null when somebody was, or nobody had to be. */
  readonly failure: GatewayError | null;
}

export interface SchemaAsking {
  /**
   * Asks an instance of each version: one after the other until one answers. A few: with all of them down a caller must
   * not wait long.
   */
  ask(
    service: string,
    definition: Pick<ServiceDefinition, 'graphql' | 'tls'>,
    instances: readonly Askable[],
  ): Promise<SchemaAnswer>;
  /**
   * The schemas of an answer, without those of which one was taken that had been asked for later (two changes of one
   * service may overtake each other while they wait for their instances).
   */
  take(service: string, found: readonly AskedSchema[]): readonly VersionSchema[];
  /** Forgets services that are gone. */
  follow(names: ReadonlySet<string>): void;
}

const maxAsked = 3;
/** Versions that are asked at once; others are asked in the background. */
const maxVersions = 8;

export const nothingAsked: SchemaAnswer = { found: [], failure: null };

export function createSchemaAsking(discover: Discover): SchemaAsking {
  /** By service, then by version. */
  const taken = new Map<string, Map<string, number>>();
  let stamps = 0;

  async function askVersion(
    service: string,
    { graphql: endpoint = {}, tls }: Pick<ServiceDefinition, 'graphql' | 'tls'>,
    version: string,
    instances: readonly Askable[],
    stamp: number,
  ): Promise<AskedSchema | GatewayError> {
    let failure = new GatewayError('SERVICE_UNAVAILABLE', 'no instance can be asked for the schema', { service });
    for (const { url } of instances.slice(0, maxAsked)) {
      try {
        return { version, schema: await discover(service, endpoint, url, tls), stamp };
      } catch (error) {
        failure = toGatewayError(error);
      }
    }
    return failure;
  }

  return {
    async ask(service, definition, instances) {
      const stamp = ++stamps;
      const endpoint = definition.graphql;
      if (endpoint === undefined || endpoint.schema !== undefined) return nothingAsked;
      const byVersion = Map.groupBy(instances, ({ version }) => version ?? unversioned);
      if (byVersion.size === 0) byVersion.set(unversioned, []);
      const asked = [...byVersion].slice(0, maxVersions);
      const answers = await Promise.all(
        asked.map(([version, own]) => askVersion(service, definition, version, own, stamp)),
      );
      const found = answers.filter((answer): answer is AskedSchema => !(answer instanceof GatewayError));
      const failure = answers.find((answer) => answer instanceof GatewayError) ?? null;
      return { found, failure: found.length > 0 ? null : failure };
    },
    take(service, found) {
      const stamps = taken.get(service) ?? new Map<string, number>();
      taken.set(service, stamps);
      return found.flatMap(({ version, schema, stamp }) => {
        if ((stamps.get(version) ?? 0) > stamp) return [];
        stamps.set(version, stamp);
        return [{ version, schema }];
      });
    },
    follow(names) {
      for (const name of taken.keys()) if (!names.has(name)) taken.delete(name);
    },
  };
}
