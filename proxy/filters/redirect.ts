import type { Filter } from '#table/filter.ts';
import type { Route } from '#table/route.ts';
import type { RequestFacts } from '../match/facts.ts';
import type { CompiledFilters } from './compiled.ts';
import { noHostAnswer, queryOf, redirectTo, urlHost } from './location.ts';
import { compilePathRewrite } from './rewrite.ts';

const wellKnownPorts = { http: 80, https: 443 } as const;

/**
 * Gateway API RequestRedirect. Port of the Location: the filter's; else, when the filter changes the scheme, the well-known
 * port of that; else the port that the client used. 80 for http and 443 for https are left out. The query is kept.
 */
export function compileRedirect(
  filter: Extract<Filter, { type: 'redirect' }>,
  match: Route['match'],
): NonNullable<CompiledFilters['answer']> {
  const { status, scheme, hostname, port } = filter;
  const pathOf = filter.path ? compilePathRewrite(filter.path, match) : (request: RequestFacts) => request.rawPath;
  return (request) => {
    const toScheme = scheme ?? request.scheme;
    const toHost = hostname ?? request.hostname;
    if (toHost === '') return noHostAnswer;
    const wellKnown = wellKnownPorts[toScheme];
    const toPort = port ?? (scheme ? wellKnown : portOf(request)) ?? wellKnown;
    const authority = toPort === wellKnown ? urlHost(toHost) : `${urlHost(toHost)}:${toPort}`;
    return redirectTo(status, `${toScheme}://${authority}${pathOf(request)}${queryOf(request)}`);
  };
}

/** The port that the client wrote into Host; a proxy behind port mappings knows no better one. */
function portOf(request: RequestFacts): number | null {
  const found = /:(\d{1,5})$/.exec(request.header('host') ?? '');
  return found ? Number(found[1]) : null;
}
