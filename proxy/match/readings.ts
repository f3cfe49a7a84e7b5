import type { ClientAuth } from '#table/clientauth.ts';
import type { Route } from '#table/route.ts';
import { percentDecode } from './bytes.ts';
import { normalisePath } from './normalise.ts';

/** The client wrote the path as rules are matched against it, and without parameters. */
function isPlain(rawPath: string, path: string): boolean {
  return rawPath === path && !path.includes(';');
}

/** Whether a path is served in the clear, where nobody can prove anything: not one that a backend could take for another. */
export function isServedUnproven({ mode, clearPrefixes }: ClientAuth, rawPath: string, path: string): boolean {
  if (mode !== 'require') return true;
  return isPlain(rawPath, path) && clearPrefixes.some((prefix) => path.startsWith(prefix));
}

/** Whether a backend may read a path as another one than the matcher does. */
export function hasOtherReadings(rawPath: string, path: string): boolean {
  return rawPath !== path || oddity.test(path);
}

const oddity = /[;A-Z]|.\/$/;

/**
 * What backends are known to take a path for that they are sent as it came, in the form of the matcher:
 * - without parameters, as servlet containers: `/admin;x` is `/admin`; with slashes for `%5c`, as servers on Windows;
 * - with its dot segments, as frameworks that compare text: `/admin/..` is below `/admin`;
 * - without what stands between two leading slashes and the next, as URL parsers that have a base to resolve it by
 *   (RFC 3986 §4.2): `//x/admin` is `/admin` on a host `x`;
 * - any of these in lower case and without a last slash, as routers that are neither case-sensitive nor strict.
 *
 * @param path that rules are matched against (normalise.ts)
 * @returns those that differ from it
 */
export function otherReadings(rawPath: string, path: string): ReadonlySet<string> {
  const readings = new Set([folded(path)]);
  // Most paths with capitals have nothing else.
  if (!isPlain(rawPath, path)) {
    const bare = bareOf(rawPath);
    // Who decodes first takes `;%2fadmin` for two elements, who cuts first for one.
    for (const reading of [cut(path), cutFirst(bare), withDots(rawPath), withDots(bare), behindHost(bare)]) {
      if (reading !== null) readings.add(reading).add(folded(reading));
    }
  }
  readings.delete(path);
  return readings;
}

/**
 * Whether a rule means the very spelling of a path: its reading differs by capitals or a last slash alone, and the rule for that
 * says no more of the path than this one does. Paths are case-sensitive, and who has written two rules wants two.
 */
export function isMeantAsSpelt(path: string, reading: string, rule: Route, ruleOfReading: Route): boolean {
  return reading === folded(path) && rule.match.path.value.length >= ruleOfReading.match.path.value.length;
}

function folded(path: string): string {
  return path.toLowerCase().replace(/(.)\/$/, '$1');
}

/** Without parameters. */
const bareOf = (rawPath: string) => rawPath.replace(/(?:;|%3b)[^/]*/gi, '');

function behindHost(bare: string): string | null {
  return bare.startsWith('//') ? cutFirst(bare.replace(/^\/+[^/]*/, '')) : null;
}

function cut(path: string): string {
  return merged(`/${path.replace(/;[^/]*/g, '').replaceAll('\\', '/')}`);
}

function cutFirst(bare: string): string | null {
  const path = normalisePath(`/${bare}`);
  return path === null ? null : cut(path);
}

function withDots(rawPath: string): string | null {
  const path = percentDecode(rawPath);
  return path === null ? null : merged(path).replace(/\/\.(?=\/|$)/g, '');
}

const merged = (path: string) => path.replace(/\/{2,}/g, '/');
