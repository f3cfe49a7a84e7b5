/** Node's own single-purpose slice; `toString('latin1', …)` reaches it after a switch over encodings. */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
}

/** Bytes as a string in which character n is byte n: the only encoding in which heads survive unchanged. */
export function latin1(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as Latin1Buffer).latin1Slice(start, end);
}

/** The other way round, for text that came so. @returns bytes written */
export function writeLatin1(buffer: Buffer, text: string, offset: number): number {
  return (buffer as unknown as Latin1Buffer).latin1Write(text, offset);
}
