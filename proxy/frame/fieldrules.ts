import { isTargetByte, isValueByte, nameClass } from '../parse/chars.ts';
import { latin1 } from '../parse/latin1.ts';
import { nameIdOf, nameIds, unusualIdOf } from '../parse/names.ts';

/** Pseudo-header fields (RFC 9113 §8.3, RFC 8441 §4) as bits, so that repeats and absences are one comparison. */
export const pseudoIds = {
  none: 0,
  method: 1,
  scheme: 2,
  authority: 4,
  path: 8,
  protocol: 16,
  status: 32,
  /** Begins with a colon and is none of these. */
  unknown: 64,
} as const;

const pseudoByName = new Map<string, number>([
  [':method', pseudoIds.method],
  [':scheme', pseudoIds.scheme],
  [':authority', pseudoIds.authority],
  [':path', pseudoIds.path],
  [':protocol', pseudoIds.protocol],
  [':status', pseudoIds.status],
]);

/** Classes of bytes of a field name in HTTP/2: the same but for upper case (RFC 9113 §8.2.1). */
const lowerNameClass = nameClass.slice();
lowerNameClass.fill(0, 0x41, 0x5b);

/** Fields that speak of a connection have no place here (RFC 9113 §8.2.2). */
const isConnectionSpecific = new Uint8Array(64);
for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'] as const) {
  isConnectionSpecific[nameIds[name]] = 1;
}

/** A name that is none: upper case, spaces, controls, nothing at all, or a connection's. */
export const malformedName = -1;

/** @returns what the name in `bytes[start, end)` is: a nameId, or malformedName. Not for pseudo-header fields */
export function fieldIdOf(bytes: Uint8Array, start: number, end: number): number {
  if (end === start) return malformedName;
  let seen = 0;
  for (let i = start; i < end; i++) {
    const kind = lowerNameClass[bytes[i] as number] as number;
    if (kind === 0) return malformedName;
    seen |= kind;
  }
  if (seen !== 1) return unusualIdOf(seen);
  const id = nameIdOf(bytes, start, end);
  return isConnectionSpecific[id] === 1 ? malformedName : id;
}

/** @returns which pseudo-header field the name in `bytes[start, end)` is */
export function pseudoIdOf(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] !== 0x3a || end === start) return pseudoIds.none;
  return pseudoByName.get(latin1(bytes, start, end)) ?? pseudoIds.unknown;
}

/** No controls, no white space at either end (RFC 9113 §8.2.1); of TE only what says something end to end (§8.2.2). */
export function isFieldValue(id: number, bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (isValueByte[bytes[i] as number] === 0) return false;
  if (end > start && (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number))) return false;
  return id !== nameIds.te || latin1(bytes, start, end) === 'trailers';
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09;
}

/** What a pseudo-header field can hold at all; the authority is looked at more closely by whoever routes by it. */
export function isPseudoValue(pseudo: number, bytes: Buffer, start: number, end: number): boolean {
  if (end === start) return false;
  switch (pseudo) {
    case pseudoIds.path:
      // Origin form, or the asterisk of OPTIONS (RFC 9113 §8.3.1).
      if (bytes[start] !== 0x2f && !(bytes[start] === 0x2a && end === start + 1)) return false;
      return areAll(isTargetByte, bytes, start, end);
    case pseudoIds.authority:
      return areAll(isTargetByte, bytes, start, end);
    case pseudoIds.method:
    case pseudoIds.protocol:
      return areAll(nameClass, bytes, start, end);
    case pseudoIds.scheme: {
      const scheme = latin1(bytes, start, end);
      return scheme === 'http' || scheme === 'https';
    }
    case pseudoIds.status: {
      const first = bytes[start] as number;
      return (
        end === start + 3 && first > 0x30 && isDigit(first) && isDigit(bytes[start + 1]) && isDigit(bytes[start + 2])
      );
    }
    default:
      return false;
  }
}

function areAll(table: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (table[bytes[i] as number] === 0) return false;
  return true;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
