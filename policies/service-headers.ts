/** Which headers of services reach the client of a GraphQL answer, and how those of several become one. */
import Type from 'typebox';
import { formatCacheControl, parseCacheControl } from './cache-control.ts';
import { isReserved } from './reserved-headers.ts';
import type { Mistake } from './schema-mistakes.ts';
import { OneOf } from './units.ts';

/** One entry of `graphql.responseHeaders`. */
export const ServiceHeader = Type.Object(
  {
    name: Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", maxLength: 200, description: 'Name of the header.' }),
    services: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 63 }), { minItems: 1, description: 'Default: all services.' }),
    ),
    merge: Type.Optional(
      OneOf(['append', 'first', 'last', 'strictest'], {
        default: 'append',
        description:
          'What becomes of the values of several services. `append`: all. `first`, `last`: that of the service which answered so. `strictest`, for `Cache-Control`: the least time, `private` before `public`, `no-store` before all. `Set-Cookie` is always appended.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type ServiceHeader = Type.Static<typeof ServiceHeader>;

/** Fields about the one message that they came with; ours is another one. */
const ofOneMessage: ReadonlySet<string> = new Set([
  'accept-ranges',
  'age',
  'alt-svc',
  'cache-status',
  'content-encoding',
  'content-range',
  'content-type',
  'date',
  'etag',
  'last-modified',
  'proxy-status',
  'via',
]);

/** What is wrong with entries that fit the schema. */
export function findServiceHeaderMistakes(entries: readonly ServiceHeader[]): Mistake[] {
  return entries.flatMap(({ name, merge = 'append' }, index): Mistake[] => {
    const lowerCase = name.toLowerCase();
    if (isReserved(lowerCase, 'response') || ofOneMessage.has(lowerCase)) {
      return [
        {
          path: [index, 'name'],
          message: `${lowerCase} is about one message only: the answer of the gateway is another`,
        },
      ];
    }
    if (lowerCase.startsWith('access-control-')) {
      return [{ path: [index, 'name'], message: 'CORS is said by `graphql.cors`' }];
    }
    if (merge === 'strictest' && lowerCase !== 'cache-control') {
      return [
        { path: [index, 'merge'], message: `nobody knows what is strictest of ${lowerCase}: only of cache-control` },
      ];
    }
    if (lowerCase === 'set-cookie' && merge !== 'append') {
      return [
        { path: [index, 'merge'], message: 'cookies are different things with one name: they are always appended' },
      ];
    }
    return [];
  });
}

/** Collects what the services of one request say. */
export class ServiceHeaders {
  readonly #entries: ReadonlyMap<string, ServiceHeader>;
  readonly #values = new Map<string, string[]>();
  /** Whether a service set a cookie, for this client or for whoever the request was shared with. */
  setsCookies = false;

  constructor(entries: ReadonlyMap<string, ServiceHeader>) {
    this.#entries = entries;
  }

  /** The fields of an answer that may reach the client: names in lower case and values in turn. */
  select(service: string, rawHeaders: readonly string[]): readonly string[] {
    const selected: string[] = [];
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = (rawHeaders[i] ?? '').toLowerCase();
      const entry = this.#entries.get(name);
      if (entry === undefined || entry.services?.includes(service) === false) continue;
      selected.push(name, rawHeaders[i + 1] ?? '');
    }
    return selected;
  }

  /**
   * Takes what was selected of one answer. Cookies are for the one client whose request it was: `isOwn` says whether
   * that is this one.
   */
  note(selected: readonly string[], isOwn: boolean): void {
    for (let i = 0; i + 1 < selected.length; i += 2) {
      const name = selected[i] ?? '';
      if (name === 'set-cookie') this.setsCookies = true;
      if (name === 'set-cookie' && !isOwn) continue;
      const values = this.#values.get(name) ?? [];
      values.push(selected[i + 1] ?? '');
      this.#values.set(name, values);
    }
  }

  /** Another collection, for a request that several wait for. */
  fork(): ServiceHeaders {
    return new ServiceHeaders(this.#entries);
  }

  /** Takes what another one took; `isOwn` as in {@link note}. */
  take(other: ServiceHeaders, isOwn: boolean): void {
    for (const [name, values] of other.#values)
      this.note(
        values.flatMap((value) => [name, value]),
        isOwn,
      );
    this.setsCookies ||= other.setsCookies;
  }

  /** The fields for the client. */
  merge(): string[] {
    return [...this.#values].flatMap(([name, values]) =>
      mergeValues(name, values, this.#entries.get(name)?.merge).flatMap((value) => [name, value]),
    );
  }
}

/** Entries by name, in lower case; of a name that comes twice, the last. */
export function indexServiceHeaders(entries: readonly ServiceHeader[]): ReadonlyMap<string, ServiceHeader> {
  return new Map(entries.map((entry) => [entry.name.toLowerCase(), entry]));
}

function mergeValues(name: string, values: readonly string[], merge: ServiceHeader['merge'] = 'append'): string[] {
  if (name === 'set-cookie') return [...values];
  const one = merge === 'first' ? values[0] : merge === 'last' ? values.at(-1) : undefined;
  if (one !== undefined) return [one];
  if (merge === 'strictest') return [mergeCacheControl(values)];
  return [[...new Set(values)].join(', ')];
}

/** Directives that only one answer needs to have for all to have it, the strictest first. */
const restrictions = ['no-store', 'no-cache', 'private', 'must-revalidate', 'proxy-revalidate', 'no-transform'];

/** `Cache-Control` of an answer that is made of several: what all of them allow (RFC 9111 section 5.2.2). */
export function mergeCacheControl(values: readonly string[]): string {
  const all = values.map((value) => parseCacheControl(value));
  if (all.some((one) => one.has('no-store'))) return 'no-store';
  const merged = new Map<string, string>();
  // A restriction to certain fields (`private="x"`) is taken as one to all: fields of services do not reach clients.
  for (const name of restrictions) if (all.some((one) => one.has(name))) merged.set(name, '');
  if (all.every((one) => one.has('public')) && !merged.has('private')) merged.set('public', '');
  for (const name of ['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']) {
    // Who says nothing of shared caches means what it says to all of them.
    const fallback = name === 's-maxage' ? 'max-age' : name;
    if (!all.some((one) => one.has(name)) || (name === 's-maxage' && merged.has('private'))) continue;
    const times = all.map((one) => Number(one.get(name) ?? one.get(fallback) ?? 0));
    if (name.startsWith('stale') && times.includes(0)) continue;
    merged.set(name, String(Math.min(...times)));
  }
  return formatCacheControl(merged);
}
