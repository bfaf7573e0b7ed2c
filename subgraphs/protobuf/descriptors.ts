/**
 * Message types, enums and services of a descriptor set (google/protobuf/descriptor.proto). Read by hand and not with a
 * library: `google.api.http` is an extension, which those drop, and what teams send must never become code.
 */
import { WireError, WireReader, wireTypes } from './wire.ts';

/** Numbers of FieldDescriptorProto.Type. */
export const fieldTypes = [
  '',
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  'group',
  'message',
  'bytes',
  'uint32',
  'enum',
  'sfixed32',
  'sfixed64',
  'sint32',
  'sint64',
] as const;
export type FieldKind = (typeof fieldTypes)[number];

export interface Field {
  readonly name: string;
  readonly jsonName: string;
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  readonly packed: boolean;
  /** Whether one that has its default is told from one that is missing. */
  readonly hasPresence: boolean;
  /** Index of the `oneof`; null for none. */
  readonly oneof: number | null;
  /** Of `message` and `enum`: the full name of the type. */
  readonly typeName: string;
}

export interface MessageType {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
  /** By both names that JSON may use. */
  readonly byName: ReadonlyMap<string, Field>;
  readonly isMapEntry: boolean;
}

export interface EnumType {
  readonly name: string;
  readonly byName: ReadonlyMap<string, number>;
  /** Of several names for a number the first. */
  readonly byNumber: ReadonlyMap<number, string>;
}

/** `google.api.HttpRule`. */
export interface HttpRule {
  readonly method: string;
  readonly path: string;
  /** Field of the request that the body is; `*` for all of it, empty for none. */
  readonly body: string;
  /** Field of the answer that is the body; empty for all of it. */
  readonly responseBody: string;
}

export interface MethodType {
  /** `package.Service/Method`. */
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
  /** Whether it may be sent twice (`idempotency_level`). */
  readonly idempotent: boolean;
  readonly rules: readonly HttpRule[];
}

export interface Descriptors {
  readonly messages: ReadonlyMap<string, MessageType>;
  readonly enums: ReadonlyMap<string, EnumType>;
  /** Full names of services. */
  readonly services: readonly string[];
  readonly methods: readonly MethodType[];
}

/** `extend google.protobuf.MethodOptions { HttpRule http = 72295728; }` */
export const httpOptionNumber = 72_295_728;
/** Types in types, and bindings in bindings. */
const maxNesting = 32;

type ResolveName = (name: string, scope: string) => string;
type Fields = ReadonlyMap<number, readonly (Buffer | number)[]>;

/** Reads a serialized FileDescriptorSet. Throws a {@link WireError} that says what is wrong with it. */
export function parseDescriptors(set: Buffer): Descriptors {
  const messages = new Map<string, MessageType>();
  const enums = new Map<string, EnumType>();
  const services: string[] = [];
  const methods: MethodType[] = [];
  const files = all(readFields(set), 1).map(readFields);
  const names = new Set<string>();
  for (const file of files) collectNames(file, text(file, 2), [4, 5], names, 0);
  const resolve = (name: string, scope: string): string => resolveName(name, scope, names);
  for (const file of files) {
    const scope = text(file, 2);
    const syntax = text(file, 12) || 'proto2';
    for (const message of all(file, 4)) addMessage(message, scope, syntax, { messages, enums, resolve }, 0);
    for (const each of all(file, 5)) addEnum(each, scope, enums);
    for (const bytesOfService of all(file, 6)) {
      const service = readFields(bytesOfService);
      const name = join(scope, text(service, 1));
      services.push(name);
      for (const method of all(service, 2)) methods.push(readMethod(readFields(method), name, resolve));
    }
  }
  const descriptors = { messages, enums, services, methods };
  assertComplete(descriptors);
  return descriptors;
}

/** The full names of all types of a scope: messages and enums, by the fields that hold them. */
function collectNames(
  read: Fields,
  scope: string,
  [messageField, enumField]: readonly [number, number],
  names: Set<string>,
  depth: number,
): void {
  if (depth > maxNesting) throw new WireError('types are nested too deep');
  for (const each of all(read, enumField)) names.add(join(scope, text(readFields(each), 1)));
  for (const message of all(read, messageField).map(readFields)) {
    const name = join(scope, text(message, 1));
    names.add(name);
    collectNames(message, name, [3, 4], names, depth + 1);
  }
}

/** With a dot in front a name is whole; otherwise the innermost scope that has it counts. */
function resolveName(name: string, scope: string, names: ReadonlySet<string>): string {
  if (name.startsWith('.')) return name.slice(1);
  for (let around = scope; around !== ''; around = around.slice(0, Math.max(0, around.lastIndexOf('.')))) {
    if (names.has(`${around}.${name}`)) return `${around}.${name}`;
  }
  return name;
}

function addMessage(
  bytes: Buffer,
  scope: string,
  syntax: string,
  into: { readonly messages: Map<string, MessageType>; readonly enums: Map<string, EnumType>; resolve: ResolveName },
  depth: number,
): void {
  if (depth > maxNesting) throw new WireError('types are nested too deep');
  const read = readFields(bytes);
  const name = join(scope, text(read, 1));
  const fields = all(read, 2).map((field) => readField(readFields(field), syntax, (type) => into.resolve(type, name)));
  const byName = new Map<string, Field>();
  for (const field of fields) byName.set(field.name, field);
  for (const field of fields) byName.set(field.jsonName, field);
  into.messages.set(name, {
    name,
    fields,
    byNumber: new Map(fields.map((field) => [field.number, field])),
    byName,
    isMapEntry: number(readFields(one(read, 7)), 7) === 1,
  });
  for (const nested of all(read, 3)) addMessage(nested, name, syntax, into, depth + 1);
  for (const nested of all(read, 4)) addEnum(nested, name, into.enums);
}

