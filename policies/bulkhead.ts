/**
 * The bulkhead of a service: how many calls to it may be under way, all in all and by class of viewer, so that one slow
 * service, or one class of viewers, does not take all that the gateway has.
 */
import Type from 'typebox';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

const Calls = (description: string) => Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description }));

export const BulkheadOptions = Type.Object(
  {
    calls: Calls('Calls at once to all instances of the service together. Default: no bound but `concurrency`.'),
    anonymous: Calls('Calls at once for requests without a viewer. Default: as `calls`.'),
    authenticated: Calls('Calls at once for requests with a viewer. Default: as `calls`.'),
  },
  {
    additionalProperties: false,
    description: 'Calls to the service under way at once; more are refused at once with OVERLOADED.',
  },
);
export type BulkheadOptions = Type.Static<typeof BulkheadOptions>;

type ViewerClass = 'anonymous' | 'authenticated';

export class Bulkhead {
  readonly #service: string;
  #bounds: Readonly<Record<ViewerClass | 'calls', number>>;
  readonly #underWay = { anonymous: 0, authenticated: 0 };

  constructor(service: string, options: BulkheadOptions, processes = 1) {
    this.#service = service;
    this.#bounds = buildBounds(options, processes);
  }

  /** `processes`: among how many the calls are shared. */
  configure(options: BulkheadOptions, processes = 1): void {
    this.#bounds = buildBounds(options, processes);
  }

  /** Begins a call, which {@link leave} ends. Throws OVERLOADED when it is one too many. */
  enter(viewer: Viewer | null): void {
    const own = classOf(viewer);
    const { anonymous, authenticated } = this.#underWay;
    if (this.#underWay[own] >= this.#bounds[own] || anonymous + authenticated >= this.#bounds.calls) {
      const options = { service: this.#service, retryAfterSeconds: 1 };
      throw new GatewayError('OVERLOADED', 'Too many calls to the service are under way', options);
    }
    this.#underWay[own]++;
  }

  leave(viewer: Viewer | null): void {
    this.#underWay[classOf(viewer)]--;
  }
}

function classOf(viewer: Viewer | null): ViewerClass {
  return viewer === null ? 'anonymous' : 'authenticated';
}

function buildBounds({ calls, anonymous, authenticated }: BulkheadOptions, processes: number) {
  const share = (bound: number | undefined): number =>
    bound === undefined ? Number.POSITIVE_INFINITY : Math.ceil(bound / processes);
  return { calls: share(calls), anonymous: share(anonymous), authenticated: share(authenticated) };
}
