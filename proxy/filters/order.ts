import type { Filter } from '#table/filter.ts';

/** The order of effect of a route's filters, whatever their order in the row. The only place that knows it. */
const order: Readonly<Record<Filter['type'], number>> = {
  // Before all else: nothing of a request that must come over TLS is acted on before it does.
  'https-redirect': 0,
  redirect: 1,
  rewrite: 2,
  'request-headers': 3,
  'response-headers': 4,
  compression: 5,
};

/** Filters in order of effect; those of one type keep the row's order. */
export function inOrder(filters: readonly Filter[]): readonly Filter[] {
  return filters.length < 2 ? filters : filters.toSorted((a, b) => order[a.type] - order[b.type]);
}
