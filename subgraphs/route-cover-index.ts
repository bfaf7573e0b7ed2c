/**
 * Finds the routes that may leave nothing to another one without comparing each with each: a tree of their paths, and at
 * each place in it a map by one of their predicates. What is found is still to be compared; what is not found covers nothing.
 */
import { compileLinearRegex } from '../policies/linear-regex.ts';
import { type Predicate, presenceKey } from './route-match.ts';
import type { RankedMatch } from './route-order.ts';
import type { Segment } from './route-pattern.ts';

class Place<T> {
  readonly literals = new Map<string, Place<T>>();
  parameter: Place<T> | null = null;
  readonly constrained = new Map<string, { readonly regex: RegExp; readonly place: Place<T> }>();
  /** By the predicate that is looked for first; those without one under the empty text. */
  readonly ended = new Map<string, T[]>();
  /** The same of those that go on with `*`. */
  readonly open = new Map<string, T[]>();
}

export class RouteCoverIndex<T extends { readonly ranked: RankedMatch }> {
  readonly #root = new Place<T>();
  /** How many routes have a predicate. */
  readonly #counts = new Map<string, number>();

  /** `all`: the routes that will be added, or more. */
  constructor(all: Iterable<RankedMatch>) {
    for (const { predicates } of all) {
      for (const { key } of predicates) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    }
  }

  add(route: T): void {
    const { pattern, predicates } = route.ranked;
    let place = this.#root;
    const isOpen = pattern.segments.at(-1)?.kind === 'rest';
    for (const segment of isOpen ? pattern.segments.slice(0, -1) : pattern.segments) place = step(place, segment);
    const routes = isOpen ? place.open : place.ended;
    const key = this.#rarestOf(predicates);
    const known = routes.get(key);
    if (known === undefined) routes.set(key, [route]);
    else known.push(route);
  }

  /** Those that may cover a route, in no order. */
  *candidates({ pattern: { segments, ignoreCase }, predicates }: RankedMatch): Generator<T> {
    const keys = new Set(['', ...predicates.flatMap(listImplied)]);
    let places = [this.#root];
    for (const segment of segments) {
      for (const place of places) yield* pick(place.open, keys);
      if (segment.kind === 'rest') return;
      places = places.flatMap((place) => [...follow(place, segment, ignoreCase)]);
    }
    for (const place of places) yield* pick(place.ended, keys);
  }

  /** Of many routes that share a predicate, each is found by another one. */
  #rarestOf(predicates: readonly Predicate[]): string {
    const count = (key: string): number => this.#counts.get(key) ?? 0;
    return predicates
      .map(({ key }) => key)
      .reduce((best, key) => (best === '' || count(key) < count(best) ? key : best), '');
  }
}

function step<T>(place: Place<T>, segment: Segment): Place<T> {
  if (segment.kind === 'literal') {
    const text = segment.text.toLowerCase();
    const known = place.literals.get(text) ?? new Place<T>();
    place.literals.set(text, known);
    return known;
  }
  if (segment.kind === 'rest' || segment.regex === null) {
    place.parameter ??= new Place();
    return place.parameter;
  }
  const { regex: source } = segment;
  const known = place.constrained.get(source) ?? { regex: compileLinearRegex(source).regex, place: new Place<T>() };
  place.constrained.set(source, known);
  return known.place;
}

/** The places of patterns whose segment takes all that this one takes. */
function* follow<T>(place: Place<T>, segment: Segment, ignoreCase: boolean): Generator<Place<T>> {
  if (place.parameter !== null) yield place.parameter;
  if (segment.kind === 'literal') {
    const same = place.literals.get(segment.text.toLowerCase());
    if (same !== undefined) yield same;
    if (ignoreCase) return;
    for (const { regex, place: next } of place.constrained.values()) if (regex.test(segment.text)) yield next;
  } else if (segment.kind === 'parameter' && segment.regex !== null) {
    const same = place.constrained.get(segment.regex);
    if (same !== undefined) yield same.place;
  }
}

function* pick<T>(routes: ReadonlyMap<string, readonly T[]>, keys: ReadonlySet<string>): Generator<T> {
  if (routes.size === 0) return;
  for (const key of keys) yield* routes.get(key) ?? [];
}

/** The keys of all predicates that hold where this one does. */
function listImplied(predicate: Predicate): string[] {
  const { kind, value, key } = predicate;
  if (kind !== 'host') return [key, presenceKey(predicate)];
  const name = String(value).replace(/:\d+$/, '');
  const labels = name.split('.');
  const wildcards = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  return [key, ...[name, ...wildcards].map((host) => `host ${JSON.stringify(host)}`)];
}
