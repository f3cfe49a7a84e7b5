import type { Filter } from '#table/filter.ts';

/** The order of effect of a route's filters, whatever their order in the row. The only place that knows it. */
const order: Readonly<Record<Filter['type'], number>> = {
  // Before all else: nothing of a request that must come over TLS is acted on before it does.
  'https-redirect': 0,
  // Who may not come learns nothing further, not even where the path leads. In ingress-nginx other redirects go first.
  'source-ranges': 1,
  redirect: 2,
  rewrite: 3,
  'request-headers': 4,
  'response-headers': 5,
  compression: 6,
  tracing: 7,
};

/** Filters in order of effect; those of one type keep the row's order. */
export function inOrder(filters: readonly Filter[]): readonly Filter[] {
  return filters.length < 2 ? filters : filters.toSorted((a, b) => order[a.type] - order[b.type]);
}
