/** A copy that is not out of Buffer's pool: what waits for long would keep a slab of 64 KiB alive, of which it may be a small part. */
export function unpooled(buffer: Buffer, start: number, end: number): Buffer {
  return joined(nothing, buffer, start, end);
}

/** Bytes and the range behind them, as such a copy. */
export function joined(before: Buffer, buffer: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(before.length + end - start);
  before.copy(copy);
  buffer.copy(copy, before.length, start, end);
  return copy;
}

const nothing = Buffer.alloc(0);
