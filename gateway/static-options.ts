/** `static` of the configuration: folders whose files the gateway serves, single-page applications above all. */
import Type from 'typebox';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { Duration, OneOf } from '../policies/units.ts';
import { ownRouteProperties } from './own-route-options.ts';

/** A path inside of the folder: no dot files, nothing that leads out of it. */
const inside = '^(?!\\.)[A-Za-z0-9_@+,=~-][A-Za-z0-9._@+,=~-]*(/(?!\\.)[A-Za-z0-9._@+,=~-]+)*$';

export const codings = ['br', 'gzip', 'zstd'] as const;
export type Coding = (typeof codings)[number];

export const StaticFolder = Type.Object(
  {
    path: Type.String({
      pattern: '^/([A-Za-z0-9._~-]+/)*\\*$',
      maxLength: 2_048,
      description: 'Where the files are: a prefix with a wildcard, e.g. `/app/*`.',
    }),
    folder: Type.String({
      minLength: 1,
      description: 'The folder, from that of the configuration file on.',
      examples: ['./dist'],
    }),
    index: Type.Optional(
      Type.String({ pattern: inside, default: 'index.html', description: 'What stands for a folder.' }),
    ),
    fallback: Type.Optional(
      Type.String({
        pattern: inside,
        description:
          'The page for paths that are no file, so that an application can make its own: for GET with `Accept: text/html`, where the last part of the path has no dot. Default: 404.',
        examples: ['index.html'],
      }),
    ),
    immutable: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 512 }), {
        description:
          'Files whose name changes with their content: kept for a year and never asked for again (RFC 8246). `*` stands for anything.',
        examples: [['assets/*']],
      }),
    ),
    maxAge: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'How long other files are fresh; pages (`.html`) never are without being asked for. Default: every use asks, and gets a 304 where nothing changed.',
      }),
    ),
    precompressed: Type.Optional(
      Type.Array(OneOf(codings), {
        uniqueItems: true,
        description:
          'Files that stand beside those they hold, compressed (`app.js.br`, `.gz`, `.zst`): sent to clients that take them, the first listed before the others.',
      }),
    ),
    ...ownRouteProperties,
  },
  { additionalProperties: false },
);
export type StaticFolder = Type.Static<typeof StaticFolder>;

export const StaticFolders = Type.Array(StaticFolder, {
  maxItems: 100,
  description:
    'Folders whose files are served. A route of any service comes before them, whatever its method; of several folders the longest path.',
});

/** Two folders for one path. */
export function findStaticMistakes(folders: readonly StaticFolder[]): Mistake[] {
  const first = new Map<string, number>();
  return folders.flatMap(({ path }, index) => {
    const before = first.get(path);
    if (before === undefined) first.set(path, index);
    return before === undefined
      ? []
      : [{ path: ['static', index, 'path'], message: `the same \`path\` as entry ${before} of the list` }];
  });
}
