/** Messages of services as JSON (protobuf.dev, ProtoJSON). */
import type { Descriptors, Field, MessageType } from './descriptors.ts';
import { wireTypeOf } from './scalar-to-wire.ts';
import { formatDuration, formatFieldMask, formatTimestamp, isSpecialType, wrapperTypes } from './well-known.ts';
import { WireError, WireReader, wireTypes } from './wire.ts';

export interface JsonStyle {
  /** Whether fields that have their default are there too. */
  readonly emitDefaults: boolean;
  /** Whether fields have the names of the .proto file. */
  readonly protoNames: boolean;
}

/** A service that nests deeper is not believed. */
const maxDepth = 100;

/** A value for `JSON.stringify`. Throws a {@link WireError} for bytes that are no such message. */
export function decodeToJson(descriptors: Descriptors, typeName: string, bytes: Buffer, style: JsonStyle): unknown {
  return new WireDecoder(descriptors, style).message(typeName, bytes, 0);
}

type Values = Map<Field, unknown>;

class WireDecoder {
  readonly #descriptors: Descriptors;
  readonly #style: JsonStyle;

  constructor(descriptors: Descriptors, style: JsonStyle) {
    this.#descriptors = descriptors;
    this.#style = style;
  }

  message(typeName: string, bytes: Buffer, depth: number): unknown {
    if (depth > maxDepth) throw new WireError('messages are nested too deep');
    const type = this.#type(typeName);
    const values = this.#read(type, bytes, depth);
    if (isSpecialType(typeName)) return this.#special(type, values, depth);
    return this.#object(type, values, depth);
  }

  /** The members of a message alone, which `google.protobuf.Any` has beside its `@type`. */
  #object(type: MessageType, values: Values, depth: number): Record<string, unknown> {
    // Without a prototype, so that a member may have any name.
    const object = Object.create(null) as Record<string, unknown>;
    for (const field of type.fields) {
      const name = this.#style.protoNames ? field.name : field.jsonName;
      if (values.has(field)) object[name] = values.get(field);
      else if (this.#style.emitDefaults && !field.hasPresence) object[name] = this.#default(field, depth);
    }
    return object;
  }

  #read(type: MessageType, bytes: Buffer, depth: number): Values {
    const values: Values = new Map();
    const pieces = new Map<Field, Buffer[]>();
    const reader = new WireReader(bytes);
    while (!reader.isAtEnd) {
      const tag = reader.tag();
      const field = type.byNumber.get(tag.field);
      if (field === undefined) reader.skip(tag.type);
      else if (this.#isPacked(field, tag.type)) this.#readPacked(values, field, reader.bytes());
      else if (tag.type !== wireTypeOf(field.kind)) reader.skip(tag.type);
      else if (field.kind === 'message' && !field.repeated) {
        // A message that comes in parts is all of them together.
        pieces.set(field, [...(pieces.get(field) ?? []), reader.bytes()]);
        choose(values, type, field);
        values.set(field, null);
      } else this.#add(values, type, field, this.#value(field, reader, depth));
    }
    for (const [field, parts] of pieces) {
      if (values.has(field)) values.set(field, this.message(field.typeName, Buffer.concat(parts), depth + 1));
    }
    return values;
  }

