import type { Affinity } from '#table/backend.ts';

export type CookieAffinity = Extract<Affinity, { type: 'cookie' }>;

/** What the attributes of a cookie depend on besides the row. */
export interface CookieScene {
  readonly routePath: string;
  readonly isTls: boolean;
  readonly userAgent: string;
  /** Milliseconds since 1970. */
  readonly wallMs: number;
}

/**
 * The values that a Cookie field has for a name, in order, up to `mostValues`. Two cookies of one name (Path `/` and Path `/api`) both
 * come, and RFC 6265 §5.4 tells servers not to rely on which is first.
 *
 * Fields that came repeated are joined by `, `, so a comma ends a value, too; the values that we issue have none.
 */
export function cookieValues(field: string | undefined, name: string): readonly string[] {
  if (field === undefined) return noValues;
  let values: string[] | null = null;
  for (let at = field.indexOf(name); at !== -1; at = field.indexOf(name, at + 1)) {
    const equals = at + name.length;
    if (field[equals] !== '=' || (at > 0 && !isSeparator(field.charCodeAt(at - 1)))) continue;
    let end = equals + 1;
    while (end < field.length && !isSeparator(field.charCodeAt(end))) end++;
    const value = field.slice(equals + 1, end);
    values ??= [];
    values.push(value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value);
    if (values.length === mostValues) break;
    at = end - 1;
  }
  return values ?? noValues;
}

/** A cookie name as RFC 6265 §4.1.1 has it (a token). Any other is never issued. */
export function isCookieName(name: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name);
}

/**
 * Value of a Set-Cookie field. HttpOnly always: no script needs to know where its requests go.
 *
 * @param affinity its name must be a cookie name
 * @param value opaque; of characters that need no quoting
 */
export function serialiseCookie(affinity: CookieAffinity, value: string, scene: CookieScene): string {
  let text = `${affinity.name}=${value}; Path=${safePath(affinity.path ?? pathOfRoute(scene.routePath))}`;
  if (affinity.domain !== null && isDomain(affinity.domain)) text += `; Domain=${affinity.domain}`;
  if (affinity.expiresSeconds !== null) text += `; Expires=${dateAfter(scene.wallMs, affinity.expiresSeconds)}`;
  if (affinity.maxAgeSeconds !== null) text += `; Max-Age=${affinity.maxAgeSeconds}`;
  text += '; HttpOnly';
  const isSecure = affinity.secure ?? scene.isTls;
  if (isSecure) text += '; Secure';
  return text + sameSite(affinity, isSecure, scene.userAgent);
}

/**
 * Browsers drop a cookie with SameSite=None that is not Secure, and the session with it; without the attribute they
 * take it as Lax. So it is left out there.
 */
function sameSite(affinity: CookieAffinity, isSecure: boolean, userAgent: string): string {
  if (affinity.sameSite === null) return '';
  if (affinity.sameSite === 'None') {
    if (!isSecure || (affinity.conditionalSameSiteNone && mishandlesSameSiteNone(userAgent))) return '';
  }
  return `; SameSite=${affinity.sameSite}`;
}

/**
 * Browsers that take None for Strict or drop the cookie: WebKit of iOS 12 and macOS 10.14, Chrome 51 to 66, UC Browser
 * before 12.13.2 (the list of incompatible clients that the Chromium project published).
 */
function mishandlesSameSiteNone(field: string): boolean {
  // The patterns take the fourth power of the length: without a bound, one field of 30 KB would stop a worker for hours.
  const userAgent = field.slice(0, mostUserAgent);
  if (/\(iP.+; CPU .*OS 12[_\d]*.*\) AppleWebKit\//.test(userAgent)) return true;
  if (/\(Macintosh;.*Mac OS X 10_14[_\d]*.*\) AppleWebKit\//.test(userAgent)) {
    const isSafari = /Version\/.* Safari\//.test(userAgent) && !/Chrom(?:e|ium)/.test(userAgent);
    return (
      isSafari || /^Mozilla\/[.\d]+ \(Macintosh;[^)]*\) AppleWebKit\/[.\d]+ \(KHTML, like Gecko\)$/.test(userAgent)
    );
  }
  const uc = /UCBrowser\/(\d+)\.(\d+)\.(\d+)/.exec(userAgent);
  if (uc !== null) return Number(uc[1]) * 1e6 + Number(uc[2]) * 1e3 + Number(uc[3]) < 12_013_002;
  const chrome = /Chrom(?:e|ium)\/(\d+)\./.exec(userAgent);
  return chrome !== null && Number(chrome[1]) >= 51 && Number(chrome[1]) <= 66;
}

/** Longer than any that a browser of the list sent. */
const mostUserAgent = 256;

const noValues: readonly string[] = [];

/** More than paths and domains give one browser. Each value may cost a signature (sticky.ts), and a field has room for thousands. */
const mostValues = 8;

function isSeparator(code: number): boolean {
  return code === 0x3b || code === 0x20 || code === 0x2c || code === 0x09;
}

/**
 * Cookie paths match by element (RFC 6265 §5.1.4): `/shop` covers `/shop/`, but `/shop/` does not cover `/shop`. An element with a
 * semicolon cannot be written (§4.1.1), and no client takes `%3B` for one: what is above it is the path then.
 */
function pathOfRoute(path: string): string {
  const trimmed = path.replace(/\/(?:[^/]*;.*)?$/, '');
  return trimmed === '' ? '/' : trimmed;
}

/** What could end the attribute or the field is percent-encoded. */
function safePath(path: string): string {
  return path.replace(/[^\x21-\x3a\x3c-\x7e]/gu, (character) =>
    character.length === 1 && character.charCodeAt(0) < 0x80
      ? `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
      : encodeURIComponent(character.isWellFormed() ? character : '\ufffd'),
  );
}

function isDomain(domain: string): boolean {
  return /^\.?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(domain);
}

/** Dates end in the year 9999; a later one would not be an HTTP date. */
function dateAfter(wallMs: number, seconds: number): string {
  return new Date(Math.max(0, Math.min(wallMs + seconds * 1000, 253_402_300_799_000))).toUTCString();
}
