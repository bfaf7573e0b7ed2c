/** JSON as clients send it, as a message (protobuf.dev, ProtoJSON). What does not fit is told with its place. */
import type { Mistake, ValuePath } from '../../policies/schema-mistakes.ts';
import type { Descriptors, Field, MessageType } from './descriptors.ts';
import { type Json, JsonNumber, type JsonObject, JsonParameter } from './json-text.ts';
import { encodeScalar, isSoleNull, wireTypeOf } from './scalar-to-wire.ts';
import { parseDuration, parseFieldMask, parseTimestamp, type Seconds, wrapperTypes } from './well-known.ts';
import { WireWriter, wireTypes } from './wire.ts';

/** More than that helps nobody. */
const maxMistakes = 20;
/** `Any` in `Any`: what is in it is walked by its own type. */
const maxDepth = 100;

/** Encodes a message, or says what is wrong with it. */
export function encodeJson(
  descriptors: Descriptors,
  typeName: string,
  json: Json,
): { readonly bytes: Buffer } | { readonly mistakes: readonly Mistake[] } {
  const encoder = new JsonEncoder(descriptors);
  const bytes = encoder.message(typeName, json, []);
  return encoder.mistakes.length > 0 ? { mistakes: encoder.mistakes } : { bytes };
}

class JsonEncoder {
  readonly mistakes: Mistake[] = [];
  readonly #descriptors: Descriptors;

  constructor(descriptors: Descriptors) {
    this.#descriptors = descriptors;
  }

  message(typeName: string, json: Json, path: ValuePath): Buffer {
    const writer = new WireWriter();
    const special = this.#special(typeName);
    if (path.length > maxDepth) this.#refuse(path, json, 'something less deep');
    else if (special !== undefined) special(writer, json, path);
    else if (!isObject(json)) this.#refuse(path, json, 'an object');
    else this.#fields(writer, typeName, json, path);
    return writer.finish();
  }

