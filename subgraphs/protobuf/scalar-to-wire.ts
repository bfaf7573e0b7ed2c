/** Scalars of JSON on the wire. */
import type { EnumType, Field, FieldKind } from './descriptors.ts';
import { type Json, JsonNumber, JsonParameter } from './json-text.ts';
import { type WireWriter, wireTypes } from './wire.ts';

/** How values of a kind are written. */
export function wireTypeOf(kind: FieldKind): number {
  if (kind === 'double' || kind === 'fixed64' || kind === 'sfixed64') return wireTypes.fixed64;
  if (kind === 'float' || kind === 'fixed32' || kind === 'sfixed32') return wireTypes.fixed32;
  return kind === 'string' || kind === 'bytes' || kind === 'message' ? wireTypes.bytes : wireTypes.varint;
}

/** Whether `null` is a value of the field and not its absence. */
export function isSoleNull({ typeName }: Field): boolean {
  return typeName === 'google.protobuf.Value' || typeName === 'google.protobuf.NullValue';
}

const ranges: Partial<Readonly<Record<FieldKind, readonly [bigint, bigint]>>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  sfixed32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sint64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
};
const largestFloat = 3.402_823_466_385_288_6e38;

/** Writes a value without its tag. Null, or what was expected instead. */
export function encodeScalar(
  writer: WireWriter,
  kind: FieldKind,
  value: Json,
  enumType: EnumType | undefined,
): string | null {
  switch (kind) {
    case 'string':
      return encodeText(writer, value);
    case 'bytes':
      return encodeBytes(writer, value);
    case 'bool':
      return encodeBoolean(writer, value);
    case 'enum':
      return encodeEnum(writer, value, enumType);
    case 'double':
    case 'float':
      return encodeFloat(writer, value, kind);
    default:
      return encodeInteger(writer, value, kind);
  }
}

function encodeText(writer: WireWriter, value: Json): string | null {
  const text = value instanceof JsonParameter ? value.text : value;
  if (typeof text !== 'string') return 'a text';
  if (!text.isWellFormed()) return 'a text without half characters';
  writer.text(text);
  return null;
}

function encodeBytes(writer: WireWriter, value: Json): string | null {
  const text = value instanceof JsonParameter ? value.text : value;
  if (typeof text !== 'string' || !isBase64(text)) return 'bytes in base64';
  writer.bytes(Buffer.from(text, 'base64'));
  return null;
}

function isBase64(text: string): boolean {
  const length = text.replace(/={1,2}$/, '').length;
  return length % 4 !== 1 && /^[A-Za-z0-9+/_-]*={0,2}$/.test(text);
}

function encodeBoolean(writer: WireWriter, value: Json): string | null {
  const truth = value instanceof JsonParameter ? parseBoolean(value.text) : value;
  if (typeof truth !== 'boolean') return 'true or false';
  writer.uint32(truth ? 1 : 0);
  return null;
}

function parseBoolean(text: string): boolean | null {
  return text === 'true' ? true : text === 'false' ? false : null;
}

function encodeEnum(writer: WireWriter, value: Json, type: EnumType | undefined): string | null {
  const text = value instanceof JsonParameter ? value.text : value;
  const named = typeof text === 'string' ? type?.byName.get(text) : text === null ? 0 : undefined;
  const code = named === undefined && typeof value !== 'string' ? parseInteger(value, 'int32') : named;
  if (code === undefined || code === null) {
    const names = [...(type?.byName.keys() ?? [])];
    return `one of ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', ...' : ''}`;
  }
  writer.uint64(BigInt(code));
  return null;
}

function encodeFloat(writer: WireWriter, value: Json, kind: 'double' | 'float'): string | null {
  const number = parseFloatingPoint(value);
  if (number === null || (kind === 'float' && Number.isFinite(number) && Math.abs(number) > largestFloat)) {
    return `a number (${kind})`;
  }
  const bytes = Buffer.alloc(kind === 'double' ? 8 : 4);
  if (kind === 'double') bytes.writeDoubleLE(number);
  else bytes.writeFloatLE(number);
  writer.raw(bytes);
  return null;
}

function parseFloatingPoint(value: Json): number | null {
  const text = numberText(value);
  if (text === null) return null;
  if (!(value instanceof JsonNumber) && /^(?:NaN|-?Infinity)$/.test(text)) return Number(text);
  if (!/^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)) return null;
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}

function encodeInteger(writer: WireWriter, value: Json, kind: FieldKind): string | null {
  const number = parseInteger(value, kind);
  if (number === null) return `a whole number (${kind})`;
  switch (kind) {
    case 'sint32':
    case 'sint64':
      writer.uint64(number >= 0n ? 2n * number : -2n * number - 1n);
      break;
    case 'fixed32':
    case 'sfixed32': {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(Number(BigInt.asUintN(32, number)));
      writer.raw(bytes);
      break;
    }
    case 'fixed64':
    case 'sfixed64': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, number));
      writer.raw(bytes);
      break;
    }
    default:
      writer.uint64(number);
  }
  return null;
}

/** Null for what is no whole number, or none of this kind. `1e3` and `1.0` are whole. */
function parseInteger(value: Json, kind: FieldKind): bigint | null {
  const text = numberText(value);
  const [least, most] = ranges[kind] ?? [0n, 0n];
  if (text === null || text.length > 40) return null;
  let number: bigint;
  if (/^-?\d+$/.test(text)) number = BigInt(text);
  else if (/^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) && Number.isSafeInteger(Number(text))) {
    number = BigInt(Number(text));
  } else return null;
  return number < least || number > most ? null : number;
}

function numberText(value: Json): string | null {
  if (value instanceof JsonNumber || value instanceof JsonParameter) return value.text;
  return typeof value === 'string' ? value : null;
}
