/** One response, read strictly: what a careful client may rely on. Text is latin1. */
export interface RawResponse {
  version: string;
  status: number;
  fields: [name: string, value: string][];
  head: string;
  body: Buffer;
  trailers: string[];
  framing: 'none' | 'length' | 'chunked' | 'close';
  /** Statuses of the 1xx responses before it. */
  interims: number[];
  /** false: the connection ended before the framing said so. */
  isComplete: boolean;
}

/** The bytes are not a valid response. Tests fail by it: the gateway must never emit such a thing. */
export class MalformedResponse extends Error {}

/** Methods of the requests whose responses are expected, in order; what is not told is a GET. */
export type Methods = readonly string[];

/**
 * Reads all responses in the bytes of a whole connection, strictly by RFC 9112: exact status line, CRLF everywhere, no
 * Content-Length beside Transfer-Encoding, exact chunks. Leftover bytes that are no response are malformed.
 */
export function readResponses(bytes: Buffer, isEnded: boolean, methods: Methods = []): RawResponse[] {
  const responses: RawResponse[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const read = readOne(bytes, offset, isEnded, methods[responses.length] ?? 'GET');
    if (read === null) break;
    responses.push(read.response);
    offset = read.end;
  }
  return responses;
}

const statusLine = /^HTTP\/1\.([01]) (\d{3}) ([\t\x20-\x7e\x80-\xff]*)$/;
const fieldLine =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/;

interface Read {
  response: RawResponse;
  end: number;
}

function readOne(bytes: Buffer, start: number, isEnded: boolean, method: string): Read | null {
  const interims: number[] = [];
  let offset = start;
  for (;;) {
    const headEnd = bytes.indexOf('\r\n\r\n', offset, 'latin1');
    if (headEnd === -1) {
      if (isEnded && offset < bytes.length) {
        throw new MalformedResponse(`the connection ended inside a head: ${preview(bytes, offset)}`);
      }
      return null;
    }
    const response = readHead(bytes.toString('latin1', offset, headEnd), interims);
    offset = headEnd + 4;
    if (response.status >= 200 || response.status === 101) return readBody(response, bytes, offset, isEnded, method);
    interims.push(response.status);
  }
}

function readHead(head: string, interims: number[]): RawResponse {
  const [line = '', ...lines] = head.split('\r\n');
  const parsed = statusLine.exec(line);
  if (parsed === null) throw new MalformedResponse(`bad status line: ${JSON.stringify(line.slice(0, 80))}`);
  const fields = lines.map((text): [string, string] => {
    const field = fieldLine.exec(text);
    if (field === null) throw new MalformedResponse(`bad field line: ${JSON.stringify(text.slice(0, 80))}`);
    return [field[1] ?? '', field[2] ?? ''];
  });
  return {
    version: `1.${parsed[1]}`,
    status: Number(parsed[2]),
    fields,
    head,
    body: Buffer.alloc(0),
    trailers: [],
    framing: 'none',
    interims,
    isComplete: true,
  };
}

function readBody(response: RawResponse, bytes: Buffer, start: number, isEnded: boolean, method: string): Read | null {
  const lengths = valuesOf(response, 'content-length');
  const codings = valuesOf(response, 'transfer-encoding');
  if (lengths.length > 1 || codings.length > 1 || (lengths.length > 0 && codings.length > 0)) {
    throw new MalformedResponse(`ambiguous framing: ${response.head}`);
  }
  const { status } = response;
  if (method === 'HEAD' || status === 204 || status === 304) return { response, end: start };
  if (status === 101) {
    response.body = bytes.subarray(start);
    return { response, end: bytes.length };
  }
  if (codings.length > 0) {
    if (codings[0] !== 'chunked') throw new MalformedResponse(`Transfer-Encoding: ${codings[0]}`);
    response.framing = 'chunked';
    return readChunks(response, bytes, start, isEnded);
  }
  const [length] = lengths;
  if (length === undefined) {
    response.framing = 'close';
    response.body = bytes.subarray(start);
    return isEnded ? { response, end: bytes.length } : null;
  }
  if (!/^\d{1,15}$/.test(length)) throw new MalformedResponse(`Content-Length: ${length}`);
  response.framing = 'length';
  const end = start + Number(length);
  response.body = bytes.subarray(start, end);
  return finish(response, end, end <= bytes.length, isEnded, bytes);
}

function readChunks(response: RawResponse, bytes: Buffer, start: number, isEnded: boolean): Read | null {
  const parts: Buffer[] = [];
  let offset = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', offset, 'latin1');
    const size = lineEnd === -1 ? 0 : sizeOf(bytes.toString('latin1', offset, lineEnd));
    const end = lineEnd + 2 + size;
    if (lineEnd === -1 || (size > 0 && end + 2 > bytes.length)) {
      response.body = Buffer.concat(parts);
      return finish(response, bytes.length, false, isEnded, bytes);
    }
    if (size === 0) {
      response.body = Buffer.concat(parts);
      return readTrailers(response, bytes, end, isEnded);
    }
    if (bytes.toString('latin1', end, end + 2) !== '\r\n') throw new MalformedResponse('chunk data without CRLF');
    parts.push(bytes.subarray(lineEnd + 2, end));
    offset = end + 2;
  }
}

function sizeOf(line: string): number {
  if (!/^[0-9a-fA-F]{1,12}$/.test(line)) throw new MalformedResponse(`chunk size ${JSON.stringify(line.slice(0, 40))}`);
  return Number.parseInt(line, 16);
}

function readTrailers(response: RawResponse, bytes: Buffer, start: number, isEnded: boolean): Read | null {
  let offset = start;
  for (;;) {
    const end = bytes.indexOf('\r\n', offset, 'latin1');
    if (end === -1) return finish(response, bytes.length, false, isEnded, bytes);
    const line = bytes.toString('latin1', offset, end);
    offset = end + 2;
    if (line === '') return { response, end: offset };
    if (!fieldLine.test(line)) throw new MalformedResponse(`bad trailer line: ${JSON.stringify(line.slice(0, 80))}`);
    response.trailers.push(line);
  }
}

/** A whole response, or one cut off by the end of the connection; null while more may come. */
function finish(response: RawResponse, end: number, isComplete: boolean, isEnded: boolean, bytes: Buffer): Read | null {
  if (isComplete) return { response, end };
  if (!isEnded) return null;
  response.isComplete = false;
  return { response, end: bytes.length };
}

function valuesOf(response: RawResponse, name: string): string[] {
  return response.fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
}

function preview(bytes: Buffer, offset: number): string {
  return JSON.stringify(bytes.toString('latin1', offset, offset + 80));
}