  #fields(writer: WireWriter, typeName: string, json: JsonObject, path: ValuePath): void {
    const type = this.#type(typeName);
    const given = new Map<Field, string>();
    const chosen = new Map<number, string>();
    for (const [name, value] of json) {
      if (this.mistakes.length >= maxMistakes) return;
      const at = [...path, name];
      const field = type.byName.get(name);
      if (field === undefined) {
        this.#tell(at, `the message ${type.name} has no such field`);
        continue;
      }
      const twin = given.get(field);
      if (twin !== undefined) this.#tell(at, `is the field that ${JSON.stringify(twin)} is`);
      given.set(field, name);
      if (value === null && !isSoleNull(field)) continue;
      const rival = field.oneof === null ? undefined : chosen.get(field.oneof);
      if (rival !== undefined) this.#tell(at, `excludes ${JSON.stringify(rival)}: only one of them can be set`);
      if (field.oneof !== null) chosen.set(field.oneof, name);
      this.field(writer, field, value, at);
    }
  }

  field(writer: WireWriter, field: Field, value: Json, path: ValuePath): void {
    const entry = field.kind === 'message' ? this.#type(field.typeName) : undefined;
    if (entry?.isMapEntry === true) this.#map(writer, field, entry, value, path);
    else if (!field.repeated) this.#single(writer, field, value, path);
    else if (!Array.isArray(value)) this.#refuse(path, value, 'a list');
    else if (field.packed) this.#packed(writer, field, value, path);
    else this.#repeated(writer, field, value, path);
  }

  #repeated(writer: WireWriter, field: Field, items: readonly Json[], path: ValuePath): void {
    for (const [index, item] of items.entries()) this.#single(writer, field, item, [...path, index]);
  }

  #packed(writer: WireWriter, field: Field, items: readonly Json[], path: ValuePath): void {
    const packed = new WireWriter();
    for (const [index, item] of items.entries()) this.#scalar(packed, field, item, [...path, index]);
    if (items.length > 0) writer.tag(field.number, wireTypes.bytes).bytes(packed.finish());
  }

  #single(writer: WireWriter, field: Field, value: Json, path: ValuePath): void {
    if (this.mistakes.length >= maxMistakes) return;
    if (field.kind === 'message') {
      writer.tag(field.number, wireTypes.bytes).bytes(this.message(field.typeName, value, path));
    } else {
      writer.tag(field.number, wireTypeOf(field.kind));
      this.#scalar(writer, field, value, path);
    }
  }

  #scalar(writer: WireWriter, field: Field, value: Json, path: ValuePath): void {
    const expected = encodeScalar(writer, field.kind, value, this.#descriptors.enums.get(field.typeName));
    if (expected !== null) this.#refuse(path, value, expected);
  }

  #map(writer: WireWriter, field: Field, entry: MessageType, value: Json, path: ValuePath): void {
    const [keyField, valueField] = [entry.byNumber.get(1), entry.byNumber.get(2)];
    if (!isObject(value) || keyField === undefined || valueField === undefined) {
      this.#refuse(path, value, 'an object');
      return;
    }
    for (const [key, item] of value) {
      const written = new WireWriter();
      // Names are text, whatever the keys are.
      this.#single(written, keyField, new JsonParameter(key), [...path, key]);
      this.#single(written, valueField, item, [...path, key]);
      writer.tag(field.number, wireTypes.bytes).bytes(written.finish());
    }
  }

  #special(typeName: string): ((writer: WireWriter, json: Json, path: ValuePath) => void) | undefined {
    if (wrapperTypes.has(typeName)) return (writer, json, path) => this.#wrapper(writer, typeName, json, path);
    switch (typeName) {
      case 'google.protobuf.Timestamp':
        return (writer, json, path) =>
          this.#seconds(writer, json, path, parseTimestamp, 'a time such as 2030-01-31T23:59:59Z');
      case 'google.protobuf.Duration':
        return (writer, json, path) => this.#seconds(writer, json, path, parseDuration, 'a duration such as "1.5s"');
      case 'google.protobuf.FieldMask':
        return (writer, json, path) => this.#fieldMask(writer, json, path);
      case 'google.protobuf.Struct':
        return (writer, json, path) => this.#struct(writer, json, path);
      case 'google.protobuf.ListValue':
        return (writer, json, path) => this.#list(writer, json, path);
      case 'google.protobuf.Value':
        return (writer, json, path) => this.#value(writer, json, path);
      case 'google.protobuf.Any':
        return (writer, json, path) => this.#any(writer, json, path);
      default:
        return undefined;
    }
  }

  #wrapper(writer: WireWriter, typeName: string, json: Json, path: ValuePath): void {
    const field = this.#type(typeName).byNumber.get(1);
    if (field !== undefined) this.#single(writer, field, json, path);
  }

  #seconds(
    writer: WireWriter,
    json: Json,
    path: ValuePath,
    parse: (text: string) => Seconds | null,
    expected: string,
  ): void {
    const text = textOf(json);
    const parsed = text === null ? null : parse(text);
    if (parsed === null) {
      this.#refuse(path, json, expected);
      return;
    }
    if (parsed.seconds !== 0n) writer.tag(1, wireTypes.varint).uint64(parsed.seconds);
    if (parsed.nanos !== 0) writer.tag(2, wireTypes.varint).uint64(BigInt(parsed.nanos));
  }

  #fieldMask(writer: WireWriter, json: Json, path: ValuePath): void {
    const text = textOf(json);
    const paths = text === null ? null : parseFieldMask(text);
    if (paths === null) this.#refuse(path, json, 'names of fields with commas between them');
    for (const each of paths ?? []) writer.tag(1, wireTypes.bytes).text(each);
  }

  #struct(writer: WireWriter, json: Json, path: ValuePath): void {
    if (!isObject(json)) {
      this.#refuse(path, json, 'an object');
      return;
    }
    for (const [name, value] of json) {
      const entry = new WireWriter();
      const expected = encodeScalar(entry.tag(1, wireTypes.bytes), 'string', name, undefined);
      if (expected !== null) this.#refuse([...path, name], name, expected);
      entry.tag(2, wireTypes.bytes).bytes(this.message('google.protobuf.Value', value, [...path, name]));
      writer.tag(1, wireTypes.bytes).bytes(entry.finish());
    }
  }

  #list(writer: WireWriter, json: Json, path: ValuePath): void {
    if (!Array.isArray(json)) {
      this.#refuse(path, json, 'a list');
      return;
    }
    (json as readonly Json[]).forEach((item, index) => {
      writer.tag(1, wireTypes.bytes).bytes(this.message('google.protobuf.Value', item, [...path, index]));
    });
  }

  #value(writer: WireWriter, json: Json, path: ValuePath): void {
    let expected: string | null = null;
    if (json === null) writer.tag(1, wireTypes.varint).uint32(0);
    else if (json instanceof JsonNumber)
      expected = encodeScalar(writer.tag(2, wireTypes.fixed64), 'double', json, undefined);
    else if (typeof json === 'boolean') writer.tag(4, wireTypes.varint).uint32(json ? 1 : 0);
    else if (isObject(json)) {
      const fields = new WireWriter();
      this.#struct(fields, json, path);
      writer.tag(5, wireTypes.bytes).bytes(fields.finish());
    } else if (Array.isArray(json)) {
      const items = new WireWriter();
      this.#list(items, json, path);
      writer.tag(6, wireTypes.bytes).bytes(items.finish());
    } else expected = encodeScalar(writer.tag(3, wireTypes.bytes), 'string', json, undefined);
    if (expected !== null) this.#refuse(path, json, expected);
  }

  #any(writer: WireWriter, json: Json, path: ValuePath): void {
    const url = isObject(json) ? json.get('@type') : undefined;
    if (!isObject(json) || typeof url !== 'string') {
      this.#refuse(path, json, 'an object with `@type`');
      return;
    }
    const typeName = url.slice(url.lastIndexOf('/') + 1);
    if (!this.#descriptors.messages.has(typeName) || !url.includes('/')) {
      this.#tell([...path, '@type'], `expected the URL of a type that is known here, got ${show(url)}`);
      return;
    }
    const isSpecial = this.#special(typeName) !== undefined;
    const rest = new Map([...json].filter(([name]) => name !== '@type'));
    for (const name of isSpecial ? rest.keys() : []) {
      if (name !== 'value') this.#tell([...path, name], `the JSON of ${typeName} in an Any is \`value\` alone`);
    }
    const bytes = isSpecial
      ? this.message(typeName, rest.get('value') ?? null, [...path, 'value'])
      : this.message(typeName, rest, path);
    writer.tag(1, wireTypes.bytes).text(url).tag(2, wireTypes.bytes).bytes(bytes);
  }

  #type(name: string): MessageType {
    const type = this.#descriptors.messages.get(name);
    if (type === undefined) throw new TypeError(`no message ${name}`);
    return type;
  }

  #refuse(path: ValuePath, value: Json, expected: string): void {
    this.#tell(path, `expected ${expected}, got ${describe(value)}`);
  }

  #tell(path: ValuePath, message: string): void {
    if (this.mistakes.length < maxMistakes) this.mistakes.push({ path, message });
  }
}

function isObject(json: Json | undefined): json is JsonObject {
  return json instanceof Map;
}

function textOf(json: Json): string | null {
  if (typeof json === 'string') return json;
  return json instanceof JsonParameter ? json.text : null;
}

function describe(value: Json): string {
  if (isObject(value)) return 'an object';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof JsonNumber) return value.text.slice(0, 40);
  return show(value instanceof JsonParameter ? value.text : value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}
