/** Files that the configuration names for routes of the gateway's own: where folders are, and the text of documents. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { buildConfigError, type Locate } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { findGraphRouteMistakes, type GraphRoute } from './graph-route-options.ts';
import type { StaticFolder } from './static-options.ts';

const maxDocumentLength = 100_000;

/**
 * The configuration with absolute folders and with documents in place of their names: workers and other parts may be
 * elsewhere. Throws with the place of each that is not there.
 */
export async function resolveOwnFiles(config: GatewayConfig, folder: string, locate: Locate): Promise<GatewayConfig> {
  const { static: folders, rest } = config;
  if (folders === undefined && rest === undefined) return config;
  const mistakes: Mistake[] = [];
  const routes: Record<string, GraphRoute> = {};
  for (const [key, route] of Object.entries(rest ?? {})) {
    routes[key] = route;
    if (!route.document.startsWith('file:')) continue;
    try {
      routes[key] = { ...route, document: await readDocument(resolve(folder, route.document.slice('file:'.length))) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      mistakes.push({ path: ['rest', key, 'document'], message: `the document cannot be read: ${why}` });
    }
  }
  const resolved: StaticFolder[] = [];
  for (const [index, entry] of (folders ?? []).entries()) {
    const path = resolve(folder, entry.folder);
    const isFolder = await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (!isFolder) mistakes.push({ path: ['static', index, 'folder'], message: `there is no folder ${entry.folder}` });
    resolved.push({ ...entry, folder: path });
  }
  // What stands in the files was not looked at yet.
  if (mistakes.length === 0) mistakes.push(...findGraphRouteMistakes(routes));
  if (mistakes.length > 0) throw buildConfigError(mistakes, locate);
  return { ...config, ...(folders && { static: resolved }), ...(rest && { rest: routes }) };
}

async function readDocument(file: string): Promise<string> {
  const text = await readFile(file, 'utf8');
  if (text.length > maxDocumentLength) throw new Error(`it has more than ${maxDocumentLength} characters`);
  return text;
}
