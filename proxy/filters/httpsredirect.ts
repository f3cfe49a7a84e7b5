import type { Filter } from '#table/filter.ts';
import type { CompiledFilters } from './compiled.ts';
import { noHostAnswer, queryOf, redirectTo, urlHost } from './location.ts';

/**
 * http → https as ingress-nginx does it: same host without port (the https port only when it is not 443), target as the
 * client sent it, one trailing slash of the path dropped, so that `http://host/` leads to `https://host`. Unlike there, a
 * slash that ends the query stays: it is part of a value.
 *
 * Scheme and host are the client's: what a trusted proxy tells of them goes before what it sends itself.
 */
export function compileHttpsRedirect(
  filter: Extract<Filter, { type: 'https-redirect' }>,
): NonNullable<CompiledFilters['answer']> {
  const { status, exceptPrefixes } = filter;
  return (request, bound) => {
    if (request.scheme === 'https') return null;
    if (exceptPrefixes.some((prefix) => request.path.startsWith(prefix))) return null;
    const hostname = request.publicHostname;
    if (hostname === '') return noHostAnswer;
    const port = bound.httpsPort === 443 ? '' : `:${bound.httpsPort}`;
    const { rawPath } = request;
    const path = request.query === '' && rawPath.endsWith('/') ? rawPath.slice(0, -1) : rawPath;
    return redirectTo(status, `https://${urlHost(hostname)}${port}${path}${queryOf(request)}`);
  };
}
