import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildCloseFrame, FrameTracker } from '../../gateway/websocket-frames.ts';
import { createRandom } from '../support/random.ts';

function buildFrame(opcode: number, length: number, masked: boolean): Buffer {
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended + (masked ? 4 : 0), 0xff);
  head[0] = 0x80 | opcode;
  head[1] = (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  // A payload that looks like frames.
  return Buffer.concat([head, Buffer.alloc(length, 0x88)]);
}

test('the ends of frames are found, however the bytes are cut', () => {
  const random = createRandom(7);
  const lengths = [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000];
  for (let round = 0; round < 200; round++) {
    const frames = Array.from({ length: 1 + Math.floor(random() * 5) }, () =>
      buildFrame(Math.floor(random() * 3), lengths[Math.floor(random() * lengths.length)] ?? 0, random() < 0.5),
    );
    const ends = new Set<number>();
    let total = 0;
    for (const frame of frames) {
      total += frame.length;
      ends.add(total);
    }
    const stream = Buffer.concat(frames);
    const tracker = new FrameTracker();
    const found: number[] = [];
    for (let at = 0; at < stream.length; ) {
      const piece = stream.subarray(at, at + 1 + Math.floor(random() * (round % 2 === 0 ? 20 : 100_000)));
      for (let done = 0; done < piece.length; ) {
        done += tracker.advance(piece.subarray(done), true);
        if (tracker.isBetween) found.push(at + done);
      }
      at += piece.length;
    }
    assert.deepEqual(found, [...ends]);
    assert.equal(tracker.closed, false);
  }
});

test('a Close frame is noticed when it has passed whole', () => {
  for (const masked of [true, false]) {
    const frame = Buffer.concat([buildFrame(2, 5, masked), buildCloseFrame(1001, masked)]);
    const tracker = new FrameTracker();
    tracker.advance(frame.subarray(0, -1));
    assert.equal(tracker.closed, false);
    tracker.advance(frame.subarray(-1));
    assert.equal(tracker.closed, true);
    assert.equal(tracker.isBetween, true);
  }
});

test('a Close frame carries its status, masked anew each time for servers', () => {
  assert.deepEqual([...buildCloseFrame(1001, false)], [0x88, 2, 0x03, 0xe9]);
  const [first, second] = [buildCloseFrame(1001, true), buildCloseFrame(1001, true)];
  assert.deepEqual([...first.subarray(0, 2)], [0x88, 0x82]);
  assert.deepEqual([(first[6] ?? 0) ^ (first[2] ?? 0), (first[7] ?? 0) ^ (first[3] ?? 0)], [0x03, 0xe9]);
  assert.notDeepEqual(first, second);
});
