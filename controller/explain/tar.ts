/** Files by path as a tar archive (POSIX ustar), not compressed. Paths are ASCII and at most 100 characters long. */
export function tarOf(files: ReadonlyMap<string, string>, nowMs: number): Buffer {
  const parts: Buffer[] = [];
  for (const [path, text] of files) {
    const bytes = Buffer.from(text);
    parts.push(headOf(path, bytes.length, nowMs), bytes, Buffer.alloc(-bytes.length & (blockSize - 1)));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * blockSize)]);
}

const blockSize = 512;

function headOf(path: string, size: number, nowMs: number): Buffer {
  const head = Buffer.alloc(blockSize);
  const octal = (value: number, width: number) =>
    `${Math.floor(value)
      .toString(8)
      .padStart(width - 1, '0')}\0`;
  head.write(path, 0, 100, 'ascii');
  head.write(octal(0o600, 8), 100);
  head.write(octal(0, 8) + octal(0, 8), 108);
  head.write(octal(size, 12) + octal(nowMs / 1_000, 12), 124);
  // The sum is taken with blanks in its own place.
  head.write('        0', 148);
  head.write('ustar\x0000', 257);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return head;
}
