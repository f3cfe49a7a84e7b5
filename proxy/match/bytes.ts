/**
 * Paths are matched as strings of bytes: each character stands for one byte of the request (U+0000 to U+00FF), as nginx
 * matches them. So nothing that a client can send is lost or made equal to something else, whatever its encoding.
 * This turns text of a table row into the same form; ASCII text comes back as it is.
 */
export function toBytes(text: string): string {
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** Percent-decodes once, to a string of bytes. @returns null on a `%` that two hexadecimal digits do not follow */
export function percentDecode(text: string): string | null {
  let from = 0;
  let decoded = '';
  for (let at = text.indexOf('%'); at >= 0; at = text.indexOf('%', from)) {
    const high = hexValue(text.charCodeAt(at + 1));
    const low = hexValue(text.charCodeAt(at + 2));
    if (high < 0 || low < 0) return null;
    decoded += text.slice(from, at) + String.fromCharCode(high * 16 + low);
    from = at + 3;
  }
  return from === 0 ? text : decoded + text.slice(from);
}

/**
 * Writes a decoded path as it may stand in a request line: what RFC 3986 §3.3 does not allow in a path is percent-encoded.
 * @param path bytes; a `%` is data here and becomes `%25`
 */
export function percentEncodePath(path: string): string {
  if (/^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/.test(path)) return path;
  return path.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g, encodeByte);
}

function encodeByte(byte: string): string {
  const code = byte.charCodeAt(0);
  return `%${code < 16 ? '0' : ''}${code.toString(16).toUpperCase()}`;
}

/** Value of the hexadecimal digit with this character code; -1 for any other character. */
function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 65 && code <= 70) return code - 55;
  if (code >= 97 && code <= 102) return code - 87;
  return -1;
}
