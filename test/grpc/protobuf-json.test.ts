import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Descriptors, parseDescriptors } from '../../subgraphs/protobuf/descriptors.ts';
import { parseJsonText } from '../../subgraphs/protobuf/json-text.ts';
import { encodeJson } from '../../subgraphs/protobuf/json-to-wire.ts';
import { WireError } from '../../subgraphs/protobuf/wire.ts';
import { decodeToJson } from '../../subgraphs/protobuf/wire-to-json.ts';
import { createRandom } from '../support/random.ts';
import { compileOrders } from './orders.ts';

const style = { emitDefaults: false, protoNames: false };
const set = Buffer.from(await compileOrders(), 'base64');
const descriptors: Descriptors = parseDescriptors(set);

function encode(type: string, json: unknown): Buffer {
  const encoded = encodeJson(descriptors, type, parseJsonText(Buffer.from(JSON.stringify(json))));
  assert.ok('bytes' in encoded, JSON.stringify(encoded));
  return encoded.bytes;
}

test('numbers of 64 bits are keys of maps, and names that objects inherit are fields like others', () => {
  const json = parseJsonText(
    Buffer.from(
      `{"byNumber":{"-5":{"sku":"five"},"9223372036854775807":{}},"counts":{"__proto__":3,"toString":4},"extra":{"__proto__":1,"constructor":"x"}}`,
    ),
  );
  const encoded = encodeJson(descriptors, 'shop.v1.Order', json);
  assert.ok('bytes' in encoded);
  assert.equal(
    JSON.stringify(decodeToJson(descriptors, 'shop.v1.Order', encoded.bytes, style)),
    '{"extra":{"__proto__":1,"constructor":"x"},"counts":{"__proto__":3,"toString":4},"byNumber":{"-5":{"sku":"five"},"9223372036854775807":{}}}',
  );
});

test('bytes that are no message are refused, whatever they are', () => {
  const random = createRandom(1);
  const whole = encode('shop.v1.Order', {
    orderId: 'x',
    items: [{ sku: 'a', quantity: 3 }],
    extra: { a: [1, { b: null }] },
    createdAt: '2030-01-31T23:59:59Z',
    attachment: { '@type': 'x.y/shop.v1.Item', sku: 'in' },
    parent: { orderId: 'p', signed: [1, -1] },
  });
  for (let round = 0; round < 5_000; round++) {
    const bytes = Buffer.from(whole.subarray(0, 1 + Math.floor(random() * whole.length)));
    for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      JSON.stringify(decodeToJson(descriptors, 'shop.v1.Order', bytes, style));
    } catch (thrown) {
      assert.ok(thrown instanceof WireError, String(thrown));
    }
  }
});

test('descriptor sets that are cut or changed are refused with a reason, and nothing else happens', () => {
  const random = createRandom(2);
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(set.subarray(0, 1 + Math.floor(random() * set.length)));
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      parseDescriptors(bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof WireError, String(thrown));
    }
  }
});

test('a message that nests itself deeper than anybody means is refused', () => {
  let bytes: Buffer = Buffer.alloc(0);
  for (let depth = 0; depth < 150; depth++) {
    const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
    bytes = Buffer.concat([Buffer.from([0xc2, 0x01, ...length]), bytes]);
  }
  assert.throws(() => decodeToJson(descriptors, 'shop.v1.Order', bytes, style), WireError);
});
