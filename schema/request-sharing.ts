/**
 * One flight for requests that are the same: whoever asks while it is under way gets its answer. Invariant 1: two
 * requests are the same only when the services could not tell them apart, the viewer and forwarded credentials included.
 */

import { DepartureSignal } from '../policies/departure-signal.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { isInBraces, readAskerPart } from '../policies/header-template.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { viewerFieldsOf, viewerHeaders } from '../policies/viewer-headers.ts';
import { describeToken, viewerTokenHeader } from '../policies/viewer-token.ts';

export interface RequestSharing<T> {
  /**
   * Joins the flight of that identity and content, or starts one. `identity` is short; `content` may be long. A flight
   * that was started goes on until all who joined it have left.
   */
  share(
    identity: string,
    content: string,
    context: RequestContext,
    start: (context: RequestContext) => Promise<T>,
  ): Promise<T>;
}

/**
 * What of a viewer and of the client's headers reaches a service, as one line. Two viewers never have the same, and
 * anonymous requests differ from all of them. `forwarded` are names of headers, and, in braces, of what else a service
 * is told of a request (`listAskerParts`).
 */
export function describeAsker(context: RequestContext, forwarded: readonly string[]): string {
  const { viewer, headers } = context;
  // The headers also where services get none of them: a token alone could be the same by mistake, these say who it is.
  const parts: unknown[] =
    viewer === null ? [null] : [viewer.kind, ...viewerHeaders(viewer), ...withoutTimes(viewerFieldsOf(context))];
  for (const name of forwarded)
    parts.push(name, isInBraces(name) ? readAskerPart(name, context) : (headers[name] ?? null));
  return JSON.stringify(parts);
}

/** A token is renewed while its viewer stays the same: what it says counts, and not when it was made. */
function withoutTimes(fields: readonly string[]): readonly string[] {
  return fields.map((field, index) =>
    index % 2 === 1 && fields[index - 1] === viewerTokenHeader ? describeToken(field) : field,
  );
}

/** Creates what holds the flights. It holds nothing else: an answer is gone when those who waited have it. */
export function createRequestSharing<T>(now: () => number = () => performance.now()): RequestSharing<T> {
  const flights = new Map<string, Map<string, Flight<T>>>();

  function begin(
    identity: string,
    content: string,
    context: RequestContext,
    start: (context: RequestContext) => Promise<T>,
  ): Flight<T> {
    const siblings = flights.get(identity) ?? new Map<string, Flight<T>>();
    const flight = new Flight<T>(context, start, end);
    // A later one of the same kind may have taken the place.
    function end(): void {
      if (siblings.get(content) === flight) siblings.delete(content);
      if (siblings.size === 0 && flights.get(identity) === siblings) flights.delete(identity);
    }
    siblings.set(content, flight);
    flights.set(identity, siblings);
    return flight;
  }

  return {
    share(identity, content, context, start) {
      if (context.departure.happened) return start(context);
      const current = flights.get(identity)?.get(content);
      const flight = current?.mayBeJoined(context, now()) === true ? current : begin(identity, content, context, start);
      return flight.join(context);
    },
  };
}

/** A request that joins takes the deadline of the flight, and loses at most this part of its own time by that. */
const acceptedLoss = 0.1;

class Flight<T> {
  readonly #answer: Promise<T>;
  readonly #context: FlightContext;
  readonly #end: () => void;
  readonly #departures: (() => void)[] = [];
  #waiting = 0;

  constructor(first: RequestContext, start: (context: RequestContext) => Promise<T>, end: () => void) {
    this.#context = new FlightContext(first);
    this.#end = end;
    this.#answer = start(this.#context).finally(() => {
      end();
      for (const unsubscribe of this.#departures) unsubscribe();
    });
  }

  mayBeJoined(context: RequestContext, nowMs: number): boolean {
    const lossMs = context.deadlineAtMs - this.#context.deadlineAtMs;
    // Not either where the flight may outlive the deadline of who joins.
    return lossMs >= 0 && lossMs <= acceptedLoss * (context.deadlineAtMs - nowMs);
  }

  join(context: RequestContext): Promise<T> {
    this.#waiting += 1;
    this.#departures.push(
      context.departure.subscribe(() => {
        this.#waiting -= 1;
        if (this.#waiting > 0) return;
        // Out of the way first: nobody shall join what is being given up.
        this.#end();
        this.#context.departure.happen();
      }),
    );
    return this.#answer;
  }
}

/** The request of the first, but for its departure: that is all of theirs. Attempts are told to the first alone. */
class FlightContext extends DerivedContext {
  override readonly departure: DepartureSignal;

  constructor(first: RequestContext) {
    const departure = new DepartureSignal();
    super(first, { departure });
    this.departure = departure;
  }
}
