import { seriesLayout } from './metrics.ts';
import type { ExchangeRecord } from './record.ts';
import { type Series, type SeriesName, seriesName } from './series.ts';

/** Numbers from one place to the next: two lines of the processor's cache. */
const stride = 16;
/** Before the values stand the serials of the route and the backend that were counted here last. */
const valuesAt = 2;
/** So many that the objects of all pages stay in the processor's cache, and few enough to be made within a request. */
const routesPerPage = 1024;
/** A route number is used again after its route is gone; a slot holds this many series at most, so it cannot grow for ever. */
const mostSeriesPerSlot = 64;

/**
 * Counters of requests by route and backend. Of each route number the first series has its place in pages that are numbers and
 * nothing else: among 100,000 routes a request then waits for a line or two of memory where objects cost seven (2 µs), and the
 * collector has nothing to mark. What more a number has, other backends or routes of before, stands beside.
 */
export class RouteSeries {
  /** Where the series that `find` found has its values. */
  values: Float64Array = noValues;
  at = 0;
  /** By route number, whom its place in the pages counts for. */
  readonly #names: (SeriesName | null)[] = [];
  readonly #pages: Float64Array[] = [];
  readonly #others = new Map<number, Series[]>();

  /** Sets `values` and `at` for a record that has a route; a series is made at its first request. */
  find(record: ExchangeRecord): void {
    const index = record.routeIndex;
    if (index >= this.#names.length) this.#makeRoom(index);
    this.#turnTo(index);
    const { values, at } = this;
    if (values[at - 2] === record.routeSerial && values[at - 1] === record.backendSerial) return;
    this.#names[index] ??= seriesName(record);
    if (!isOf(this.#names[index], record)) {
      this.#turnToOther(record, index);
      return;
    }
    values[at - 2] = record.routeSerial;
    values[at - 1] = record.backendSerial;
  }

  #turnTo(index: number): void {
    this.values = this.#pages[Math.floor(index / routesPerPage)] as Float64Array;
    this.at = (index % routesPerPage) * stride + valuesAt;
  }

  #turnToOther(record: ExchangeRecord, index: number): void {
    const others = this.#others.get(index) ?? [];
    let series = others.find(({ name }) => isOf(name, record));
    if (series === undefined) {
      series = { name: seriesName(record), values: new Float64Array(seriesLayout.size) };
      // The newest first: it is the one that is asked for.
      others.unshift(series);
      if (others.length >= mostSeriesPerSlot) others.pop();
      this.#others.set(index, others);
    }
    this.values = series.values;
    this.at = 0;
  }

  #makeRoom(index: number): void {
    while (this.#names.length <= index) {
      this.#pages.push(new Float64Array(routesPerPage * stride));
      for (let i = 0; i < routesPerPage; i++) this.#names.push(null);
    }
  }

  all(): Series[] {
    const own = this.#names.flatMap((name, index) => (name === null ? [] : [{ name, values: this.#valuesOf(index) }]));
    return [...own, ...[...this.#others.values()].flat()];
  }

  #valuesOf(index: number): Float64Array {
    this.#turnTo(index);
    return this.values.subarray(this.at, this.at + seriesLayout.size);
  }

  /** Drops the series of routes that are gone; the newest of what is left of a number gets its place in the pages. */
  letGo(hasRoute: (routeId: string) => boolean): void {
    for (const [index, others] of this.#others) {
      const left = others.filter(({ name }) => hasRoute(name.routeId));
      if (left.length > 0) this.#others.set(index, left);
      else this.#others.delete(index);
    }
    for (const [index, name] of this.#names.entries()) {
      if (name === null || hasRoute(name.routeId)) continue;
      const newest = this.#others.get(index)?.shift();
      const values = this.#valuesOf(index);
      if (newest === undefined) values.fill(0);
      else values.set(newest.values);
      this.#names[index] = newest?.name ?? null;
      this.values.fill(0, this.at - valuesAt, this.at);
    }
  }
}

function isOf(name: SeriesName | null | undefined, { routeId, backendId }: ExchangeRecord): boolean {
  return name?.routeId === routeId && name.backendId === backendId;
}

const noValues = new Float64Array(seriesLayout.size);
