/** Whose requests or flows a series counts. Everything in it comes from rows of the table, never from a request. */
export interface SeriesName {
  readonly routeId: string;
  readonly backendId: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  readonly servicePort: string;
}

/** Counts of one route with one of its backends. */
export interface Series {
  readonly name: SeriesName;
  readonly values: Float64Array;
}

/** Several series as plain data: as many values for each as for every other, in the order of the names. */
export interface SeriesTable {
  readonly series: readonly SeriesName[];
  readonly values: Float64Array;
}

/** What a series is called after; rows of the table, as a record of a request or flow holds them. */
export function seriesName(record: {
  readonly routeId: string;
  readonly routeSource: { readonly kind: string; readonly namespace: string; readonly name: string } | null;
  readonly backendId: string;
  readonly service: { readonly name: string; readonly port: string } | null;
}): SeriesName {
  return {
    routeId: record.routeId,
    backendId: record.backendId,
    kind: record.routeSource?.kind ?? '',
    namespace: record.routeSource?.namespace ?? '',
    name: record.routeSource?.name ?? '',
    service: record.service?.name ?? '',
    servicePort: record.service?.port ?? '',
  };
}

/** @param size values of one series */
export function tableOf(all: readonly Series[], size: number): SeriesTable {
  const values = new Float64Array(all.length * size);
  all.forEach((each, i) => {
    values.set(each.values, i * size);
  });
  return { series: all.map(({ name }) => name), values };
}

/** Sums series of one name. */
export function mergeTables(tables: readonly SeriesTable[], size: number): SeriesTable {
  const byKey = new Map<string, Series>();
  for (const each of tables.flatMap((table) => seriesOf(table, size))) {
    const key = `${each.name.routeId}\n${each.name.backendId}`;
    const known = byKey.get(key);
    if (known) addInto(known.values, each.values);
    else byKey.set(key, { name: each.name, values: each.values.slice() });
  }
  return tableOf([...byKey.values()], size);
}

/** Leaves out series of routes that are gone. */
export function withoutGone(table: SeriesTable, size: number, hasRoute: (routeId: string) => boolean): SeriesTable {
  return tableOf(
    seriesOf(table, size).filter(({ name }) => hasRoute(name.routeId)),
    size,
  );
}

export function addInto(sums: Float64Array, values: Float64Array): void {
  values.forEach((value, i) => {
    sums[i] = (sums[i] ?? 0) + value;
  });
}

function seriesOf({ series, values }: SeriesTable, size: number): Series[] {
  return series.map((name, i) => ({ name, values: values.subarray(i * size, (i + 1) * size) }));
}
