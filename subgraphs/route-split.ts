/** Which of several variants of a service a request goes to: canary, A/B, instances of one version. */
import Type from 'typebox';
import { filterHeaders } from '../policies/http-headers.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { OneOf } from '../policies/units.ts';
import type { AcceptsVersion } from './call.ts';

export const VersionPattern = Type.String({
  pattern: '^[A-Za-z0-9._+-]{1,60}$',
  description:
    'Instances of this version only: exactly (`2.1.0`), or with `x` at the end for all that begin so (`2.x`).',
});

export const RouteSplit = Type.Object(
  {
    variants: Type.Array(
      Type.Object(
        {
          name: Type.String({
            pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
            description: 'What the service (`x-route-variant`), the log and metrics are told.',
          }),
          weight: Type.Integer({
            minimum: 0,
            maximum: 1_000_000,
            description: 'Share of the requests in relation to the others. 0: only those that choose it.',
          }),
          service: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 63,
              description: 'Another service, which names this one in `trafficFrom`. Default: the service of the route.',
            }),
          ),
          version: Type.Optional(VersionPattern),
          zone: Type.Optional(
            Type.String({ pattern: '^[A-Za-z0-9._-]{1,63}$', description: 'Instances of this zone come first.' }),
          ),
        },
        { additionalProperties: false },
      ),
      { minItems: 2, maxItems: 20 },
    ),
    sticky: Type.Optional(
      Type.Union(
        [
          OneOf(['viewer', 'address']),
          Type.Object({ cookie: Type.String({ minLength: 1, maxLength: 128 }) }, { additionalProperties: false }),
          Type.Object({ header: Type.String({ pattern: '^[A-Za-z0-9-]{1,128}$' }) }, { additionalProperties: false }),
        ],
        {
          description:
            'What keeps a client at its variant, by consistent hash: a change of weights moves no more clients than it must. Requests without one are spread at random. Default: none.',
        },
      ),
    ),
    chooseBy: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9-]{1,128}$',
        description:
          'A header by which a client chooses: the name of a variant, `always` for the last one, `never` for the first.',
        examples: ['x-canary'],
      }),
    ),
  },
  { additionalProperties: false, description: 'Spreads the requests of the route over variants, by weight.' },
);
export type RouteSplit = Type.Static<typeof RouteSplit>;

/** Whether instances of a version are meant. Those that say none are not. */
export function compileVersion(pattern: string): AcceptsVersion {
  if (!/(^|[.])x$/.test(pattern)) return (version) => version === pattern;
  const prefix = pattern.slice(0, -1);
  const whole = prefix.slice(0, -1);
  return (version) => version !== undefined && (version.startsWith(prefix) || version === whole);
}

/** What no schema can say of it, by paths from the route. */
export function findSplitMistakes({ split, version }: { split?: RouteSplit; version?: string }): Mistake[] {
  if (split === undefined) return [];
  const names = split.variants.map(({ name }) => name);
  const mistakes: Mistake[] = names.flatMap((name, index) =>
    names.indexOf(name) === index
      ? []
      : [{ path: ['split', 'variants', index, 'name'], message: 'another variant has this name' }],
  );
  if (split.variants.every(({ weight }) => weight === 0)) {
    mistakes.push({ path: ['split', 'variants'], message: 'expected a variant with a `weight` above 0' });
  }
  if (version !== undefined) mistakes.push({ path: ['version'], message: 'variants say it, where there is a `split`' });
  return mistakes;
}

/** For a service that is none of the variants. */
export function withoutVariant(headers: readonly string[]): string[] {
  return filterHeaders(headers, (name) => name !== 'x-route-variant');
}
