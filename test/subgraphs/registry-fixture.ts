/** A registry with a graph that composes by simple rules, services that answer what a test says, and a fake clock. */
import { type ErrorReason, GatewayError } from '../../policies/errors.ts';
import { createAddressPolicy } from '../../subgraphs/address-policy.ts';
import type { Log } from '../../subgraphs/log.ts';
import { createMemoryStore } from '../../subgraphs/memory-store.ts';
import { createRegistry, type Registry, type RegistryOptions } from '../../subgraphs/registry.ts';
import { buildServiceSchema, isComposed, type Snapshot } from '../../subgraphs/snapshot.ts';
import type { Store, StoredState } from '../../subgraphs/store.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';

/** What `admit` makes of a snapshot here: `name@sdl` of every service that takes part. */
export interface FakeGraph {
  readonly parts: readonly string[];
}

export interface Fixture extends AsyncDisposable {
  readonly registry: Registry<FakeGraph>;
  readonly clock: FakeClock;
  /** SDL that the service at an origin answers. One that is not here is down. */
  readonly upstreams: Map<string, string>;
  /** Origins that were asked for their schema, in order. */
  readonly asked: string[];
  /** Candidates that were composed. */
  readonly admitted: Snapshot[];
  /** States that were saved. */
  readonly saved: StoredState[];
  readonly published: Snapshot[];
  /** Lines of the log that are warnings or errors. */
  readonly logged: string[];
  readonly store: Store;
  /** While true, the disk is full. */
  diskFull: boolean;
  /** Held back while set: who asks for a schema waits for this. */
  gate: Promise<void> | null;
}

/**
 * The rules: an SDL of words. `broken` never composes; `needs:NAME` composes only beside the service NAME;
 * `type:NAME` may be there once.
 */
async function admitByRules(candidate: Snapshot): Promise<FakeGraph> {
  const parts = candidate.services.filter(isComposed);
  const names = new Set(parts.map((service) => service.name));
  const owners = new Map<string, string>();
  const reasons: ErrorReason[] = [];
  for (const { name, schema } of parts) {
    for (const word of schema.sdl.split(' ')) {
      const [verb, noun = ''] = word.split(':');
      if (verb === 'broken') reasons.push({ service: name, message: `${name} is broken` });
      if (verb === 'needs' && !names.has(noun)) reasons.push({ service: name, message: `${name} needs ${noun}` });
      if (verb === 'type' && owners.has(noun))
        reasons.push({ message: `${noun} is in ${owners.get(noun)} and ${name}` });
      if (verb === 'type') owners.set(noun, name);
    }
  }
  if (reasons.length > 0) throw new GatewayError('REGISTRATION_REFUSED', undefined, { reasons });
  return { parts: parts.map((service) => `${service.name}@${service.schema.sdl}`) };
}

interface FixtureOptions extends Pick<RegistryOptions<FakeGraph>, 'checkPolicy' | 'reservedPolicies'> {
  readonly config?: Record<string, unknown>;
  readonly store?: Store;
  readonly upstreams?: Record<string, string>;
  readonly allow?: readonly string[];
  readonly start?: boolean;
  readonly maxHistory?: number;
}

export async function createFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const {
    config = {},
    store: inner = createMemoryStore(),
    upstreams = {},
    allow,
    start = true,
    maxHistory = 100,
  } = options;
  const clock = createFakeClock();
  const logged: string[] = [];
  const note = (message: string) => void logged.push(message);
  const log: Log = { info() {}, warn: note, error: note };
  const store: Store = {
    load: () => inner.load(),
    async save(state) {
      if (fixture.diskFull) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      await inner.save(JSON.parse(JSON.stringify(state)));
      fixture.saved.push(state);
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const registry = createRegistry<FakeGraph>({
    store,
    clock,
    log,
    maxHistory,
    ...(options.checkPolicy && { checkPolicy: options.checkPolicy }),
    ...(options.reservedPolicies && { reservedPolicies: options.reservedPolicies }),
    random: () => 1,
    addressPolicy: createAddressPolicy(allow),
    async admit(candidate) {
      fixture.admitted.push(candidate);
      return admitByRules(candidate);
    },
    async discover(service, _endpoint, url) {
      fixture.asked.push(url);
      const sdl = fixture.upstreams.get(url); // what it says when it is asked, however late the answer comes
      if (fixture.gate !== null) await fixture.gate;
      if (sdl === undefined) throw new GatewayError('SERVICE_UNAVAILABLE', `${service} cannot be asked`);
      return buildServiceSchema(sdl.includes('federated') ? 'federation' : 'plain', sdl, 'introspection');
    },
  });
  const fixture: Fixture = {
    registry,
    clock,
    upstreams: new Map(Object.entries(upstreams)),
    asked: [],
    admitted: [],
    saved: [],
    published: [],
    logged,
    store,
    diskFull: false,
    gate: null,
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
  registry.subscribe((snapshot) => fixture.published.push(snapshot));
  if (start) await registry.start(config);
  return fixture;
}

export const ops = { name: 'ops' };

/** A GraphQL service that brings its schema along. */
export function given(schema: string, rest: object = {}) {
  return { graphql: { schema, kind: 'plain' }, ...rest };
}

/** A GraphQL service that is asked for its schema. */
export function at(...urls: readonly string[]) {
  return { graphql: {}, instances: urls.map((url) => ({ url })) };
}

/** A REST service. */
export function rest(...paths: readonly string[]) {
  return { routes: paths.map((path) => ({ match: { path } })) };
}
