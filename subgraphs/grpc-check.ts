/** What contradicts itself in what a service says of its gRPC. */
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import type { GrpcOptions } from './grpc-options.ts';
import { findGrpcRouteMistakes } from './grpc-route-check.ts';
import { decodeDescriptors, type GrpcDefinition, keyOf } from './grpc-schema.ts';
import { compileHttpTemplate, TemplateMistake } from './http-template.ts';
import { type Descriptors, type HttpRule, type MethodType, parseDescriptors } from './protobuf/descriptors.ts';
import { isSpecialType } from './protobuf/well-known.ts';
import { WireError } from './protobuf/wire.ts';
import { routeMethods } from './route-match.ts';

/**
 * What contradicts itself in the gRPC of a definition, by paths below the definition. `isNew`: what has no effect counts too,
 * of which its author should hear. A service that served so far goes on.
 */
export function findGrpcMistakes({ grpc, routes = [], http2 }: GrpcDefinition, isNew = true): readonly Mistake[] {
  if (grpc === undefined) return [];
  const at = (path: ValuePath, message: string): Mistake => ({ path: ['grpc', ...path], message });
  if (grpc.protos !== undefined || grpc.protoPaths !== undefined || grpc.descriptors?.startsWith('file:') === true) {
    const option = grpc.protos !== undefined ? 'protos' : grpc.protoPaths !== undefined ? 'protoPaths' : 'descriptors';
    return [at([option], 'files are read of a configuration file only: send the descriptor set in base64')];
  }
  const ofRoutes = () => (isNew ? findGrpcRouteMistakes(grpc, routes) : []);
  const mistakes: Mistake[] = [];
  if (http2 === false)
    mistakes.push({ path: ['http2'], message: 'contradicts `grpc`, which is spoken in HTTP/2 alone' });
  if (grpc.services === undefined && grpc.descriptors === undefined && routes.length === 0) {
    mistakes.push(at([], 'expected `services`, `descriptors` or routes: nothing leads to the service'));
  }
  if (grpc.descriptors === undefined) return [...mistakes, ...ofRoutes()];
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(grpc.descriptors)) {
    return [...mistakes, at(['descriptors'], 'expected a descriptor set in base64')];
  }
  try {
    const descriptors = parseDescriptors(decodeDescriptors(grpc.descriptors));
    const ofContent = findContentMistakes(grpc, descriptors).map(({ path, message }) => at(path, message));
    return [...mistakes, ...ofContent, ...(ofContent.length > 0 ? [] : ofRoutes())];
  } catch (thrown) {
    if (!(thrown instanceof WireError)) throw thrown;
    return [...mistakes, at(['descriptors'], `is no descriptor set that can be used: ${thrown.message}`)];
  }
}

function findContentMistakes(grpc: GrpcOptions, descriptors: Descriptors): Mistake[] {
  const mistakes: Mistake[] = [];
  for (const [index, name] of (grpc.services ?? []).entries()) {
    if (!descriptors.services.includes(name)) {
      mistakes.push({ path: ['services', index], message: `\`descriptors\` has no service ${name}` });
    }
  }
  const claims = new Map<string, string>();
  for (const method of grpc.transcoding === false ? [] : descriptors.methods) {
    for (const rule of method.rules) {
      for (const message of findRuleMistakes(rule, method, descriptors, claims)) {
        mistakes.push({ path: ['descriptors'], message: `${method.name}: ${message}` });
      }
    }
  }
  return mistakes;
}

function findRuleMistakes(
  rule: HttpRule,
  { name, input, output }: MethodType,
  { messages }: Descriptors,
  claims: Map<string, string>,
): string[] {
  if (rule.method !== '*' && !(routeMethods as readonly string[]).includes(rule.method)) {
    return [`requests with ${rule.method || 'no method'} have no routes here`];
  }
  try {
    const template = compileHttpTemplate(rule.path);
    const key = keyOf(rule.method, template.pattern);
    const other = claims.get(key);
    claims.set(key, name);
    const lost = template.fields.filter((field) => !isScalar(messages, input, field));
    return [
      ...(other === undefined ? [] : [`${rule.method} ${rule.path} leads to ${other} already`]),
      ...lost.map((field) => `${rule.path}: ${field.join('.')} is no single scalar of ${input}`),
      ...(['', '*'].includes(rule.body) || messages.get(input)?.byName.has(rule.body) === true
        ? []
        : [`body: ${input} has no field ${rule.body}`]),
      ...(rule.responseBody === '' || messages.get(output)?.byName.has(rule.responseBody) === true
        ? []
        : [`response_body: ${output} has no field ${rule.responseBody}`]),
    ];
  } catch (thrown) {
    if (thrown instanceof TemplateMistake) return [thrown.message];
    throw thrown;
  }
}

function isScalar(messages: Descriptors['messages'], type: string, [name, ...rest]: readonly string[]): boolean {
  const field = messages.get(type)?.byName.get(name ?? '');
  if (field === undefined || field.repeated) return false;
  if (rest.length > 0) return field.kind === 'message' && isScalar(messages, field.typeName, rest);
  return field.kind !== 'message' || isSpecialType(field.typeName);
}
