/** Byte classes of RFC 9110 §5 and RFC 9112 §3 as lookup tables: one load per byte in the parsers. */

/**
 * Class of a byte inside a field name: 0 not allowed, 1 letter, digit or dash, 3 underscore, 5 another tchar. Names with these two
 * are allowed by RFC 9110, and dropped by us as nginx does.
 */
export const nameClass = new Uint8Array(256);
/** 1 for bytes of a field value: HTAB, SP, VCHAR, obs-text. CR, LF, NUL and other controls are 0. */
export const isValueByte = new Uint8Array(256);
/** 1 for bytes of a request target: visible ASCII but `#` (RFC 9112 §3.2: no fragment) and nothing raw above 0x7e. */
export const isTargetByte = new Uint8Array(256);
/** Bytes of `HTTP/1.`, with which every status line begins and every request line ends. */
export const httpOne: readonly number[] = [...'HTTP/1.'].map((char) => char.charCodeAt(0));
/** Value of a hex digit, -1 for others. */
export const hexValue = new Int8Array(256).fill(-1);

for (const char of '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz') {
  nameClass[char.charCodeAt(0)] = 1;
}
nameClass[0x5f] = 3;
for (const char of "!#$%&'*+.^`|~") nameClass[char.charCodeAt(0)] = 5;
isValueByte[9] = 1;
for (let byte = 0x20; byte < 0x100; byte++) if (byte !== 0x7f) isValueByte[byte] = 1;
for (let byte = 0x21; byte < 0x7f; byte++) if (byte !== 0x23) isTargetByte[byte] = 1;
for (let digit = 0; digit < 16; digit++) {
  hexValue[digit.toString(16).charCodeAt(0)] = digit;
  hexValue[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}
