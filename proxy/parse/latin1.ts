/** Node's own single-purpose slice; `toString('latin1', …)` reaches it after a switch over encodings. */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string;
}

/** Bytes as a string in which character n is byte n: the only encoding in which heads survive unchanged. */
export function latin1(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as Latin1Buffer).latin1Slice(start, end);
}
