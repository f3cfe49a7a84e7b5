import { percentDecode } from './bytes.ts';
import { normalisePath } from './normalise.ts';

/** Whether a backend may read a path as another one than the matcher does. Costs next to nothing where it may not. */
export function hasOtherReadings(rawPath: string, path: string): boolean {
  return rawPath !== path || path.includes(';');
}

/**
 * What backends are known to take a path for that they are sent as it came, in the form of the matcher:
 * - without parameters, as servlet containers: `/admin;x` is `/admin`; with slashes for `%5c`, as servers on Windows;
 * - with its dot segments, as frameworks that compare text: `/admin/..` is below `/admin`;
 * - without what stands between two leading slashes and the next, as URL parsers that have a base to resolve it by
 *   (RFC 3986 §4.2): `//x/admin` is `/admin` on a host `x`.
 *
 * @param path that rules are matched against (normalise.ts)
 * @returns those that differ from it
 */
export function otherReadings(rawPath: string, path: string): readonly string[] {
  // Who decodes first takes `;%2fadmin` for two elements, who cuts first for one.
  const readings = [cut(path), cutFirst(rawPath) ?? path, withDots(rawPath) ?? path];
  if (rawPath.startsWith('//')) readings.push(cutFirst(rawPath.replace(/^\/+[^/]*/, '')) ?? path);
  return readings.filter((reading) => reading !== path);
}

function cut(path: string): string {
  return merged(`/${path.replace(/;[^/]*/g, '').replaceAll('\\', '/')}`);
}

function cutFirst(rawPath: string): string | null {
  const path = normalisePath(`/${rawPath.replace(/(?:;|%3b)[^/]*/gi, '')}`);
  return path === null ? null : cut(path);
}

function withDots(rawPath: string): string | null {
  const path = percentDecode(rawPath);
  return path === null ? null : merged(path).replace(/\/\.(?=\/|$)/g, '');
}

const merged = (path: string) => path.replace(/\/{2,}/g, '/');
