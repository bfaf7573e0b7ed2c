/** The definition that `selvage register` sends: out of files, over what the gateway has already. */
import { resolve } from 'node:path';
import { CliFailure, exitCodes } from './cli-admin.ts';
import type { CliInput } from './cli-command.ts';
import { parseInputObject, readInputText } from './cli-input-file.ts';
import { field } from './cli-text.ts';

export interface ReadDefinition {
  /** What is to be sent; undefined when the service is there and nothing of it is to change. */
  readonly definition: Readonly<Record<string, unknown>> | undefined;
  /** The state of the service that the definition was made of. */
  readonly ifMatch: string | undefined;
  /** What the gateway has. */
  readonly current: unknown;
}

export interface DefinitionSource {
  /** Files that it is made of. */
  readonly files: readonly string[];
  /** Reads the files and asks the gateway what it has. */
  read(): Promise<ReadDefinition>;
  /** Reads the files again; the rest is as it was. */
  reread(): Promise<Readonly<Record<string, unknown>> | undefined>;
}

/** Checks the flags. Nothing is read yet. */
export function openDefinition({ text, call, positionals, world }: CliInput): DefinitionSource {
  const [name = ''] = positionals;
  const [sdlFile, definitionFile, path] = [text('sdl'), text('definition'), text('path')];
  const files = [sdlFile, definitionFile].filter((file) => file !== undefined);
  if (sdlFile === '-' && definitionFile === '-') {
    throw new CliFailure(exitCodes.usage, '--sdl and --definition cannot both read standard input');
  }
  const absolute = (file: string): string => resolve(world.directory, file);
  let input: Promise<string> | undefined;
  const readText = (flag: string, file: string): Promise<string> => {
    if (file !== '-') return readInputText(world, `--${flag} ${file}`, file);
    input ??= readInputText(world, `--${flag} ${file}`, file);
    return input;
  };
  let base: Readonly<Record<string, unknown>> = { graphql: {} };

  /** What the flags say, over the base. */
  async function build(): Promise<Readonly<Record<string, unknown>>> {
    const over =
      definitionFile === undefined
        ? base
        : parseInputObject(await readText('definition', definitionFile), '--definition', 'PUT /services/NAME');
    if (sdlFile === undefined && path === undefined) return over;
    const schema = sdlFile === undefined ? undefined : await readText('sdl', sdlFile);
    if (schema?.trim() === '') throw new CliFailure(exitCodes.usage, `--sdl ${sdlFile} is empty`);
    const graphql = {
      ...(over['graphql'] as object | undefined),
      ...(path !== undefined && { path }),
      ...(schema !== undefined && { schema }),
    };
    return { ...over, graphql };
  }

  return {
    files: files.filter((file) => file !== '-').map(absolute),
    async read() {
      await build(); // a mistake in a file is told before anybody is asked
      const { status, body, etag } = await call('GET', `/services/${encodeURIComponent(name)}`, { accept: [404] });
      const isThere = status !== 404;
      const current = field(body, 'definition');
      if (isThere && typeof current === 'object' && current !== null) base = current as Record<string, unknown>;
      const isNamed = files.length > 0 || path !== undefined;
      if (isThere && !isNamed) return { definition: undefined, ifMatch: undefined, current };
      return { definition: await build(), ifMatch: isThere ? etag : undefined, current };
    },
    reread: build,
  };
}
