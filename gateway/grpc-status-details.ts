/** What a service tells of an error beside its message: `google.rpc.Status` in `grpc-status-details-bin`. */
import type { Descriptors } from '../subgraphs/protobuf/descriptors.ts';
import { WireError, WireReader, wireTypes } from '../subgraphs/protobuf/wire.ts';
import { decodeToJson, type JsonStyle } from '../subgraphs/protobuf/wire-to-json.ts';

const maxDetails = 50;

/** The details as JSON with `@type`. What cannot be read is left out: the error itself matters more. */
export function decodeStatusDetails(descriptors: Descriptors, base64: string, style: JsonStyle): unknown[] {
  try {
    const details: unknown[] = [];
    const status = new WireReader(Buffer.from(base64, 'base64'));
    while (!status.isAtEnd && details.length < maxDetails) {
      const { field, type } = status.tag();
      if (field === 3 && type === wireTypes.bytes) details.push(decodeAny(descriptors, status.bytes(), style));
      else status.skip(type);
    }
    return details;
  } catch (thrown) {
    if (thrown instanceof WireError) return [];
    throw thrown;
  }
}

/** The set of a service need not have `google.protobuf.Any`, nor the types of its details. */
function decodeAny(descriptors: Descriptors, bytes: Buffer, style: JsonStyle): unknown {
  let url = '';
  let value = Buffer.alloc(0);
  const reader = new WireReader(bytes);
  while (!reader.isAtEnd) {
    const { field, type } = reader.tag();
    if (type !== wireTypes.bytes) reader.skip(type);
    else if (field === 1) url = reader.bytes().toString();
    else value = Buffer.from(reader.bytes());
  }
  const name = url.slice(url.lastIndexOf('/') + 1);
  if (!descriptors.messages.has(name)) return { '@type': url, value: value.toString('base64') };
  return { '@type': url, ...(decodeToJson(descriptors, name, value, style) as object) };
}
