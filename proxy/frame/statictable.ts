import { TableEntry } from './tableentry.ts';

/** RFC 7541 Appendix A, from index 1 on. */
const fields: readonly (readonly [name: string, value?: string])[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language'],
  ['accept-ranges'],
  ['accept'],
  ['access-control-allow-origin'],
  ['age'],
  ['allow'],
  ['authorization'],
  ['cache-control'],
  ['content-disposition'],
  ['content-encoding'],
  ['content-language'],
  ['content-length'],
  ['content-location'],
  ['content-range'],
  ['content-type'],
  ['cookie'],
  ['date'],
  ['etag'],
  ['expect'],
  ['expires'],
  ['from'],
  ['host'],
  ['if-match'],
  ['if-modified-since'],
  ['if-none-match'],
  ['if-range'],
  ['if-unmodified-since'],
  ['last-modified'],
  ['link'],
  ['location'],
  ['max-forwards'],
  ['proxy-authenticate'],
  ['proxy-authorization'],
  ['range'],
  ['referer'],
  ['refresh'],
  ['retry-after'],
  ['server'],
  ['set-cookie'],
  ['strict-transport-security'],
  ['transfer-encoding'],
  ['user-agent'],
  ['vary'],
  ['via'],
  ['www-authenticate'],
];

/** By index; nothing at 0, which no encoder may use (RFC 7541 §6.1). */
export const staticEntries: readonly (TableEntry | null)[] = [
  null,
  ...fields.map(([name, value = '']) => {
    const line = Buffer.from(`${name}: ${value}\r\n`, 'latin1');
    return new TableEntry(line, 0, line.length, name.length);
  }),
];

export const mostStaticIndex = 61;

/** Index of the first entry with that name, and of one with that value. */
export const staticIndexByName = new Map<string, number>();
/** By `name: value`. */
export const staticIndexByLine = new Map<string, number>();

fields.forEach(([name, value], i) => {
  if (!staticIndexByName.has(name)) staticIndexByName.set(name, i + 1);
  if (value !== undefined) staticIndexByLine.set(`${name}: ${value}`, i + 1);
});