  #isPacked(field: Field, wireType: number): boolean {
    return field.repeated && wireType === wireTypes.bytes && wireTypeOf(field.kind) !== wireTypes.bytes;
  }

  #readPacked(values: Values, field: Field, bytes: Buffer): void {
    const list = listOf(values, field);
    const reader = new WireReader(bytes);
    while (!reader.isAtEnd) list.push(this.#scalar(field, reader));
  }

  #add(values: Values, type: MessageType, field: Field, value: unknown): void {
    if (!field.repeated) {
      choose(values, type, field);
      // A field without presence that has its default is as good as missing.
      if (field.hasPresence || this.#style.emitDefaults || value !== this.#default(field, 0)) values.set(field, value);
      else values.delete(field);
    } else if (value instanceof MapEntry) {
      const object = (values.get(field) ?? Object.create(null)) as Record<string, unknown>;
      object[value.key] = value.value;
      values.set(field, object);
    } else listOf(values, field).push(value);
  }

  #value(field: Field, reader: WireReader, depth: number): unknown {
    if (field.kind !== 'message') return this.#scalar(field, reader);
    const type = this.#type(field.typeName);
    if (!type.isMapEntry) return this.message(field.typeName, reader.bytes(), depth + 1);
    const [keyField, valueField] = [type.byNumber.get(1), type.byNumber.get(2)];
    if (keyField === undefined || valueField === undefined) throw new WireError('a map without keys or values');
    const entry = this.#read(type, reader.bytes(), depth + 1);
    const key = entry.get(keyField) ?? this.#default(keyField, depth);
    return new MapEntry(String(key), entry.has(valueField) ? entry.get(valueField) : this.#default(valueField, depth));
  }

  #scalar(field: Field, reader: WireReader): unknown {
    switch (field.kind) {
      case 'string':
        return reader.bytes().toString();
      case 'bytes':
        return reader.bytes().toString('base64');
      case 'bool':
        return reader.uint64() !== 0n;
      case 'enum':
        return this.#enumValue(field, reader.uint32() | 0);
      case 'double':
        return floatToJson(reader.fixed64().readDoubleLE());
      case 'float':
        return floatToJson(reader.fixed32().readFloatLE(), true);
      case 'int32':
        return reader.uint32() | 0;
      case 'uint32':
        return reader.uint32();
      case 'sint32':
        return unzigzag(reader.uint32());
      case 'fixed32':
        return reader.fixed32().readUInt32LE();
      case 'sfixed32':
        return reader.fixed32().readInt32LE();
      case 'int64':
        return String(BigInt.asIntN(64, reader.uint64()));
      case 'uint64':
        return String(reader.uint64());
      case 'sint64': {
        const value = reader.uint64();
        return String((value >> 1n) ^ -(value & 1n));
      }
      case 'fixed64':
        return String(reader.fixed64().readBigUInt64LE());
      case 'sfixed64':
        return String(reader.fixed64().readBigInt64LE());
      default:
        throw new WireError(`a ${field.kind} is not read here`);
    }
  }

  #enumValue({ typeName }: Field, code: number): unknown {
    if (typeName === 'google.protobuf.NullValue') return null;
    return this.#descriptors.enums.get(typeName)?.byNumber.get(code) ?? code;
  }

  #default(field: Field, depth: number): unknown {
    if (field.repeated) {
      return field.kind === 'message' && this.#type(field.typeName).isMapEntry ? Object.create(null) : [];
    }
    if (field.kind === 'message') return this.message(field.typeName, Buffer.alloc(0), depth + 1);
    if (field.kind === 'string' || field.kind === 'bytes') return '';
    if (field.kind === 'bool') return false;
    if (field.kind === 'enum') return this.#enumValue(field, 0);
    return /64$/.test(field.kind) ? '0' : 0;
  }

  #special(type: MessageType, values: Values, depth: number): unknown {
    const get = (number: number): unknown => {
      const field = type.byNumber.get(number);
      return field === undefined ? undefined : values.get(field);
    };
    if (wrapperTypes.has(type.name)) {
      const field = type.byNumber.get(1);
      return field === undefined ? null : (values.get(field) ?? this.#default(field, depth));
    }
    const seconds = () => ({ seconds: BigInt(String(get(1) ?? 0)), nanos: Number(get(2) ?? 0) });
    switch (type.name) {
      case 'google.protobuf.Timestamp':
        return orFail(formatTimestamp(seconds()), 'a time out of range');
      case 'google.protobuf.Duration':
        return orFail(formatDuration(seconds()), 'a duration out of range');
      case 'google.protobuf.FieldMask':
        return formatFieldMask((get(1) ?? []) as string[]);
      case 'google.protobuf.Struct':
        return get(1) ?? {};
      case 'google.protobuf.ListValue':
        return get(1) ?? [];
      case 'google.protobuf.Value':
        return [...values.values()][0] ?? null;
      default:
        return this.#any(String(get(1) ?? ''), Buffer.from(String(get(2) ?? ''), 'base64'), depth);
    }
  }

  #any(url: string, bytes: Buffer, depth: number): unknown {
    if (url === '') return {};
    const typeName = url.slice(url.lastIndexOf('/') + 1);
    // What it holds is nobody's business here; a client may know better than we do.
    if (!this.#descriptors.messages.has(typeName)) return { '@type': url, value: bytes.toString('base64') };
    const inner = this.message(typeName, bytes, depth + 1);
    if (isSpecialType(typeName)) return { '@type': url, value: inner };
    return { '@type': url, ...(inner as object) };
  }

  #type(name: string): MessageType {
    const type = this.#descriptors.messages.get(name);
    if (type === undefined) throw new WireError(`no message ${name}`);
    return type;
  }
}

class MapEntry {
  readonly key: string;
  readonly value: unknown;

  constructor(key: string, value: unknown) {
    this.key = key;
    this.value = value;
  }
}

/** Of a `oneof` the last one holds. */
function choose(values: Values, type: MessageType, { oneof, number }: Field): void {
  if (oneof === null) return;
  for (const other of type.fields) if (other.oneof === oneof && other.number !== number) values.delete(other);
}

function listOf(values: Values, field: Field): unknown[] {
  const known = values.get(field) as unknown[] | undefined;
  if (known !== undefined) return known;
  const list: unknown[] = [];
  values.set(field, list);
  return list;
}

/** The shortest digits that give the same number; what JSON has no number for is a text. */
function floatToJson(value: number, isSingle = false): number | string {
  if (!Number.isFinite(value)) return String(value);
  if (!isSingle) return value;
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}

function unzigzag(value: number): number {
  return (value >>> 1) ^ -(value & 1);
}

function orFail(text: string | null, why: string): string {
  if (text === null) throw new WireError(why);
  return text;
}
