/** Files that commands are given, `-` for standard input. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { CliWorld } from './cli.ts';
import { CliFailure, exitCodes } from './cli-admin.ts';
import { fieldText } from './cli-text.ts';

/** The text of a file. `label`: what the failure calls it by. Standard input can be read once. */
export async function readInputText(world: CliWorld, label: string, file: string): Promise<string> {
  try {
    return await (file === '-' ? readStream(world.stdin) : readFile(resolve(world.directory, file), 'utf8'));
  } catch (error) {
    const code = fieldText(error, 'code');
    const why = code === 'ENOENT' ? 'there is no such file' : code || 'it cannot be read';
    throw new CliFailure(exitCodes.usage, `${label}: ${why}`);
  }
}

/** An object of JSON or YAML. `taker`: the call that takes it. */
export function parseInputObject(text: string, label: string, taker: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parse(text); // JSON is YAML
  } catch (error) {
    const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new CliFailure(exitCodes.usage, `${label} is neither JSON nor YAML: ${message}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CliFailure(exitCodes.usage, `${label} must hold an object, as ${taker} takes it`);
}

async function readStream(stream: AsyncIterable<Uint8Array | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
