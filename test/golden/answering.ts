import { compileFilters } from '../../proxy/filters/compile.ts';
import { Matcher } from '../../proxy/match/matcher.ts';
import type { Row, RowKind, RowOf } from '../../proxy/table/rows.ts';
import { factsOf, parseRequest } from './facts.ts';

/** What happens to a request under these rows, in one line: the gateway's own answer, or backend, host and path. */
export function answerOf(line: string, rows: readonly Row[]): string {
  const matcher = new Matcher();
  matcher.apply({ hosts: rowsById(rows, 'host'), routes: rowsById(rows, 'route') });
  const request = parseRequest(line);
  const facts = factsOf(request);
  if (facts === null) return '400';
  const { route } = matcher.match(request.scheme, facts);
  if (route === null) return '404';
  const { answer, host, path } = compileFilters(route.row.filters, route.row.match);
  const local = answer?.(facts, { httpsPort: 443 }) ?? null;
  if (local !== null)
    return 'flag' in local ? `${local.status} ${local.flag}` : `${local.status} ${local.headers.join('; ')}`;
  const id = route.row.backends[0]?.backendId ?? '';
  const backend = rowsById(rows, 'backend').get(id);
  if (backend === undefined) return `a backend that is not there: ${id}`;
  if (backend.broken !== null) return `${backend.broken.status} ${backend.broken.code}`;
  return `${id} ${host ?? facts.hostname}${path?.(facts) ?? facts.rawPath}`;
}

function rowsById<K extends RowKind>(rows: readonly Row[], kind: K): Map<string, RowOf<K>> {
  const found = rows.filter((row): row is Extract<Row, { kind: K }> => row.kind === kind);
  return new Map(found.map(({ row }) => [row.id, row as RowOf<K>]));
}
