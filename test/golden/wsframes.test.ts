import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameTracker } from '../../proxy/parse/wsframes.ts';

/** One frame with a payload of that many bytes. */
function frame(length: number, isMasked: boolean): Buffer {
  const mask = isMasked ? 0x80 : 0;
  const extended = Buffer.alloc(length < 126 ? 0 : length < 65_536 ? 2 : 8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const short = extended.length === 0 ? length : extended.length === 2 ? 126 : 127;
  return Buffer.concat([
    Buffer.from([0x82, mask | short]),
    extended,
    Buffer.alloc(isMasked ? 4 : 0, 0xff),
    Buffer.alloc(length, 0x7f),
  ]);
}

const frames = fc.array(
  fc.record({
    length: fc.oneof(fc.nat(130), fc.constantFrom(0, 125, 126, 65_535, 65_536, 70_000)),
    isMasked: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
);

test('however the bytes are cut, every boundary is seen and nothing else', () => {
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 20 }),
      (list, cuts) => {
        const pieces = list.map(({ length, isMasked }) => frame(length, isMasked));
        const bytes = Buffer.concat(pieces);
        const expected = new Set<number>();
        let total = 0;
        for (const piece of pieces) {
          total += piece.length;
          expected.add(total);
        }
        const seen = new Set<number>();
        const tracker = new FrameTracker();
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const end = Math.min(bytes.length, at + (cuts[i % cuts.length] as number));
          while (at < end) {
            at = tracker.toBoundary(bytes, at, end);
            if (tracker.isBetween) seen.add(at);
          }
        }
        assert.deepEqual(seen, expected);
      },
    ),
  );
});

test('what is no frame ends nowhere by itself', () => {
  const tracker = new FrameTracker();
  const noise = Buffer.from([0x81, 0xff, ...Array(8).fill(0xff), 1, 2, 3, 4, 5]);
  tracker.feed(noise, 0, noise.length);
  assert.equal(tracker.isBetween, false);
});
