/** Asks instances for the schema of their service, and knows which of two answers is the newer one. */
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { GraphqlEndpoint } from './service-definition.ts';
import type { ServiceSchema } from './snapshot.ts';

/** Asks one instance for its schema. Throws a GatewayError when it cannot be asked, or has none. */
export type Discover = (service: string, endpoint: GraphqlEndpoint, instanceUrl: string) => Promise<ServiceSchema>;

export interface SchemaAnswer {
  readonly schema: ServiceSchema | null;
  /** Why nobody could be asked; null when nobody had to be. */
  readonly failure: GatewayError | null;
  readonly stamp: number;
}

export interface SchemaAsking {
  /** Asks one instance after the other until one answers. A few: with all of them down a caller must not wait long. */
  ask(service: string, endpoint: GraphqlEndpoint | undefined, urls: readonly string[]): Promise<SchemaAnswer>;
  /**
   * The schema of an answer, unless one was taken that had been asked for later (two changes of one service may
   * overtake each other while they wait for their instances).
   */
  take(service: string, answer: Pick<SchemaAnswer, 'schema' | 'stamp'>): ServiceSchema | null;
  /** Forgets services that are gone. */
  follow(names: ReadonlySet<string>): void;
}

const maxAsked = 3;

export function createSchemaAsking(discover: Discover): SchemaAsking {
  const taken = new Map<string, number>();
  let stamps = 0;
  return {
    async ask(service, endpoint, urls) {
      const stamp = ++stamps;
      if (endpoint === undefined || endpoint.schema !== undefined) return { schema: null, failure: null, stamp };
      let failure = new GatewayError('SERVICE_UNAVAILABLE', 'no instance can be asked for the schema', { service });
      for (const url of urls.slice(0, maxAsked)) {
        try {
          return { schema: await discover(service, endpoint, url), failure: null, stamp };
        } catch (error) {
          failure = toGatewayError(error);
        }
      }
      return { schema: null, failure, stamp };
    },
    take(service, { schema, stamp }) {
      if (schema === null || (taken.get(service) ?? 0) > stamp) return null;
      taken.set(service, stamp);
      return schema;
    },
    follow(names) {
      for (const name of taken.keys()) if (!names.has(name)) taken.delete(name);
    },
  };
}
