/** Modules that a configuration names: found from where the configuration is, and read again when their content changed. */
import { readFile } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hashContent } from '../subgraphs/content-hash.ts';

export interface LoadedModule {
  /** Of the file, without what makes a changed content another module. */
  readonly url: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

/**
 * The file of a module that is named relative to a folder (`./plugins/audit.ts`), absolutely, or as a package that can be
 * found from the folder. Throws when there is none.
 */
export function resolveModule(name: string, folder: string): string {
  if (/^(\.{1,2}[/\\]|[/\\]|[A-Za-z]:[/\\])/.test(name)) return resolve(folder, name);
  const parentURL = pathToFileURL(resolve(folder, 'selvage')).href;
  // Node looks for packages from the importing file; this makes it a file in that folder.
  const hooks = registerHooks({
    resolve: (specifier, context, next) => next(specifier, specifier === name ? { ...context, parentURL } : context),
  });
  try {
    return fileURLToPath(import.meta.resolve(name));
  } finally {
    hooks.deregister();
  }
}

/**
 * Loads a file. Node keeps a module for as long as the process lives, so the content is part of what it is loaded as:
 * another content is another module, the same content the same. What it imports in turn stays as it was first loaded.
 */
export async function loadModule(file: string): Promise<LoadedModule> {
  const url = pathToFileURL(file);
  const versioned = new URL(url);
  versioned.searchParams.set('content', hashContent(await readFile(file)));
  const hooks = registerOwnName();
  try {
    return { url: url.href, exports: await import(versioned.href) };
  } finally {
    hooks.deregister();
  }
}

/**
 * Lets a file import `defineConfig` and `definePlugin` from 'selvage' also where no package of that name can be found
 * from it: beside a global installation, in a container, in a checkout without a build.
 */
function registerOwnName(): { deregister(): void } {
  return registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier !== 'selvage') return nextResolve(specifier, context);
      try {
        return nextResolve(specifier, context);
      } catch {
        // The extension tells the sources from the build.
        const own = new URL(`./define-config${extname(import.meta.url)}`, import.meta.url);
        return { url: own.href, shortCircuit: true };
      }
    },
  });
}
