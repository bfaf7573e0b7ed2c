/** Retiring a path in steps that its clients can see: deprecated, moved bit by bit to what replaces it, gone. */
import Type from 'typebox';
import type { Mistake } from './schema-mistakes.ts';
import { Percentage, parsePercentage } from './units.ts';

const Moment = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}Z)?$' });
const moment = (description: string) =>
  Type.Optional(Type.Unsafe<string>({ ...Moment, description, examples: ['2026-03-01', '2026-03-01T08:00:00Z'] }));
const reference = (description: string) =>
  Type.Optional(Type.String({ pattern: '^(https?://[^/]|/)[!#-;=?-~]*$', maxLength: 2_048, description }));

/** `retire` of a route. */
export const RetireOptions = Type.Object(
  {
    deprecated: moment(
      'Since when, or from when on, the path should not be used any more: `Deprecation` (RFC 9745). A date is its first moment in UTC.',
    ),
    sunset: moment('When it will probably stop to work: `Sunset` (RFC 8594).'),
    link: reference(
      'Where clients read about it: `Link` with `rel="deprecation"`, and `rel="sunset"` where there is one.',
    ),
    successor: reference('What clients should use: `Link` with `rel="successor-version"`. A URL, or a path here.'),
    replacement: Type.Optional(
      Type.Object(
        {
          service: Type.Optional(
            Type.String({
              pattern: '^[A-Za-z][A-Za-z0-9_-]{0,62}$',
              description: 'Default: the service of the route. Another one must agree: `fallbackFor`.',
            }),
          ),
          rewrite: Type.Optional(
            Type.String({
              pattern: '^/[!-~]*$',
              maxLength: 2_048,
              description: 'Path there, as in `rewrite` of the route. Default: that one.',
            }),
          ),
          share: Type.Optional(
            Type.Unsafe<string>({
              ...Percentage,
              default: '100%',
              description:
                'Of the clients, by viewer or else by address. Whoever is among them stays when the share grows.',
            }),
          ),
        },
        {
          additionalProperties: false,
          minProperties: 1,
          description: 'What answers in its place, for a share of its clients.',
        },
      ),
    ),
    gone: moment('From when on requests get 410 (GONE).'),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: 'Retires the path: tells its clients, moves them, ends it. Who still calls it: `GET /routes/usage`.',
  },
);
export type RetireOptions = Type.Static<typeof RetireOptions>;

/** What holds for the requests of a route that is retired. */
export interface Retirement {
  /** Fields of every answer. */
  readonly headers: readonly string[];
  /** On the clock of `Date.now()`; infinity where no end is said. */
  readonly goneAtMs: number;
  /** Of hashes from 0 to 1, those below it belong to clients that are moved; 0 where nothing replaces the path. */
  readonly movedShare: number;
}

export function compileRetirement(options: RetireOptions): Retirement {
  const { deprecated, sunset, link, successor, replacement, gone } = options;
  const headers: string[] = [];
  // RFC 9745 section 2.1: a date of structured fields, in seconds.
  if (deprecated !== undefined) headers.push('deprecation', `@${Math.floor(Date.parse(deprecated) / 1_000)}`);
  if (sunset !== undefined) headers.push('sunset', new Date(sunset).toUTCString());
  if (link !== undefined) headers.push('link', `<${link}>; rel="deprecation"`);
  if (link !== undefined && sunset !== undefined) headers.push('link', `<${link}>; rel="sunset"`);
  if (successor !== undefined) headers.push('link', `<${successor}>; rel="successor-version"`);
  return {
    headers,
    goneAtMs: gone === undefined ? Number.POSITIVE_INFINITY : Date.parse(gone),
    movedShare: replacement === undefined ? 0 : parsePercentage(replacement.share ?? '100%'),
  };
}

/** What the schema cannot say; paths begin below `retire`. */
export function findRetireMistakes(options: RetireOptions | undefined): Mistake[] {
  const steps = (['deprecated', 'sunset', 'gone'] as const).flatMap((name) => {
    const text = options?.[name];
    return text === undefined ? [] : [{ name, text, atMs: Date.parse(text) }];
  });
  const unreal = steps.filter(
    ({ text, atMs }) => Number.isNaN(atMs) || !new Date(atMs).toISOString().startsWith(text.slice(0, 10)),
  );
  if (unreal.length > 0) {
    return unreal.map(({ name, text }) => ({ path: [name], message: `expected a date, got ${JSON.stringify(text)}` }));
  }
  // RFC 9745 section 4: nothing ends before it is deprecated.
  return steps.flatMap(({ name, atMs }, index) => {
    const before = steps[index - 1];
    return before !== undefined && atMs < before.atMs
      ? [{ path: [name], message: `must not be earlier than \`${before.name}\`` }]
      : [];
  });
}
