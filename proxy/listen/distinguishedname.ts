/**
 * A name in the form of RFC 2253, as nginx writes it: `CN=alice,OU=shop,O=Acme`.
 *
 * @param lines as node:crypto writes it: one element per line, from the widest to the narrowest, special characters escaped
 */
export function rfc2253(lines: string): string {
  return lines
    .split('\n')
    .map((element) =>
      element
        // A plus of a value has a backslash right before it.
        .split(' + ')
        .reverse()
        .join('+'),
    )
    .reverse()
    .join(',')
    .replace(/[^\x20-\x7e]/gu, escaped);
}

/** Bytes of a character beyond ASCII, as `\C3\A4`. */
function escaped(character: string): string {
  return [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
