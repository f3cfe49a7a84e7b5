/**
 * How many requests of HTTP/1 somebody finds in the bytes of a client who reads nothing into them: it stops at the first head
 * or framing that two servers could read differently (RFC 9112 §2.2, §5, §6, §7.1). More than these must not be forwarded.
 *
 * @param text one character for each byte
 */
export function plainRequests(text: string): number {
  let rest = text;
  for (let count = 0; ; count++) {
    rest = rest.replace(/^(?:\r\n)+/, '');
    const head = plainHead.exec(rest)?.[0];
    if (head === undefined) return count;
    const lengths = valuesOf(head, 'content-length');
    const codings = valuesOf(head, 'transfer-encoding');
    if (lengths.length + codings.length > 1 || valuesOf(head, 'host').length > 1) return count;
    if (!lengths.every((value) => /^\d+$/.test(value)) || !codings.every((value) => /^chunked$/i.test(value)))
      return count;
    rest = rest.slice(head.length);
    if (codings.length === 0) rest = rest.slice(Number(lengths[0] ?? 0));
    else {
      const body = afterChunks(rest);
      // Its head may be on its way when the body turns out to be none.
      if (body === null) return count + 1;
      rest = body;
    }
  }
}

const plainHead =
  /^[!#$%&'*+.^_`|~\w-]+ [!-~\x80-\xff]+ HTTP\/1\.\d\r\n(?:[!#$%&'*+.^_`|~\w-]+:[\t -~\x80-\xff]*\r\n)*\r\n/;

function valuesOf(head: string, name: string): string[] {
  const lines = head.split('\r\n').filter((line) => line.toLowerCase().startsWith(`${name}:`));
  return lines.map((line) => line.slice(name.length + 1).replace(/^[ \t]+|[ \t]+$/g, ''));
}

/** What follows a chunked body; null: it is cut off, or none. */
function afterChunks(text: string): string | null {
  let rest = text;
  for (;;) {
    const size = /^([0-9a-f]+)[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n/i.exec(rest);
    if (size === null) return null;
    rest = rest.slice(size[0].length);
    const bytes = Number.parseInt(size[1] ?? '', 16);
    if (bytes === 0) break;
    if (rest.slice(bytes, bytes + 2) !== '\r\n') return null;
    rest = rest.slice(bytes + 2);
  }
  const trailers = /^(?:[!#$%&'*+.^_`|~\w-]+:[\t -~\x80-\xff]*\r\n)*\r\n/.exec(rest);
  return trailers === null ? null : rest.slice(trailers[0].length);
}
