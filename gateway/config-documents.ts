/**
 * Documents that a configuration names by file in `validate`. They are put in its place, so that every gateway of a shared
 * registry has them; and only a configuration may name files: what teams register could else read those of the gateway.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import { isObject } from '../policies/subschemas.ts';

const keys: ReadonlySet<string> = new Set(['body', 'query', 'headers', 'params']);
/** Largest document. */
const maxBytes = 4_000_000;

/** The configuration with its documents, and what is wrong with them. The value may still be anything. */
export async function readDocuments(
  value: unknown,
  folder: string,
): Promise<{ readonly value: unknown; readonly mistakes: readonly Mistake[] }> {
  const mistakes: Mistake[] = [];

  async function copy(part: unknown, path: ValuePath): Promise<unknown> {
    if (Array.isArray(part)) return Promise.all(part.map((item, index) => copy(item, [...path, index])));
    if (!isObject(part)) return part;
    const entries = Object.entries(part).map(async ([key, inner]) => {
      const at = [...path, key];
      return [
        key,
        key === 'validate' && isObject(inner) ? await copyOptions(inner, at) : await copy(inner, at),
      ] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  }

  async function copyOpenapi(openapi: Record<string, unknown>, path: ValuePath): Promise<unknown> {
    const { document } = openapi;
    const isFile = typeof document === 'string' && document.startsWith('file:');
    return isFile
      ? { ...openapi, document: await read(document.slice('file:'.length), [...path, 'document']) }
      : openapi;
  }

  async function copyOptions(options: Record<string, unknown>, path: ValuePath): Promise<unknown> {
    const entries = Object.entries(options).map(async ([key, inner]) => {
      // `openapi: file:PATH` is short for that of its `document`.
      const openapi = typeof inner === 'string' ? { document: inner } : inner;
      if (key === 'openapi' && isObject(openapi)) return [key, await copyOpenapi(openapi, [...path, key])] as const;
      const isFile = keys.has(key) && typeof inner === 'string' && inner.startsWith('file:');
      return [key, isFile ? await read(inner.slice('file:'.length), [...path, key]) : inner] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  }

  async function read(name: string, path: ValuePath): Promise<unknown> {
    try {
      const text = await readFile(resolve(folder, name), 'utf8');
      if (text.length > maxBytes) throw new Error(`it has more than ${maxBytes} characters`);
      // JSON is YAML. Aliases could make a small text a very large document.
      return parse(text, { maxAliasCount: 100 }) as unknown;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      mistakes.push({ path, message: `the file ${name} cannot be read: ${why}` });
      return {};
    }
  }

  if (!isObject(value)) return { value, mistakes };
  const { services, policies } = value;
  return {
    value: {
      ...value,
      ...(services !== undefined && { services: await copy(services, ['services']) }),
      ...(policies !== undefined && { policies: await copy(policies, ['policies']) }),
    },
    mistakes,
  };
}
