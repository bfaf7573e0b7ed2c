/** Descriptor sets and .proto files that a configuration names: read once, so that stores and workers have their content. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { findGrpcMistakes } from '../subgraphs/grpc-check.ts';
import type { GrpcOptions } from '../subgraphs/grpc-options.ts';
import { buildConfigError, type Locate } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { compileProtoFiles } from './proto-files.ts';

/** The configuration with the files in it, as base64. Throws with the place of each that cannot be used. */
export async function inlineGrpcFiles(config: GatewayConfig, folder: string, locate: Locate): Promise<GatewayConfig> {
  const services = { ...config.services };
  const mistakes: Mistake[] = [];
  for (const [name, definition] of Object.entries(services)) {
    if (definition.grpc === undefined) continue;
    try {
      const inlined = { ...definition, grpc: await inlineFiles(definition.grpc, folder) };
      services[name] = inlined;
      mistakes.push(...findGrpcMistakes(inlined).map((each) => ({ ...each, path: ['services', name, ...each.path] })));
    } catch (thrown) {
      const option = definition.grpc.protos === undefined ? 'descriptors' : 'protos';
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      mistakes.push({ path: ['services', name, 'grpc', option], message: `cannot be read: ${why}` });
    }
  }
  if (mistakes.length > 0) throw buildConfigError(mistakes, locate);
  return config.services === undefined ? config : { ...config, services };
}

async function inlineFiles({ protos, protoPaths, ...rest }: GrpcOptions, folder: string): Promise<GrpcOptions> {
  if (protos !== undefined) {
    if (rest.descriptors !== undefined) throw new Error('`descriptors` and `protos` are two ways to say the same');
    const folders = [...(protoPaths ?? []).map((path) => resolve(folder, path)), folder];
    const set = await compileProtoFiles(
      protos.map((path) => resolve(folder, path)),
      folders,
    );
    return { ...rest, descriptors: set.toString('base64') };
  }
  if (protoPaths !== undefined) throw new Error('`protoPaths` is for `protos`');
  if (rest.descriptors?.startsWith('file:') !== true) return rest;
  const set = await readFile(resolve(folder, rest.descriptors.slice('file:'.length)));
  return { ...rest, descriptors: set.toString('base64') };
}
