import { assertNever } from '#kit/assert.ts';
import type { PathRewrite } from '#table/filter.ts';
import type { Route } from '#table/route.ts';
import { percentEncodePath, toBytes } from '../match/bytes.ts';
import type { RequestFacts } from '../match/facts.ts';
import { isOnlyEncoded, normaliseRulePath } from '../match/normalise.ts';
import { compileRegex } from '../match/regex.ts';

/** Path (no query) for the backend or for a Location, percent-encoded, starting with `/`. */
export type PathOf = (request: RequestFacts) => string;

export function compilePathRewrite(rewrite: PathRewrite, match: Route['match']): PathOf {
  switch (rewrite.type) {
    case 'full': {
      const path = finish(encodeText(rewrite.value));
      return () => path;
    }
    case 'prefix':
      return compilePrefix(rewrite.value, match);
    case 'captures':
      return compileCaptures(rewrite.value, match);
    default:
      return assertNever(rewrite, 'path rewrite');
  }
}

/** A name that may stand in Host: what else a row holds is left out. */
export function compileHostRewrite(hostname: string | null): string | null {
  return hostname !== null && /^[A-Za-z0-9._\-:[\]]+$/.test(hostname) ? hostname : null;
}

/**
 * ReplacePrefixMatch of the Gateway API: by element, slashes at the ends of prefix and replacement do not count, and what is
 * left empty is `/`. On an exact or a regex route the whole path counts as matched.
 */
function compilePrefix(value: string, match: Route['match']): PathOf {
  const replacement = encodeText(value).replace(/\/+$/, '');
  const { path } = match;
  if (path.type === 'exact' || path.type === 'regex') {
    const whole = finish(replacement);
    return () => whole;
  }
  const prefix =
    path.type === 'element' ? normaliseRulePath(path.value).replace(/\/$/, '') : normaliseRulePath(path.value);
  return (request) => {
    const rest = restAfter(request, prefix);
    if (rest === '') return finish(replacement);
    return finish(rest.startsWith('/') ? replacement + rest : `${replacement}/${rest}`);
  };
}

/** What follows the matched prefix, as the client wrote it where that is safe to cut: so `%2F` in a name survives. */
function restAfter(request: RequestFacts, prefix: string): string {
  const { path, rawPath } = request;
  if (rawPath === path) return percentEncodePath(path.slice(prefix.length));
  const isVisible = /^[!-~]*$/.test(rawPath);
  const canCutRaw = isVisible && rawPath.startsWith(prefix) && !prefix.includes('%') && isOnlyEncoded(rawPath);
  return canCutRaw ? rawPath.slice(prefix.length) : percentEncodePath(path.slice(prefix.length));
}

/**
 * ingress-nginx rewrite-target: the whole path becomes `value`, with `$1` to `$9` from the route's regex on the normalised
 * path. Captured text is encoded again, so an encoded slash arrives as a slash, as with nginx.
 */
function compileCaptures(value: string, match: Route['match']): PathOf {
  const { path } = match;
  const regex =
    path.type === 'regex'
      ? compileRegex(path.value, { case: path.ignoreCase ? 'ignore' : 'exact', anchor: 'start' })
      : null;
  // Odd elements are the digits of references.
  const parts = value.split(/\$([1-9])/).map((part, i) => (i % 2 === 0 ? encodeText(part) : part));
  if (parts.length === 1) {
    const whole = finish(parts[0] as string);
    return () => whole;
  }
  return (request) => {
    const captures = regex?.captures(request.path) ?? [];
    let text = '';
    parts.forEach((part, i) => {
      text += i % 2 === 0 ? part : percentEncodePath(captures[Number(part)] ?? '');
    });
    return finish(text);
  };
}

/** Text of a row as part of a path: escapes that it has are kept, all else that may not stand in a path is encoded. */
function encodeText(text: string): string {
  return toBytes(text)
    .split(/(%[0-9A-Fa-f]{2})/)
    .map((part, i) => (i % 2 === 0 ? percentEncodePath(part) : part))
    .join('');
}

/**
 * Makes a path absolute, and takes out dot segments that putting it together has made: `/a(.*)` → `/files/$1` on `/a../x` must
 * not climb out of `/files` (the classic off-by-slash of nginx aliases), nor what some take for one: `..;x`, `..\x`. They are
 * dropped, not resolved.
 */
function finish(path: string): string {
  const absolute = path.startsWith('/') ? path : `/${path}`;
  if (!/\/(?:\.|%2e)/i.test(absolute)) return absolute;
  const kept = absolute.split('/').filter((segment) => !/^(?:\.|%2e){1,2}(?:(?:;|%5c).*)?$/i.test(segment));
  return kept.length === 1 ? '/' : kept.join('/');
}
