/** .proto files as a descriptor set, the one form in which the rest of the gateway knows types. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { httpOptionNumber } from '../subgraphs/protobuf/descriptors.ts';
import { WireReader, WireWriter, wireTypes } from '../subgraphs/protobuf/wire.ts';

/** What `protobufjs` makes of `option (google.api.http)`. */
interface WrittenRule {
  readonly additional_bindings?: WrittenRule | readonly WrittenRule[];
  readonly custom?: { readonly kind?: string; readonly path?: string };
  readonly [name: string]: unknown;
}

interface WrittenMethod {
  readonly path: string;
  readonly options: Readonly<Record<string, unknown>>;
}

type Rules = ReadonlyMap<string, { readonly rule: WrittenRule | undefined; readonly idempotency: number }>;

const ruleFields = { get: 2, put: 3, post: 4, delete: 5, patch: 6, body: 7, response_body: 12 } as const;
const idempotencyLevels = ['IDEMPOTENCY_UNKNOWN', 'NO_SIDE_EFFECTS', 'IDEMPOTENT'];

/** Compiles the files, which may import others of the folders. Throws with what is wrong with them. */
export async function compileProtoFiles(files: readonly string[], folders: readonly string[]): Promise<Buffer> {
  // Loaded where somebody has such files: it is large.
  const { loadSync } = await import('@grpc/proto-loader');
  const require = createRequire(import.meta.url);
  // It brings google/api/annotations.proto along, which is seldom among the files of a service.
  const bundled = dirname(createRequire(require.resolve('@grpc/proto-loader')).resolve('protobufjs/package.json'));
  const loaded = loadSync([...files], { keepCase: true, includeDirs: [...folders, bundled] });
  const rules = new Map<string, { rule: WrittenRule | undefined; idempotency: number }>();
  let descriptors: readonly Buffer[] = [];
  for (const definition of Object.values(loaded)) {
    if ('fileDescriptorProtos' in definition) descriptors = definition.fileDescriptorProtos as Buffer[];
    else for (const method of Object.values(definition) as unknown as WrittenMethod[]) addRule(rules, method);
  }
  const set = new WireWriter();
  for (const file of descriptors) set.tag(1, wireTypes.bytes).bytes(withRules(file, rules));
  return set.finish();
}

function addRule(rules: Map<string, { rule: WrittenRule | undefined; idempotency: number }>, method: WrittenMethod) {
  const rule = method.options['(google.api.http)'] as WrittenRule | undefined;
  const idempotency = idempotencyLevels.indexOf(String(method.options['idempotency_level']));
  if (rule !== undefined || idempotency > 0) rules.set(method.path.slice(1), { rule, idempotency });
}

/** protobufjs drops extensions when it writes descriptors; so they are put back, into `service.method.options`. */
function withRules(file: Buffer, rules: Rules): Buffer {
  const scope = readText(file, 2);
  return rewrite(file, 6, (service) => {
    const name = `${scope === '' ? '' : `${scope}.`}${readText(service, 1)}`;
    return rewrite(service, 2, (method) => {
      const known = rules.get(`${name}/${readText(method, 1)}`);
      if (known === undefined) return method;
      const options = new WireWriter();
      if (known.rule !== undefined) options.tag(httpOptionNumber, wireTypes.bytes).bytes(writeRule(known.rule));
      if (known.idempotency > 0) options.tag(34, wireTypes.varint).uint32(known.idempotency);
      // A message that comes twice is both together.
      return Buffer.concat([method, new WireWriter().tag(4, wireTypes.bytes).bytes(options.finish()).finish()]);
    });
  });
}

function writeRule(rule: WrittenRule): Buffer {
  const writer = new WireWriter();
  for (const [name, field] of Object.entries(ruleFields)) {
    const value = rule[name];
    if (typeof value === 'string') writer.tag(field, wireTypes.bytes).text(value);
  }
  if (rule.custom !== undefined) {
    const custom = new WireWriter().tag(1, wireTypes.bytes).text(rule.custom.kind ?? '');
    writer.tag(8, wireTypes.bytes).bytes(
      custom
        .tag(2, wireTypes.bytes)
        .text(rule.custom.path ?? '')
        .finish(),
    );
  }
  for (const more of [rule.additional_bindings ?? []].flat() as WrittenRule[]) {
    writer.tag(11, wireTypes.bytes).bytes(writeRule(more));
  }
  return writer.finish();
}

/** The message with the values of one field replaced. */
function rewrite(message: Buffer, wanted: number, replace: (value: Buffer) => Buffer): Buffer {
  const writer = new WireWriter();
  const reader = new WireReader(message);
  while (!reader.isAtEnd) {
    const { field, type } = reader.tag();
    writer.tag(field, type);
    if (type === wireTypes.bytes) {
      const value = reader.bytes();
      writer.bytes(field === wanted ? replace(value) : value);
    } else if (type === wireTypes.varint) writer.uint64(reader.uint64());
    else writer.raw(type === wireTypes.fixed32 ? reader.fixed32() : reader.fixed64());
  }
  return writer.finish();
}

function readText(message: Buffer, wanted: number): string {
  const reader = new WireReader(message);
  while (!reader.isAtEnd) {
    const { field, type } = reader.tag();
    if (field === wanted && type === wireTypes.bytes) return reader.bytes().toString();
    reader.skip(type);
  }
  return '';
}
