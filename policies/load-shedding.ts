/**
 * Load shedding: a process that cannot keep up refuses some requests at once, so that the others are answered in time.
 * What it measures is how late timers fire: that grows before anything else does when the process has too much to do.
 */

import type { IncomingHttpHeaders } from 'node:http';
import Type from 'typebox';
import { readClientName } from './client-name.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';
import { Duration, OneOf, parseDurationMs } from './units.ts';

const priorities = ['low', 'normal', 'high'] as const;
export type Priority = (typeof priorities)[number];

export const PriorityOption = OneOf(priorities, {
  default: 'normal',
  description:
    'Who goes first under overload (`loadShedding`): `low` is refused from half of `maxEventLoopDelay` on, `normal` from all of it, `high` from twice as much.',
});

const ViewerPriority = Type.Object(
  {
    for: Type.String({
      pattern: '^(anonymous|authenticated|(role|scope|client-name):[ -~]+)$',
      maxLength: 200,
      description: 'Whom it is for: `anonymous`, `authenticated`, `role:NAME`, `scope:NAME` or `client-name:NAME`.',
    }),
    priority: OneOf(priorities, { description: 'Their priority.' }),
  },
  { additionalProperties: false },
);
type ViewerPriority = Type.Static<typeof ViewerPriority>;

export const LoadSheddingOptions = Type.Object(
  {
    maxEventLoopDelay: Type.Unsafe<string>({
      ...Duration,
      description: 'How late the event loop may be, smoothed over some tenths of a second. A good start is `200ms`.',
    }),
    retryAfter: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '1s',
        description: '`Retry-After` of what is refused, in whole seconds.',
      }),
    ),
    graphql: Type.Optional(
      OneOf(priorities, { default: 'normal', description: 'Priority of the GraphQL door. Routes have their own.' }),
    ),
    priorities: Type.Optional(
      Type.Array(ViewerPriority, {
        default: [],
        maxItems: 100,
        description:
          'Priorities by who asks. The first entry that fits decides, in place of the priority of the route or door.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Refuses requests with OVERLOADED (503) while the process cannot keep up. Health checks are always answered. Each worker measures itself.',
  },
);
export type LoadSheddingOptions = Type.Static<typeof LoadSheddingOptions>;

/** Share of the greatest delay from which on a priority is refused. */
const thresholds = { low: 0.5, normal: 1, high: 2 } as const satisfies Record<Priority, number>;
const sampleEveryMs = 50;
/** Weight of the newest sample. One pause, as garbage collection makes it, counts for half; a few on end for all. */
const newestWeight = 0.5;

/** What of a request says who asks. */
export interface ShedSubject {
  readonly viewer: Viewer | null;
  readonly headers: IncomingHttpHeaders;
}

export interface LoadShedderOptions {
  /** @default performance.now */
  readonly now?: () => number;
  readonly onShed?: (door: string, priority: Priority) => void;
}

export class LoadShedder implements Disposable {
  #maxDelayMs = Number.POSITIVE_INFINITY;
  #retryAfterSeconds = 1;
  #graphql: Priority = 'normal';
  #byViewer: readonly ViewerPriority[] = [];
  /** The best that anybody may turn out to have; undefined where it does not depend on who asks. */
  #best: Priority | undefined;
  #delayMs = 0;
  #sampledAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #now: () => number;
  readonly #onShed: LoadShedderOptions['onShed'];

  constructor(options: LoadSheddingOptions | undefined, { now, onShed }: LoadShedderOptions = {}) {
    this.#now = now ?? (() => performance.now());
    this.#onShed = onShed;
    this.configure(options);
  }

  /** How late the event loop is. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Takes other options; none turns it off. */
  configure(options: LoadSheddingOptions | undefined): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#delayMs = 0;
    this.#maxDelayMs = options === undefined ? Number.POSITIVE_INFINITY : parseDurationMs(options.maxEventLoopDelay);
    if (options === undefined) return;
    this.#retryAfterSeconds = parseDurationMs(options.retryAfter ?? '1s') / 1_000;
    this.#graphql = options.graphql ?? 'normal';
    this.#byViewer = options.priorities ?? [];
    this.#best = priorities.findLast((priority) => this.#byViewer.some((entry) => entry.priority === priority));
    this.#sampledAtMs = this.#now();
    this.#timer = setInterval(() => this.sample(), sampleEveryMs).unref();
  }

  /** The timer fired, which should have been one interval after the last time. */
  sample(): void {
    const nowMs = this.#now();
    const lateMs = Math.max(0, nowMs - this.#sampledAtMs - sampleEveryMs);
    this.#sampledAtMs = nowMs;
    this.#delayMs += newestWeight * (lateMs - this.#delayMs);
  }

  /**
   * Throws OVERLOADED when a request of the priority is one too many. Before anybody knows who asks: what the request may
   * turn out to have counts.
   */
  check(door: 'graphql' | 'rest', priority: Priority = this.#priorityOf(door)): void {
    const best = this.#best ?? priority;
    this.#refuseFrom(thresholds[best] > thresholds[priority] ? best : priority, door);
  }

  /** The same where one of several priorities will be that of the request: throws when it does not matter which. */
  checkAny(door: 'graphql' | 'rest', possible: readonly (Priority | undefined)[]): void {
    const known = possible.map((priority) => priority ?? this.#priorityOf(door));
    this.check(
      door,
      priorities.findLast((priority) => known.includes(priority)),
    );
  }

  /** The same when it is known who asks. */
  checkViewer(door: 'graphql' | 'rest', subject: ShedSubject, priority: Priority = this.#priorityOf(door)): void {
    if (this.#byViewer.length === 0) return;
    this.#refuseFrom(this.#byViewer.find((entry) => isFor(entry.for, subject))?.priority ?? priority, door);
  }

  #priorityOf(door: 'graphql' | 'rest'): Priority {
    return door === 'graphql' ? this.#graphql : 'normal';
  }

  #refuseFrom(priority: Priority, door: 'graphql' | 'rest'): void {
    if (this.#delayMs < this.#maxDelayMs * thresholds[priority]) return;
    this.#onShed?.(door, priority);
    throw new GatewayError('OVERLOADED', 'The gateway has too much to do', {
      retryAfterSeconds: this.#retryAfterSeconds,
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function isFor(whom: string, { viewer, headers }: ShedSubject): boolean {
  if (whom === 'anonymous') return viewer === null;
  if (whom === 'authenticated') return viewer !== null;
  const cut = whom.indexOf(':');
  const name = whom.slice(cut + 1);
  const kind = whom.slice(0, cut);
  if (kind === 'client-name') return readClientName(headers) === name;
  return kind === 'role' ? viewer?.roles.includes(name) === true : viewer?.scopes.has(name) === true;
}
