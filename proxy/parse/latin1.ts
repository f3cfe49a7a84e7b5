/** Node's own single-purpose methods; `toString('latin1', …)` and its kin reach them after a switch over encodings. */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
  utf8Write(text: string, offset: number): number;
}

/** Bytes as a string in which character n is byte n: the only encoding in which heads survive unchanged. */
export function latin1(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as Latin1Buffer).latin1Slice(start, end);
}

/**
 * V8 keeps a text that was put together as a tree of its parts, and walks it whenever the text goes into a longer one that is
 * written. Who asks for a character makes it one piece, for good. The answer must be able to matter: that no text here has
 * a character above 0xff V8 does not know; that none has -1 it does, and never looks once the caller is optimised.
 */
export function inOnePiece(text: string): string {
  return text.charCodeAt(0) > 0xff ? '' : text;
}

/** A text of its own: a part of a head, kept, would keep all of it. */
export function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** The other way round, for text that came so. @returns bytes written */
export function writeLatin1(buffer: Buffer, text: string, offset: number): number {
  return (buffer as unknown as Latin1Buffer).latin1Write(text, offset);
}

/** Text of any kind. @returns bytes written: as many as it has characters when it is ASCII, never more than there is room for */
export function writeUtf8(buffer: Buffer, text: string, offset: number): number {
  return (buffer as unknown as Latin1Buffer).utf8Write(text, offset);
}
