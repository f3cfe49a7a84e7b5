import { percentDecode, toBytes } from './bytes.ts';

const slash = 47;
const dot = 46;
const percent = 37;
const backslash = 92;

/**
 * The path that rules are matched against: percent-decoded once, slashes merged, dot segments resolved (RFC 3986 §6.2.2).
 * Backends receive the path as the client sent it unless a rule rewrites it, as with ingress-nginx; so whatever a backend
 * could reasonably read as another path than this one is refused instead of guessed at:
 * - `..` above the root, a broken escape, NUL;
 * - a backslash, which is no character of a URI (RFC 3986 §2) and a slash to URL parsers of the WHATWG kind: `/admin\users`;
 * - a dot segment that an encoded slash or backslash borders (`/open/..%2fadmin`): one server decodes it, another not;
 * - a dot segment with a path parameter (`/open/..;/admin`): servlet containers cut the parameter off and climb;
 * - `..` after what is a segment to one server and none or two to another: `/admin//../open` is `/admin/open` where slashes
 *   are not merged, `/open%2fx/../admin` is `/admin` where they are not decoded, `/open/;/../admin` where parameters are cut.
 * Encoded slashes elsewhere are slashes to the matcher, and stay `%2F` for the backend. Nothing is decoded twice:
 * `%252e` is the text `%2e`.
 *
 * @param rawPath path of the request target without query, one character per byte
 * @returns the path as a string of bytes (bytes.ts), the very same string when nothing had to change; null: answer 400
 */
export function normalisePath(rawPath: string): string | null {
  if (rawPath.charCodeAt(0) !== slash) return null;
  for (let i = 0; i < rawPath.length; i++) {
    const code = rawPath.charCodeAt(i);
    if (code === percent || code === backslash || code === 0) return resolve(rawPath);
    if (code === slash) {
      const next = rawPath.charCodeAt(i + 1);
      if (next === slash || next === dot) return resolve(rawPath);
    }
  }
  return rawPath;
}

/** The path of a rule in the form of a request's: `/caf%C3%A9` and `/café` mean the same there. Not for regexes. */
export function normaliseRulePath(value: string): string {
  const bytes = toBytes(value);
  return normalisePath(bytes) ?? bytes;
}

/** true when the raw path and the normalised one differ at most by percent-encoding: no dot segment, no double slash. */
export function isOnlyEncoded(rawPath: string): boolean {
  return !/\/\/|\/(?:\.|%2e)|\\|%5c|%2f(?:\.|%2e|\/|%2f)|\/%2f/i.test(rawPath);
}

function resolve(rawPath: string): string | null {
  const decoded = percentDecode(rawPath);
  if (decoded === null || decoded.includes('\0') || rawPath.includes('\\')) return null;
  if (hasDoubtfulDots(rawPath, decoded)) return null;

  // One entry for each segment between slashes that were sent as such; an encoded slash is inside one.
  const kept: string[] = [];
  const segments = rawPath.split('/');
  for (let i = 1; i < segments.length; i++) {
    const segment = percentDecode(segments[i] as string) as string;
    const isLast = i === segments.length - 1;
    if (segment === '..') {
      const left = kept.pop();
      if (left === undefined || isDoubtful.test(left)) return null;
      if (isLast) kept.push('');
    } else if (segment !== '.') {
      kept.push(segment);
    } else if (isLast) {
      kept.push('');
    }
  }
  return `/${kept.join('/')}`.replace(/\/{2,}/g, '/');
}

/** Segments that not every server takes for one: empty, empty without its parameter, or two by a slash of some kind. */
const isDoubtful = /^$|^;|[/\\]/;

const dotsByBackslashOrWithParameter = /[/\\]\.\.?[\\;]|\\\.\.?(?:\/|$)/;
const dotsByEncodedSlash = /(?:\/|%2f|%5c)(?:\.|%2e){1,2}(?:%2f|%5c)|(?:%2f|%5c)(?:\.|%2e){1,2}(?:\/|;|%3b|$)/i;

/** Fixed patterns with bounded repetition: linear in the path. */
function hasDoubtfulDots(rawPath: string, decoded: string): boolean {
  if (!decoded.includes('.')) return false;
  return dotsByBackslashOrWithParameter.test(decoded) || dotsByEncodedSlash.test(rawPath);
}
