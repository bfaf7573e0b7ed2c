/** Copies of requests for another service, whose answers no client sees. */
import Type from 'typebox';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { Duration, Percentage, Size } from '../policies/units.ts';
import { VersionPattern } from './route-split.ts';

export const RouteMirror = Type.Object(
  {
    service: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description:
          'Who gets the copies; it names the service of the route in `trafficFrom`. Default: the same service.',
      }),
    ),
    version: Type.Optional(VersionPattern),
    share: Type.Optional(
      Type.Unsafe<string>({ ...Percentage, default: '100%', description: 'How many of the requests are copied.' }),
    ),
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({
        ...Size,
        default: '64kb',
        description: 'Requests with larger bodies are not copied, and answers with larger ones not compared.',
      }),
    ),
    timeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '5s', description: 'Time for a copy until the end of its answer.' }),
    ),
    concurrency: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        default: 10,
        description: 'Copies at once, in each process. Requests beyond are not copied.',
      }),
    ),
    compare: Type.Optional(
      Type.Boolean({ default: false, description: 'Whether answers are compared, for `GET /mirrors`.' }),
    ),
    compareHeaders: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z0-9-]{1,128}$' }), {
        maxItems: 50,
        default: ['content-type'],
        description: 'Headers of answers that are compared, beside status and body.',
      }),
    ),
    ignore: Type.Optional(
      Type.Array(Type.String({ pattern: '^/', maxLength: 512 }), {
        maxItems: 100,
        description: 'JSON pointers to what may differ in bodies, with all below; `*` stands for any one key or index.',
      }),
    ),
    showValues: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether the report shows values that differ, up to 64 characters. Otherwise their type and a hash.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Sends copies of requests to another service too, marked with `x-mirrored: 1`. The client waits for nothing of it, and nothing that becomes of it reaches the client.',
  },
);
export type RouteMirror = Type.Static<typeof RouteMirror>;

/** What no schema can say of it, by paths from the route. */
export function findMirrorMistakes({ mirror }: { mirror?: RouteMirror }): Mistake[] {
  if (mirror === undefined || mirror.service !== undefined || mirror.version !== undefined) return [];
  return [
    { path: ['mirror'], message: 'expected `service`, `version` or both: the same instances would do all twice' },
  ];
}
