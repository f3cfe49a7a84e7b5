import { STATUS_CODES } from 'node:http';
import { countedStatus, type ExchangeRecord } from './record.ts';
import { addInto } from './series.ts';

/** Upper bounds of ingress-nginx's buckets: of times in seconds, of sizes in bytes. */
export const compatTimeBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
export const compatSizeBounds = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100] as const;

/** What is measured of a request, in the order of a series; each is its buckets, one more for the rest, and the sum. */
const measures = [
  ['request', compatTimeBounds],
  ['connect', compatTimeBounds],
  ['header', compatTimeBounds],
  ['response', compatTimeBounds],
  ['requestSize', compatSizeBounds],
  ['responseSize', compatSizeBounds],
] as const;
export type Measure = (typeof measures)[number][0];

const places = new Map<Measure, { at: number; bounds: readonly number[] }>();
let size = 1;
for (const [name, bounds] of measures) {
  places.set(name, { at: size, bounds });
  size += bounds.length + 2;
}

/** Whose requests a series counts, under the names of ingress-nginx. */
interface CompatName {
  readonly namespace: string;
  readonly ingress: string;
  readonly service: string;
  readonly method: string;
  readonly status: string;
}

/** Counts of one series; it goes when none of the routes of its Ingress is there any more. All series of an Ingress hold the same set. */
export interface CompatSeries {
  readonly name: CompatName;
  readonly routeIds: Set<string>;
  readonly values: Float64Array;
}

const mostOwnStatuses = 16;

/** The request series of ingress-nginx, by Ingress, Service, method and status: for dashboards that were made for it. */
export class CompatMetrics {
  readonly #book = emptyBook();
  /** That no RFC names; 499 is our own (listen/answer.ts). */
  readonly #ownStatuses = new Set([499]);

  finished(record: ExchangeRecord): void {
    const { routeSource, routeId, service, durationMs, upstreamMs, connectMs } = record;
    if (routeSource?.kind !== 'Ingress') return;
    const name: CompatName = {
      namespace: routeSource.namespace,
      ingress: routeSource.name,
      service: service?.name ?? '',
      method: methods.has(record.method) ? record.method : 'OTHER',
      status: this.#statusOf(countedStatus(record)),
    };
    const series = seriesIn(this.#book, name);
    series.routeIds.add(routeId);
    const { values } = series;
    values[0] = (values[0] as number) + 1;
    const seconds = Math.max(0, durationMs) / 1_000;
    observe(values, 'request', seconds);
    if (connectMs >= 0) observe(values, 'connect', connectMs / 1_000);
    if (upstreamMs >= 0) {
      observe(values, 'header', upstreamMs / 1_000);
      observe(values, 'response', seconds);
    }
    observe(values, 'requestSize', record.bytesReceived);
    observe(values, 'responseSize', record.bytesSent);
  }

  /** What a backend makes up must not become a series each: more than some codes of its own count as their class (RFC 9110 §15). */
  #statusOf(status: number): string {
    if (status < 100 || status >= 600) return '0';
    if (STATUS_CODES[status] !== undefined || this.#ownStatuses.has(status)) return String(status);
    if (this.#ownStatuses.size === mostOwnStatuses) return String(status - (status % 100));
    this.#ownStatuses.add(status);
    return String(status);
  }

  snapshot(): CompatSeries[] {
    return mergeCompat(this.#book.seriesByKey.values());
  }

  letGo(hasRoute: (routeId: string) => boolean): void {
    const { seriesByKey, routeIdsByIngress } = this.#book;
    for (const [key, series] of seriesByKey) {
      if (!isGone(series, hasRoute)) continue;
      seriesByKey.delete(key);
      routeIdsByIngress.delete(ingressKey(series.name));
    }
  }
}

/** Sums series of one name. The sums share nothing with them. */
export function mergeCompat(all: Iterable<CompatSeries>): CompatSeries[] {
  const book = emptyBook();
  for (const { name, routeIds, values } of all) {
    const series = seriesIn(book, name);
    for (const id of routeIds) series.routeIds.add(id);
    addInto(series.values, values);
  }
  return [...book.seriesByKey.values()];
}

/** Forgets routes that are gone. */
export function isGone({ routeIds }: CompatSeries, hasRoute: (routeId: string) => boolean): boolean {
  for (const id of routeIds) if (!hasRoute(id)) routeIds.delete(id);
  return routeIds.size === 0;
}

/** Requests, and buckets and sum of one measure. */
export function requestsOf({ values }: CompatSeries): number {
  return values[0] ?? 0;
}

export function histogramOf({ values }: CompatSeries, measure: Measure): [counts: Float64Array, sum: number] {
  const { at, bounds } = placeOf(measure);
  const end = at + bounds.length + 1;
  return [values.subarray(at, end), values[end] ?? 0];
}

const methods: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'],
]);

interface Book {
  readonly seriesByKey: Map<string, CompatSeries>;
  readonly routeIdsByIngress: Map<string, Set<string>>;
}

function emptyBook(): Book {
  return { seriesByKey: new Map(), routeIdsByIngress: new Map() };
}

function ingressKey({ namespace, ingress }: CompatName): string {
  return `${namespace}/${ingress}`;
}

function seriesIn({ seriesByKey, routeIdsByIngress }: Book, name: CompatName): CompatSeries {
  const key = `${ingressKey(name)} ${name.service} ${name.method} ${name.status}`;
  const known = seriesByKey.get(key);
  if (known !== undefined) return known;
  const routeIds = routeIdsByIngress.get(ingressKey(name)) ?? new Set();
  routeIdsByIngress.set(ingressKey(name), routeIds);
  const series = { name, routeIds, values: new Float64Array(size) };
  seriesByKey.set(key, series);
  return series;
}

function placeOf(measure: Measure): { at: number; bounds: readonly number[] } {
  return places.get(measure) ?? { at: 0, bounds: [] };
}

function observe(values: Float64Array, measure: Measure, value: number): void {
  const { at, bounds } = placeOf(measure);
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  values[at + bucket] = (values[at + bucket] as number) + 1;
  values[at + bounds.length + 1] = (values[at + bounds.length + 1] as number) + value;
}