function readField(read: Fields, syntax: string, resolve: (type: string) => string): Field {
  const name = text(read, 1);
  const kind = fieldTypes[number(read, 5)] ?? '';
  const repeated = number(read, 4) === 3;
  const oneof = read.has(9) ? number(read, 9) : null;
  const packed = readFields(one(read, 8)).get(2)?.at(-1);
  const isPackable = repeated && !['string', 'bytes', 'message', 'group'].includes(kind);
  return {
    name,
    jsonName: text(read, 10) || toJsonName(name),
    number: number(read, 3),
    kind,
    repeated,
    packed: isPackable && (packed === undefined ? syntax !== 'proto2' : packed === 1),
    hasPresence: !repeated && (kind === 'message' || oneof !== null || syntax !== 'proto3' || number(read, 17) === 1),
    // The one that proto3 makes up for `optional` has no other member.
    oneof: number(read, 17) === 1 ? null : oneof,
    typeName: resolve(text(read, 6)),
  };
}

function addEnum(bytes: Buffer, scope: string, enums: Map<string, EnumType>): void {
  const read = readFields(bytes);
  const name = join(scope, text(read, 1));
  const byName = new Map<string, number>();
  const byNumber = new Map<number, string>();
  for (const value of all(read, 2).map(readFields)) {
    const code = number(value, 2) | 0;
    byName.set(text(value, 1), code);
    if (!byNumber.has(code)) byNumber.set(code, text(value, 1));
  }
  enums.set(name, { name, byName, byNumber });
}

function readMethod(read: Fields, service: string, resolve: ResolveName): MethodType {
  // A message that comes in parts is all of them together.
  const options = readFields(Buffer.concat(all(read, 4)));
  return {
    name: `${service}/${text(read, 1)}`,
    input: resolve(text(read, 2), service),
    output: resolve(text(read, 3), service),
    clientStreaming: number(read, 5) === 1,
    serverStreaming: number(read, 6) === 1,
    idempotent: number(options, 34) > 0,
    rules: all(options, httpOptionNumber).flatMap((rule) => readRule(readFields(rule), 0)),
  };
}

const ruleMethods: Readonly<Record<number, string>> = { 2: 'GET', 3: 'PUT', 4: 'POST', 5: 'DELETE', 6: 'PATCH' };

function readRule(read: Fields, depth: number): HttpRule[] {
  // "additional_bindings" of additional bindings are not allowed by http.proto.
  if (depth > 1) throw new WireError('additional_bindings have additional_bindings');
  const known = Object.entries(ruleMethods).find(([field]) => read.has(Number(field)));
  const custom = readFields(one(read, 8));
  const rest = { body: text(read, 7), responseBody: text(read, 12) };
  const more = all(read, 11).flatMap((rule) => readRule(readFields(rule), depth + 1));
  if (known !== undefined) return [{ method: known[1], path: text(read, Number(known[0])), ...rest }, ...more];
  return read.has(8) ? [{ method: text(custom, 1).toUpperCase(), path: text(custom, 2), ...rest }, ...more] : more;
}

/** Whether all that is named is there: sets made without their imports are not. */
function assertComplete({ messages, enums, methods }: Descriptors): void {
  const missing = (name: string, where: string) =>
    new WireError(`${where} is of the type ${name}, which is not in the set; make it with --include_imports`);
  for (const { name, fields } of messages.values()) {
    for (const field of fields) {
      const where = `${name}.${field.name}`;
      if (field.kind === '') throw new WireError(`${where} has no type`);
      if (field.kind === 'message' && !messages.has(field.typeName)) throw missing(field.typeName, where);
      if (field.kind === 'enum' && !enums.has(field.typeName)) throw missing(field.typeName, where);
    }
  }
  for (const { name, input, output } of methods) {
    if (!messages.has(input)) throw missing(input, `the request of ${name}`);
    if (!messages.has(output)) throw missing(output, `the answer of ${name}`);
  }
}

/** Values by field, as they stand: bytes, or numbers below 2^32. */
function readFields(bytes: Buffer): Fields {
  const reader = new WireReader(bytes);
  const fields = new Map<number, (Buffer | number)[]>();
  while (!reader.isAtEnd) {
    const { field, type } = reader.tag();
    if (type !== wireTypes.bytes && type !== wireTypes.varint) {
      reader.skip(type);
      continue;
    }
    const value = type === wireTypes.bytes ? reader.bytes() : reader.uint32();
    const values = fields.get(field);
    if (values === undefined) fields.set(field, [value]);
    else values.push(value);
  }
  return fields;
}

const nothing = Buffer.alloc(0);

function all(fields: Fields, field: number): Buffer[] {
  return (fields.get(field) ?? []).filter((value) => typeof value !== 'number');
}

function one(fields: Fields, field: number): Buffer {
  return all(fields, field).at(-1) ?? nothing;
}

function text(fields: Fields, field: number): string {
  return one(fields, field).toString();
}

function number(fields: Fields, field: number): number {
  const value = fields.get(field)?.at(-1);
  return typeof value === 'number' ? value : 0;
}

function join(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`;
}

/** As protoc does it: `order_id` is `orderId`. */
function toJsonName(name: string): string {
  return name.replaceAll(/_+(.?)/g, (_, letter: string) => letter.toUpperCase());
}
